//! A program chosen by a seed. Small, and most of it linkable: what is refused by both linkers alike teaches little.

use std::collections::BTreeSet;

use super::arrange;
use super::choices;
use super::common::random::Random;
use super::program::{How, Item, Kind, Module, Name, Output, Program, Ref, Visibility};

pub const FUNCTIONS: usize = 10;
pub const VARIABLES: usize = 4;
const TLS: usize = 2;
const SETS: usize = 2;

pub fn chance(random: &mut Random, percent: usize) -> bool {
    random.below(100) < percent
}

fn visibility(random: &mut Random, hidden: usize, protected: usize) -> Visibility {
    match random.below(100) {
        number if number < hidden => Visibility::Hidden,
        number if number < hidden + protected => Visibility::Protected,
        _ => Visibility::Default,
    }
}

pub fn program(seed: u64, llvm: u32) -> Program {
    let mut random = Random::new(seed);
    let random = &mut random;
    let output = *random.pick(&[
        Output::NoPie,
        Output::NoPie,
        Output::NoPie,
        Output::Pie,
        Output::Pie,
        Output::Pie,
        Output::Pie,
        Output::Static,
        Output::StaticPie,
        Output::Shared,
        Output::Shared,
        Output::Shared,
        Output::Shared,
        Output::Relocatable,
        Output::Relocatable,
    ]);
    let mut program = Program {
        llvm,
        output,
        split_unit: chance(random, 5),
        modules: arrange::modules(random, llvm),
        groups: Vec::new(),
        inputs: Vec::new(),
        choices: Vec::new(),
    };
    arrange::groups(random, &mut program);
    for module in 0..program.modules.len() {
        if program.is_shared(module) {
            program.modules[module].kind = Kind::Native;
        }
    }
    let defined = definitions(random, &mut program);
    others(random, &mut program);
    references(random, &mut program, &defined);
    choices::choose(random, &mut program);
    program
}

/// Whether a library defines a name, which cannot be made with two definitions.
fn defined_by_library(program: &Program, name: Name) -> bool {
    let mut modules = program.modules.iter().enumerate();
    modules.any(|(at, module)| program.is_shared(at) && module.items.iter().any(|item| item.defines() == Some(name)))
}

/// Gives names to modules to define; says which have a definition.
fn definitions(random: &mut Random, program: &mut Program) -> BTreeSet<Name> {
    let mut names: Vec<Name> = (0..FUNCTIONS).map(Name::Function).collect();
    names.extend((0..VARIABLES).map(Name::Variable));
    names.extend((0..TLS).map(Name::Tls));
    let mut defined = BTreeSet::new();
    for name in names {
        let definers = match (random.below(100), name) {
            (0..=9, Name::Function(_)) => 0,
            (0..=64, _) => 1,
            (65..=89, _) => 2,
            _ => 3,
        };
        let mut strong = false;
        for _ in 0..definers {
            let module = random.below(program.modules.len());
            if program.modules[module]
                .items
                .iter()
                .any(|item| item.defines() == Some(name))
            {
                continue;
            }
            // Two strong definitions that are both loaded are an error: rarely, unless one may not be.
            let shared = program.is_shared(module);
            if shared && defined_by_library(program, name) {
                continue;
            }
            let may_repeat = shared || chance(random, if program.is_lazy(module) { 4 } else { 1 });
            let weak = match strong {
                true => !may_repeat,
                false => chance(random, 25),
            };
            strong |= !weak && !shared;
            let item = definition(random, name, weak, &program.modules[module], shared);
            program.modules[module].items.push(item);
            defined.insert(name);
        }
    }
    // One definition of what is always 0, in a module that is not a library's.
    let homes: Vec<usize> = (0..program.modules.len())
        .filter(|module| !program.is_shared(*module))
        .collect();
    let home = *random.pick(&homes);
    program.modules[home].items.push(Item::Define {
        name: Name::Zero,
        how: How::Plain,
        weak: false,
        visibility: visibility(random, 50, 0),
        noinline: false,
        refs: Vec::new(),
    });
    defined
}

fn definition(random: &mut Random, name: Name, weak: bool, module: &Module, shared: bool) -> Item {
    let how = match (name, module.cpp) {
        (Name::Variable(_), false) if chance(random, 30) => How::Common(1 + random.below(5)),
        (Name::Function(_), false) if chance(random, 8) => How::Alias,
        (Name::Function(_), false) if !weak && chance(random, 2) => How::Ifunc,
        (Name::Function(_), _) if chance(random, 6) => How::Assembly,
        _ => How::Plain,
    };
    Item::Define {
        name,
        weak,
        visibility: if shared {
            Visibility::Default
        } else {
            visibility(random, 15, 7)
        },
        noinline: matches!(how, How::Plain) && matches!(name, Name::Function(_)) && chance(random, 50),
        how,
        refs: Vec::new(),
    }
}

