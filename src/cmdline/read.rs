//! Reading a command line: words to items to what they add up to, in the order of lld's driver
//! (lld/ELF/Driver.cpp). Knows nothing of files but response files.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::driver::{self, Driver};
use super::error::CommandLineError;
use super::invocation::{ColorDiagnostics, Input, InputName, Invocation, Item, LtoSetting, OutputKind, Position};
use super::parse::{self, Parsed};
use super::position::State;
use super::response;
use super::table::{OptionDef, Role};
use super::tokenize::Quoting;

/// What `-plugin-opt=FILE` may end with: gcc's plugin, which lld ignores. Other values it does not know are errors.
const GCC_PLUGINS: &[&str] = &["lto-wrapper", "lto-wrapper.exe"];

/// `--rsp-quoting`'s values (lld `getQuotingStyle`).
const QUOTINGS: &[(&str, Quoting)] = &[("posix", Quoting::Posix), ("windows", Quoting::Windows)];

impl Invocation {
    /// Read a command line, given without `argv[0]`. Response files are the only files opened, relative to the current
    /// directory.
    ///
    /// # Errors
    /// What lld itself would refuse: an option without its value, an unreadable or recursive response file, an unknown
    /// `-flavor`, `--format`, `--rsp-quoting` or `--color-diagnostics`, a stray `--end-lib`. The real linker reports it
    /// best, given the same words. An option lld does not know is no error here: see [`Invocation::in_process`].
    pub fn read(args: Vec<OsString>) -> Result<Self, CommandLineError> {
        let args = match driver::of(args)? {
            Driver::Elf(args) => args,
            Driver::Foreign => {
                return Ok(Self {
                    foreign: true,
                    ..Self::of_items(Parsed::default())
                });
            }
        };
        // Nearly always there is nothing to expand, and what was read first is what counts.
        let unexpanded = args
            .iter()
            .any(|word| response::may_name_file(word))
            .then(|| args.clone());
        let mut missing = None;
        let mut read = |args| {
            let mut parsed = parse::parse(parse::glue(args));
            missing = parsed.missing.take();
            Self::of_items(parsed)
        };
        let mut invocation = read(args);
        // lld looks for `--rsp-quoting` on the command line before response files are expanded, not inside them.
        let quoting = value_of(&invocation, "rsp-quoting", QUOTINGS)?;
        if let Some(args) = unexpanded {
            invocation = read(response::expand(args, quoting)?);
        }
        if let Some(option) = missing {
            return Err(CommandLineError::MissingArgument(option));
        }
        value_of(&invocation, "color-diagnostics", ColorDiagnostics::VALUES)?;
        invocation.inputs = inputs(&invocation)?;
        invocation.search_paths = invocation.all("L").map(PathBuf::from).collect();
        invocation.sysroot = invocation.last("sysroot").map(PathBuf::from);
        invocation.kind = kind(&invocation);
        if let Some(output) = invocation.last("o").filter(|output| !output.is_empty()) {
            invocation.output = output.into();
        }
        invocation.informational = is_informational(&invocation);
        invocation.in_process = invocation.items.iter().find(|item| only_in_process(item)).map(reason);
        invocation.lto = lto(&invocation.items);
        Ok(invocation)
    }

    /// Items that add up to nothing yet.
    fn of_items(parsed: Parsed) -> Self {
        Self {
            items: parsed.items,
            own: parsed.own,
            output: PathBuf::from("a.out"),
            kind: OutputKind::Executable,
            inputs: Vec::new(),
            search_paths: Vec::new(),
            sysroot: None,
            lto: Vec::new(),
            informational: false,
            in_process: None,
            foreign: false,
        }
    }
}

/// The last value of an option out of those it can have; the default where it is not given.
fn value_of<T: Copy + Default>(
    invocation: &Invocation,
    option: &'static str,
    values: &[(&str, T)],
) -> Result<T, CommandLineError> {
    let Some(value) = invocation.last(option) else {
        return Ok(T::default());
    };
    let known = values.iter().find(|(name, _)| value == *name);
    known
        .map(|(_, meaning)| *meaning)
        .ok_or_else(|| CommandLineError::Value {
            option,
            value: value.to_string_lossy().into_owned(),
        })
}

