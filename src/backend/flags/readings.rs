//! Whether two `-cc1` lines come to the same for a backend: what the code generator reads of each, the last of a kind counting.
//! Knows nothing of where the lines come from.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::draft::LOOP_INTERCHANGE;
use super::mllvm::Value;
use super::of_object;

/// What the link decides of a backend, besides the options that an object's own compilation can have ([`of_object`]).
const DECIDED: &[(&str, Value)] = &[
    ("-triple", Value::Separate),
    ("-target-cpu", Value::Separate),
    ("-target-abi", Value::Separate),
    ("-mrelocation-model", Value::Separate),
    ("-O", Value::Joined),
    ("-emit-obj", Value::None),
    ("-emit-llvm-bc", Value::None),
    ("-ffunction-sections", Value::None),
    ("-fdata-sections", Value::None),
    ("-faddrsig", Value::None),
    ("-vectorize-loops", Value::None),
    ("-vectorize-slp", Value::None),
    ("-funroll-loops", Value::None),
    (LOOP_INTERCHANGE, Value::None),
    (NO_PASSES, Value::None),
];

/// Without an optimiser nobody reads these.
const NO_PASSES: &str = "-disable-llvm-passes";
const OPTIMISERS: [&str; 4] = ["-vectorize-loops", "-vectorize-slp", "-funroll-loops", LOOP_INTERCHANGE];

/// What LLVM 16's driver adds everywhere: where a vector's length is taken for fixed that is not, a warning and no end
/// (llvm/lib/Support/TypeSize.cpp). The code is the same.
const ONLY_SAYS: &str = "-mllvm treat-scalable-fixed-error-as-warning";

/// Adds up, in order.
const FEATURE: &str = "-target-feature";

/// The first option that a backend reads otherwise in `one` than in `other`; none where both come to the same object.
pub fn difference(one: &[OsString], other: &[OsString], major: u32) -> Option<String> {
    let [one, other] = [one, other].map(|line| readings(line, major));
    let names = one.keys().chain(other.keys());
    let differing = names.filter(|name| one.get(*name) != other.get(*name));
    differing.min().cloned()
}

/// What is read, by option.
fn readings(line: &[OsString], major: u32) -> BTreeMap<String, Vec<String>> {
    let line: Vec<String> = line.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut readings: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for words in of_object::reaching(&line, major) {
        readings.insert(of_object::option(&words), words);
    }
    readings.remove(ONLY_SAYS);
    let mut words = line.iter();
    while let Some(word) = words.next() {
        if word == FEATURE {
            readings
                .entry(FEATURE.to_owned())
                .or_default()
                .extend(words.next().cloned());
            continue;
        }
        let is_this = |(known, value): &&(&str, Value)| match value {
            Value::Joined => word.starts_with(known),
            Value::None | Value::Separate => word == known,
        };
        let Some((known, value)) = DECIDED.iter().find(is_this) else {
            continue;
        };
        let said = match value {
            Value::Separate => words.next().cloned().unwrap_or_default(),
            Value::None | Value::Joined => word.clone(),
        };
        match said.is_empty() {
            // An empty CPU is none.
            true => readings.remove(*known),
            false => readings.insert((*known).to_owned(), vec![said]),
        };
    }
    if readings.contains_key(NO_PASSES) {
        readings.retain(|name, _| !OPTIMISERS.contains(&name.as_str()));
    }
    readings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(one: &str, other: &str) -> Option<String> {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        difference(&words(one), &words(other), 22)
    }

    #[test]
    fn the_last_of_a_kind_counts_and_a_front_end_s_words_do_not() {
        assert_eq!(first("-O0 -O2 -fmath-errno", "-O2 -std=c11"), None);
        assert_eq!(first("-target-cpu a -target-cpu ", ""), None);
        assert_eq!(
            first("-O2 -vectorize-loops", "-O2").as_deref(),
            Some("-vectorize-loops")
        );
        assert_eq!(
            first("-O2 -vectorize-loops -disable-llvm-passes", "-O2 -disable-llvm-passes"),
            None
        );
        assert_eq!(first("-O2", "-O1").as_deref(), Some("-O"));
        assert_eq!(first("-mllvm -a=1", "-mllvm -a=2").as_deref(), Some("-mllvm a"));
        assert_eq!(
            first(
                "-target-feature +a -target-feature -a",
                "-target-feature -a -target-feature +a"
            )
            .as_deref(),
            Some("-target-feature")
        );
        assert_eq!(first("-enable-tlsdesc", "").as_deref(), Some("-enable-tlsdesc"));
    }
}
