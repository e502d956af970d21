//! `-y SYMBOL`: lld's lines about who refers to a symbol and who defines it, told from others on its stdout.
//! Knows nothing of which link says what.

use crate::cmdline::Invocation;

/// What stands behind a file that would define a symbol, were it loaded.
pub const LAZY: &str = ": lazy definition of ";

/// What stands behind a file that is linked and defines a symbol.
const DEFINITIONS: [&str; 3] = [": definition of ", ": shared definition of ", ": common definition of "];

/// What stands between a file and a symbol (lld/ELF/Symbols.cpp `printTraceSymbol`).
const FORMS: [&str; 5] = [": reference to ", DEFINITIONS[0], LAZY, DEFINITIONS[1], DEFINITIONS[2]];

/// The file that a line is about, where it is about a symbol that the user wants traced.
pub fn file<'line>(line: &'line str, invocation: &Invocation) -> Option<&'line str> {
    let told = |form: &str| {
        let (file, symbol) = line.rsplit_once(form)?;
        invocation
            .all("trace-symbol")
            .any(|asked| asked == symbol)
            .then_some(file)
    };
    FORMS.iter().find_map(|form| told(form))
}

/// The symbol that a line says is defined by something linked.
pub fn defined(line: &str) -> Option<&str> {
    let mut symbols = DEFINITIONS.into_iter().filter_map(|form| line.rsplit_once(form));
    symbols.next().map(|(_, symbol)| symbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_about_traced_symbols_only() {
        let words = ["-y", "f", "--trace-symbol=g", "a: definition of f"].map(Into::into);
        let invocation = Invocation::read(words.to_vec()).unwrap();
        assert_eq!(file("a.o: reference to f", &invocation), Some("a.o"));
        assert_eq!(
            file("libx.a(m.o): lazy definition of g", &invocation),
            Some("libx.a(m.o)")
        );
        assert_eq!(file("a.o: reference to h", &invocation), None);
        assert_eq!(file("a.o", &invocation), None);
    }
}