/// Every input with the state in force where it stands (lld `LinkerDriver::createFiles`).
fn inputs(invocation: &Invocation) -> Result<Vec<Input>, CommandLineError> {
    let mut state = State::new(invocation.has("relocatable"));
    let mut inputs = Vec::new();
    for (index, item) in invocation.items.iter().enumerate() {
        match item {
            Item::Input(name) => {
                inputs.push(Input {
                    name: InputName::File(name.clone()),
                    position: state.position(),
                    item: index,
                });
            }
            Item::Option { def, value, .. } => {
                let value = value.as_deref();
                match def.canonical {
                    "l" => {
                        let name = InputName::Library(value.unwrap_or_default().to_owned());
                        inputs.push(Input {
                            name,
                            position: state.position(),
                            item: index,
                        });
                    }
                    "just-symbols" => {
                        let name = InputName::File(value.unwrap_or_default().to_owned());
                        let position = Position {
                            just_symbols: true,
                            ..state.position()
                        };
                        inputs.push(Input {
                            name,
                            position,
                            item: index,
                        });
                    }
                    canonical => state.pass(canonical, value)?,
                }
            }
        }
    }
    Ok(inputs)
}

/// lld's `readConfigs`: `-r` and `-shared` anywhere, the last of `-pie` and `-no-pie`.
fn kind(invocation: &Invocation) -> OutputKind {
    if invocation.has("relocatable") {
        OutputKind::Relocatable
    } else if invocation.has("shared") {
        OutputKind::Shared
    } else if invocation.flag("pie", "no-pie") == Some(true) {
        OutputKind::Pie
    } else {
        OutputKind::Executable
    }
}

/// lld's `linkerMain`: `--help` and `--version` always end it, `-v` where no file is named (`-l` does not count).
fn is_informational(invocation: &Invocation) -> bool {
    let asked = |item: &Item| matches!(item, Item::Option { def, .. } if def.role == Role::Informational);
    let no_file = || !invocation.items.iter().any(|item| matches!(item, Item::Input(_)));
    invocation.items.iter().any(asked) || (invocation.has("v") && no_file())
}

fn only_in_process(item: &Item) -> bool {
    match item {
        Item::Input(_) => false,
        Item::Option { def, .. } if def.role == Role::InProcess => true,
        Item::Option { def, value, .. } if def.role == Role::Lto => {
            value.as_deref().is_some_and(|value| value.to_str().is_none())
        }
        Item::Option { def, value, .. } => {
            let value = value.as_deref().unwrap_or_default().to_string_lossy();
            is_other_plugin_option(def) && !GCC_PLUGINS.iter().any(|plugin| value.ends_with(plugin))
        }
    }
}

/// The row that takes every `-plugin-opt=` no other row does.
fn is_other_plugin_option(def: &OptionDef) -> bool {
    def.name == "plugin-opt="
}

fn reason(item: &Item) -> String {
    match item {
        Item::Option { def, .. } if is_other_plugin_option(def) => typed(item),
        _ => item.spelled(),
    }
}

fn typed(item: &Item) -> String {
    item.words().join(OsStr::new(" ")).to_string_lossy().into_owned()
}

/// Reports that backends have a part in.
const TRACES: [&str; 2] = ["time-trace", "time-trace-granularity"];

/// LTO settings in the order in which lld hands them to LLVM (`readConfigs`): mcpu, `-plugin-opt=-X`, `-mllvm X`.
/// The rest keeps its order after them.
fn lto(items: &[Item]) -> Vec<LtoSetting> {
    let mut mcpu = None;
    let (mut plugin, mut mllvm, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    for item in items {
        let Item::Option { def, value, .. } = item else {
            continue;
        };
        if def.role != Role::Lto && !TRACES.contains(&def.canonical) {
            continue;
        }
        let value = value.as_deref().map(|value| value.to_string_lossy().into_owned());
        let setting = |value| LtoSetting {
            name: def.canonical,
            value,
            spelled: typed(item),
        };
        match (def.canonical, def.name) {
            ("mcpu", _) => mcpu = Some(setting(value)),
            (_, "plugin-opt=-") => plugin.push(setting(value.map(|option| format!("-{option}")))),
            ("mllvm", _) => mllvm.push(setting(value)),
            _ => rest.push(setting(value)),
        }
    }
    mcpu.into_iter().chain(plugin).chain(mllvm).chain(rest).collect()
}
