//! The options of a command line that change how later files are read, folded up to one item (lld `createFiles`).
//! Knows nothing of files; inputs carry their [`Position`] already, this is for linker scripts, which are options.

use crate::cmdline::{Invocation, Item, OptionDef, Position};

use super::classify::FatObjects;

/// One option's effect on the state.
type Effect = fn(&mut Position, Option<&str>);

/// Canonical option names and what they change.
const EFFECTS: &[(&str, Effect)] = &[
    ("whole-archive", |state, _| state.whole_archive = true),
    ("no-whole-archive", |state, _| state.whole_archive = false),
    ("Bstatic", |state, _| state.prefer_static = true),
    ("omagic", |state, _| state.prefer_static = true),
    ("nmagic", |state, _| state.prefer_static = true),
    ("Bdynamic", |state, _| state.prefer_static = false),
    ("as-needed", |state, _| state.as_needed = true),
    ("no-as-needed", |state, _| state.as_needed = false),
    ("start-lib", |state, _| state.in_lib = true),
    ("end-lib", |state, _| state.in_lib = false),
    ("format", |state, value| state.binary = value == Some("binary")),
];

/// The state in force at item number `item`.
pub fn position_at(inv: &Invocation, item: usize) -> Position {
    let mut state = Position::default();
    let mut saved = Vec::new();
    for item in inv.items.iter().take(item) {
        let Item::Option { def, value, .. } = item else {
            continue;
        };
        match def.canonical {
            "push-state" => saved.push(state),
            "pop-state" => {
                // Only these three are saved (lld `createFiles`).
                if let Some(Position {
                    as_needed,
                    prefer_static,
                    whole_archive,
                    ..
                }) = saved.pop()
                {
                    state = Position {
                        as_needed,
                        prefer_static,
                        whole_archive,
                        ..state
                    };
                }
            }
            name => {
                if let Some((_, effect)) = EFFECTS.iter().find(|(option, _)| *option == name) {
                    effect(&mut state, value.as_deref().and_then(|value| value.to_str()));
                }
            }
        }
    }
    state
}

/// Every option of the command line, in order.
pub fn options(inv: &Invocation) -> impl Iterator<Item = &'static OptionDef> {
    inv.items.iter().filter_map(|item| match item {
        Item::Option { def, .. } => Some(*def),
        Item::Input(_) => None,
    })
}

/// Whether the link looks for bitcode inside native objects: the last of `--fat-lto-objects` and its opposite wins.
pub fn fat_objects(inv: &Invocation) -> FatObjects {
    options(inv)
        .filter_map(|option| match option.canonical {
            "fat-lto-objects" => Some(FatObjects::Looked),
            "no-fat-lto-objects" => Some(FatObjects::Ignored),
            _ => None,
        })
        .last()
        .unwrap_or_default()
}
