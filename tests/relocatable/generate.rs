//! Random objects as assembly: sections that share names and are ordered by others, in groups and out of them, with
//! relocations and debug information. Knows nothing of how they are linked.

use std::fmt::Write as _;

use crate::common::random::Random;

/// Both classes and both byte orders; REL and RELA.
pub const TARGETS: [&str; 8] = [
    "x86_64-linux-gnu",
    "x86_64-linux-gnu",
    "i386-linux-gnu",
    "aarch64-linux-gnu",
    "aarch64_be-linux-gnu",
    "powerpc-linux-gnu",
    "powerpc64-linux-gnu",
    "riscv64-linux-gnu",
];

/// Names that many sections have; in one link of two, one of them is of a section that is ordered by none as well.
const ORDERED: [&str; 4] = ["__patchable_function_entries", ".kcfi_traps", ".map", "plain"];

/// What lld knows by name.
const KNOWN: [&str; 3] = [".debug_ordered", ".note.ordered", ".comment"];

/// The objects of one link, each an assembler's source.
pub struct Program {
    pub target: &'static str,
    pub sources: Vec<String>,
}

/// As `random` has it.
pub fn program(random: &mut Random) -> Program {
    let target = *random.pick(&TARGETS);
    let objects = 1 + random.below(4);
    let mixed = (random.below(4) == 0).then(|| *random.pick(&ORDERED));
    let sources = (0..objects).map(|object| source(random, object, mixed)).collect();
    Program { target, sources }
}

fn source(random: &mut Random, object: usize, mixed: Option<&str>) -> String {
    let mut text = String::new();
    let functions = random.below(30);
    for function in 0..functions {
        one(random, &mut text, object, function);
    }
    if let Some(name) = mixed {
        let _ = writeln!(text, ".section {name},\"aw\",%progbits\n.long {object}");
    }
    if random.below(2) == 0 {
        for name in [".debug_info", ".debug_line"] {
            let _ = writeln!(text, ".section {name},\"\",%progbits\n.long 0x{:x}", random.below(1000));
            if functions > 0 {
                let _ = writeln!(text, ".long f{object}_0");
            }
        }
        text.push_str(".section .debug_str,\"MS\",%progbits,1\n.asciz \"same\"\n");
    }
    if random.below(3) == 0 {
        text.push_str(".weak __start_plain\n.data\n.long __start_plain\n");
    }
    text.push_str(".section .note.GNU-stack,\"\",%progbits\n");
    text
}

/// A function, and what is linked to it.
fn one(random: &mut Random, text: &mut String, object: usize, function: usize) {
    let is_grouped = random.below(4) == 0;
    // Some names are shared with other objects, some groups too.
    let shared = random.below(20);
    let (section, group) = match (is_grouped, random.below(3)) {
        (true, _) => (format!(".text.g{shared}"), format!("G,%progbits,g{shared},comdat")),
        (false, 0) => (".text".to_owned(), String::new()),
        (false, 1) => (format!(".text.s{shared}"), String::new()),
        (false, _) => (format!(".text.f{object}_{function}"), String::new()),
    };
    let symbol = format!("f{object}_{function}");
    let unique = object * 1000 + function;
    let _ = match group.split_once(',') {
        Some((flag, rest)) => writeln!(text, ".section {section},\"ax{flag}\",{rest}"),
        None => writeln!(text, ".section {section},\"ax\",%progbits"),
    };
    let binding = *random.pick(&["", ".globl", ".weak"]);
    if !binding.is_empty() {
        let _ = writeln!(text, "{binding} {symbol}");
    }
    let _ = writeln!(
        text,
        "{symbol}:\n.Lin_{symbol}:\n.long {}\n.long outside{shared}",
        random.below(99)
    );
    for (number, name) in ORDERED.iter().enumerate() {
        if random.below(3) == 0 {
            continue;
        }
        let flags = *random.pick(&["ao", "awo", "o"]);
        // The assembler's own way to have many of one name.
        let unique = unique * 8 + number;
        // Left outside where its group is not linked, it fails the link.
        let _ = match is_grouped && random.below(30) != 0 {
            true => writeln!(
                text,
                ".section {name},\"{flags}G\",%progbits,{symbol},g{shared},comdat,unique,{unique}"
            ),
            false => writeln!(text, ".section {name},\"{flags}\",%progbits,{symbol},unique,{unique}"),
        };
        let _ = writeln!(text, ".p2align {}", random.below(4));
        for _ in 0..1 + random.below(3) {
            let _ = match random.below(3) {
                0 => writeln!(text, ".long {symbol}"),
                1 => writeln!(text, ".long .Lin_{symbol}"),
                _ => writeln!(text, ".long 7"),
            };
        }
    }
    if random.below(12) == 0 {
        let name = random.pick(&KNOWN);
        let unique = unique * 8 + 7;
        let _ = writeln!(
            text,
            ".section {name},\"o\",%progbits,{symbol},unique,{unique}\n.long 3"
        );
    }
}
