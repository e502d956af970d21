//! Library functions that the link could have had as bitcode and has not loaded. In-process backends are told of them and neither
//! call nor recognise them (lld/ELF/Driver.cpp, `setBitcodeLibFuncs`); no option of clang's says so to a backend.
//! Knows nothing of what is done about it.

use std::collections::{BTreeSet, HashSet};
use std::sync::LazyLock;

use rayon::prelude::*;

use super::Plan;
use crate::bitcode::facts::LtoMode;
use crate::inputs::{BitcodeSource, Inputs};
use crate::symbol_trace;
use crate::symbols::table_of_file;

/// What LLVM 23 takes for functions of a C or C++ library on any ELF target (llvm/Analysis/TargetLibraryInfo.td).
static NAMES: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("library_functions.txt").lines().collect());

/// Those that bitcode defines which was not loaded, and none that was.
pub(super) fn in_unloaded_bitcode(plan: &Plan, inputs: &Inputs, mode: LtoMode) -> BTreeSet<String> {
    let loaded: HashSet<BitcodeSource> = plan.bitcode(inputs, mode).into_iter().collect();
    let unloaded: Vec<BitcodeSource> = inputs.all_bitcode().filter(|source| !loaded.contains(source)).collect();
    let names: BTreeSet<String> = defined(inputs, &unloaded);
    match names.is_empty() {
        true => names,
        false => &names - &defined(inputs, &loaded.into_iter().collect::<Vec<_>>()),
    }
}

fn defined(inputs: &Inputs, sources: &[BitcodeSource]) -> BTreeSet<String> {
    let of_one = |source: &BitcodeSource| -> Vec<String> {
        // What cannot be read here lld has read, or will complain of.
        let symbols = table_of_file(inputs, *source).unwrap_or_default();
        let defined = symbols.iter().filter(|symbol| symbol.is_definition());
        let names = defined.filter_map(|symbol| str::from_utf8(symbol.name).ok());
        names.filter(|name| NAMES.contains(name)).map(str::to_owned).collect()
    };
    sources.par_iter().flat_map_iter(of_one).collect()
}

/// Those of `names` that nothing loaded defines, by what a link said that traced them.
pub(super) fn still_unloaded<'a>(names: &'a BTreeSet<String>, said: &str) -> Vec<&'a str> {
    let defined: HashSet<&str> = said.lines().filter_map(symbol_trace::defined).collect();
    let names = names.iter().map(String::as_str);
    names.filter(|name| !defined.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_an_elf_library() {
        assert!(NAMES.len() > 500 && NAMES.contains("puts") && NAMES.contains("_Znwm"));
    }

    #[test]
    fn what_is_defined_is_not_left() {
        let names = BTreeSet::from(["puts", "strlen", "memchr", "sin"].map(str::to_owned));
        let said = "l.a(p.o): lazy definition of puts\nm.o: reference to sin\nlibm.so: shared definition of sin\nm.o\n\
                    libc.so: shared definition of strlen\nx.o: definition of memchr";
        assert_eq!(still_unloaded(&names, said), ["puts"]);
    }
}