/// Main, and what is in modules besides names for others.
fn others(random: &mut Random, program: &mut Program) {
    program.modules[0].items.push(Item::Main(Vec::new()));
    let structors = 30 * random.below(3);
    let sets = 25 * random.below(2);
    for module in &mut program.modules {
        if chance(random, 25) {
            module.items.push(Item::Unused {
                local: chance(random, 50),
                refs: Vec::new(),
            });
        }
        if chance(random, structors) {
            let priority = chance(random, 30).then(|| *random.pick(&[101, 200, 65535]));
            module.items.push(Item::Constructor {
                priority,
                destructor: chance(random, 20),
                refs: Vec::new(),
            });
        }
        if chance(random, sets) {
            module.items.push(Item::SetEntry(random.below(SETS)));
        }
        if chance(random, 3) {
            let name = Name::Function(random.below(FUNCTIONS));
            module.items.push(Item::AssemblyReference(name));
        }
    }
    if program.modules.len() > 3 && chance(random, 12) {
        let module = 1 + random.below(program.modules.len() - 1);
        let module = &mut program.modules[module];
        let routine = *random.pick(&["memset", "memcpy"]);
        module.items.push(Item::Routine(routine));
    }
}

/// Fills bodies, and says what declarations ask for.
fn references(random: &mut Random, program: &mut Program, defined: &BTreeSet<Name>) {
    let throws = chance(random, 15);
    let shared: Vec<bool> = (0..program.modules.len())
        .map(|module| program.is_shared(module))
        .collect();
    for (module, shared) in program.modules.iter_mut().zip(shared) {
        let cpp = module.cpp;
        for item in &mut module.items {
            let (lowest, most) = match item {
                Item::Define {
                    name: Name::Function(number),
                    how,
                    ..
                } => (*number + 1, if matches!(how, How::Assembly) { 0 } else { 3 }),
                Item::Define { .. } => (0, 0),
                Item::Main(_) => (0, 7),
                Item::Constructor { .. } => (0, 1),
                _ => (0, 3),
            };
            let least = if matches!(item, Item::Main(_)) { 3 } else { 0 };
            let Some(refs) = item.refs_mut() else { continue };
            if most == 0 {
                continue;
            }
            for _ in 0..least + random.below(most + 1 - least) {
                refs.extend(reference(random, lowest, cpp, throws, defined));
            }
        }
        let names: BTreeSet<Name> = module.items.iter().flat_map(Item::refs).filter_map(Ref::name).collect();
        for name in names {
            let visibility = visibility(random, 5, 3);
            // A library that cannot be linked is no input.
            if visibility != Visibility::Default && !shared {
                module.declared.insert(name, visibility);
            }
        }
    }
}

/// A reference from a body that may call functions from `lowest` on.
fn reference(random: &mut Random, lowest: usize, cpp: bool, throws: bool, defined: &BTreeSet<Name>) -> Option<Ref> {
    if cpp && chance(random, 40) {
        return Some(match random.below(8) {
            0..=2 => Ref::Inline(random.below(2)),
            3 | 4 => Ref::Template(random.below(2)),
            5 if throws => Ref::Throw,
            _ => Ref::Virtual,
        });
    }
    let variable = |random: &mut Random| {
        let name = Name::Variable(random.below(VARIABLES));
        defined.contains(&name).then_some(name)
    };
    match random.below(100) {
        0..=9 => variable(random).map(Ref::Load),
        10..=14 => variable(random).map(Ref::Store),
        15..=18 => {
            let name = Name::Tls(random.below(TLS));
            defined.contains(&name).then_some(Ref::Tls(name))
        }
        19..=21 => Some(Ref::Copy),
        22..=24 => Some(Ref::Clear),
        25 => Some(Ref::Divide),
        26..=31 => Some(Ref::Set(random.below(SETS))),
        number => {
            if lowest >= FUNCTIONS {
                return None;
            }
            let name = Name::Function(lowest + random.below(FUNCTIONS - lowest));
            Some(match number {
                32..=41 => Ref::Weak(name),
                // No definition anywhere: mostly not an error.
                _ if !defined.contains(&name) && !chance(random, 2) => Ref::Weak(name),
                42..=57 => Ref::Dead(name),
                58..=63 => Ref::Address(name),
                _ => Ref::Call(name),
            })
        }
    }
}
