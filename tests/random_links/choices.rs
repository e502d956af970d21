//! Options of a random link, with the files they name.

use super::common::random::Random;
use super::generate::{FUNCTIONS, chance};
use super::program::{Choice, How, Item, Kind, Name, Output, Program, Visibility};

fn words(words: &[&str]) -> Choice {
    Choice {
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        file: None,
        last: false,
    }
}

/// Words that name a file with this text.
fn with_file(format: &str, file: &str, text: String, last: bool) -> Choice {
    Choice {
        words: vec![format.replace("FILE", file)],
        file: Some((file.to_owned(), text)),
        last,
    }
}

fn function(random: &mut Random) -> String {
    Name::Function(random.below(FUNCTIONS)).to_string()
}

/// A function and one that it may call.
fn two(random: &mut Random) -> (String, String) {
    let first = random.below(FUNCTIONS - 1);
    let second = first + 1 + random.below(FUNCTIONS - first - 1);
    (Name::Function(first).to_string(), Name::Function(second).to_string())
}

pub fn choose(random: &mut Random, program: &mut Program) {
    let output = program.output;
    let script_for = if output == Output::Shared { 50 } else { 3 };
    if output != Output::Relocatable && chance(random, script_for) {
        let script = version_script(random);
        if script.contains("V1") && output == Output::Shared && chance(random, 40) {
            versioned(random, program);
        }
        // lld's own choice is to refuse a script that names what is not there.
        if chance(random, 90) {
            program.choices.push(words(&["--undefined-version"]));
        }
        program
            .choices
            .push(with_file("--version-script=FILE", "v.map", script, false));
    }
    if output == Output::Shared {
        for (percent, option) in [
            (30, &["-z", "defs"][..]),
            (15, &["-Bsymbolic"]),
            (8, &["-Bsymbolic-functions"]),
            (5, &["-e", "f3"]),
        ] {
            if chance(random, percent) {
                program.choices.push(words(option));
            }
        }
    }
    if program.has_fat() {
        program.choices.push(words(&["--fat-lto-objects"]));
    }
    for kind in std::iter::repeat_n(None, random.below(4)).chain(always().map(Some)) {
        let choice = one(random, program, kind);
        program.choices.push(choice);
    }
}

/// The kind of choice that each link is to have, if any: to look for the brothers of a difference.
fn always() -> Option<usize> {
    std::env::var("RANDOM_LINKS_CHOICE")
        .ok()
        .map(|number| number.parse().unwrap())
}

fn one(random: &mut Random, program: &mut Program, kind: Option<usize>) -> Choice {
    let relocatable = program.output == Output::Relocatable;
    let (first, second) = two(random);
    match kind.unwrap_or_else(|| random.below(19)) {
        0 => words(&["-u", &function(random)]),
        1 => words(&[*random.pick(&["--undefined-glob=f*", "--undefined-glob=f[3-5]", "--undefined-glob=v?"])]),
        2 if !relocatable => words(&["--export-dynamic"]),
        3 => words(&[&format!(
            "--export-dynamic-symbol={}",
            random.pick(&["f1", "f*", "v0", "zero"])
        )]),
        4 => words(&[&format!("--defsym={first}={second}")]),
        5 if first.ends_with(['0', '2', '4', '6', '8']) => {
            with_file("FILE", "assign.ld", format!("{first} = {second};\n"), true)
        }
        5 => words(&["--defsym=v0=v1"]),
        6 => {
            wrapped(random, program, &first);
            words(&[&format!("--wrap={first}")])
        }
        7 => with_file(
            "FILE",
            "provide.ld",
            format!("PROVIDE({first} = {second});\n"),
            chance(random, 50),
        ),
        8 => with_file(
            "FILE",
            "extern.ld",
            format!("EXTERN({first} {second})\n"),
            chance(random, 50),
        ),
        9 if !relocatable => {
            let text = format!("SECTIONS {{ .inserted : {{ QUAD({first} == {second}) }} }} INSERT AFTER .data;\n");
            with_file("-TFILE", "insert.ld", text, false)
        }
        10 => words(&[*random.pick(&["--exclude-libs=ALL", "--exclude-libs=libg1.a", "--exclude-libs=libg2.a"])]),
        11 | 12 if !relocatable => words(&["--gc-sections"]),
        13 if !relocatable => words(&["--icf=all"]),
        14 => with_file(
            "--dynamic-list=FILE",
            "dynamic.list",
            format!("{{ {first}; {second}; v*; }};\n"),
            false,
        ),
        15 if !relocatable => words(&["-z", "nostart-stop-gc", "--gc-sections"]),
        16 => words(&["--warn-backrefs"]),
        17 => words(&[*random.pick(&[
            "--allow-multiple-definition",
            "--unresolved-symbols=ignore-all",
            "--no-allow-shlib-undefined",
        ])]),
        18 => words(&[*random.pick(&["-O2", "--lto-O1", "--lto-O3", "--discard-all", "-s", "--no-gc-sections"])]),
        _ => words(&["--undefined", &function(random)]),
    }
}

fn version_script(random: &mut Random) -> String {
    match random.below(6) {
        0 => "{ global: entry; f1; f3; f5; v*; local: *; };\n".to_owned(),
        1 => "{ local: f2; f4; v1; };\n".to_owned(),
        2 => "V1 { global: entry; f[0-4]; local: *; }; V2 { global: f5; f6; v*; t*; } V1;\n".to_owned(),
        3 => "V1 { global: f1; f2; f3; }; V2 { global: f*; } V1;\n".to_owned(),
        4 => "V1 { global: entry; f*; extern \"C++\" { in*; \"in1()\" }; local: *; }; V2 { v1; };\n".to_owned(),
        _ => "V1 { f1; }; V2 { global: f1; entry; local: v*; };\n".to_owned(),
    }
}

/// A definition of one version of a name, where the module has none of the name itself.
fn versioned(random: &mut Random, program: &mut Program) {
    let name = Name::Function(random.below(FUNCTIONS));
    let at = random.below(program.modules.len());
    if program.is_shared(at) {
        return;
    }
    let module = &mut program.modules[at];
    if module.cpp || module.items.iter().any(|item| item.defines() == Some(name)) {
        return;
    }
    let how = How::Versioned(1 + random.below(2), chance(random, 70));
    module.items.push(definition(name, how));
}

/// A wrapper in some module, mostly.
fn wrapped(random: &mut Random, program: &mut Program, name: &str) {
    let Some(number) = name.strip_prefix('f').and_then(|number| number.parse().ok()) else {
        return;
    };
    let at = random.below(program.modules.len());
    if program.is_shared(at) || chance(random, 10) {
        return;
    }
    let items = &mut program.modules[at].items;
    let item = definition(Name::Function(number), How::Wrap);
    if !items.contains(&item) {
        items.push(item);
    }
}

fn definition(name: Name, how: How) -> Item {
    Item::Define {
        name,
        how,
        weak: false,
        visibility: Visibility::Default,
        noinline: false,
        refs: Vec::new(),
    }
}

/// The compiler's options that make a module of this kind.
pub fn kind_flags(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Thin => &["-flto=thin"],
        Kind::Regular => &["-flto=full"],
        Kind::Native => &[],
        Kind::Fat => &["-flto=thin", "-ffat-lto-objects"],
    }
}
