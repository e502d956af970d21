//! A compiler's command without what is of no use without its source: inputs, outputs, preprocessor, warnings.
//! Knows nothing of what the options left mean; clang is asked that.

use std::ffi::OsStr;
use std::path::Path;

use super::Unknown;
use crate::shell::Words;

/// What becomes of a word, by how it begins.
#[derive(Clone, Copy)]
enum Word {
    /// It stays.
    Kept,
    /// It stays with the next.
    KeptWithNext,
    /// It goes.
    Dropped,
    /// It goes, and where nothing is glued to it the next too.
    DroppedWithNext,
    /// It goes, and the next always.
    DroppedAndNext,
}

/// clang/include/clang/Driver/Options.td (`clang/Options/Options.td` since 22), first match counts. Options with a value of
/// their own are either here or glued to it; whatever begins with no dash is an input.
const WORDS: &[(&str, Word)] = &[
    ("-mllvm", Word::KeptWithNext),
    ("-Xclang", Word::KeptWithNext),
    ("-Xassembler", Word::KeptWithNext),
    ("-Xpreprocessor", Word::DroppedAndNext),
    ("-Xlinker", Word::DroppedAndNext),
    ("-target=", Word::Kept),
    ("-target", Word::KeptWithNext),
    ("--param", Word::DroppedWithNext),
    ("-Wa,", Word::Kept),
    ("-W", Word::Dropped),
    ("-w", Word::Dropped),
    ("-pedantic", Word::Dropped),
    ("-fdiagnostics", Word::Dropped),
    ("-fcolor-diagnostics", Word::Dropped),
    ("-isysroot", Word::KeptWithNext),
    ("-include", Word::DroppedAndNext),
    ("-imacros", Word::DroppedAndNext),
    ("-isystem", Word::DroppedWithNext),
    ("-iquote", Word::DroppedWithNext),
    ("-idirafter", Word::DroppedWithNext),
    ("-iprefix", Word::DroppedWithNext),
    ("-iwithprefix", Word::DroppedWithNext),
    ("-I", Word::DroppedWithNext),
    ("-D", Word::DroppedWithNext),
    ("-U", Word::DroppedWithNext),
    ("-L", Word::DroppedWithNext),
    ("-B", Word::DroppedWithNext),
    ("--sysroot", Word::DroppedWithNext),
    ("-resource-dir", Word::DroppedWithNext),
    ("-gcc-toolchain", Word::DroppedWithNext),
    ("--gcc-toolchain", Word::DroppedWithNext),
    ("-MF", Word::DroppedWithNext),
    ("-MT", Word::DroppedWithNext),
    ("-MQ", Word::DroppedWithNext),
    ("-MJ", Word::DroppedWithNext),
    ("-M", Word::Dropped),
    ("-serialize-diagnostics", Word::DroppedAndNext),
    ("--serialize-diagnostics", Word::DroppedAndNext),
    ("-fmacro-prefix-map=", Word::Dropped),
    ("-ffile-prefix-map=", Word::Dropped),
    ("-fdebug-prefix-map=", Word::Dropped),
    ("-fmodule", Word::Dropped),
    ("-nostdinc", Word::Dropped),
    ("-std=", Word::Dropped),
    // Instrumentation and visibility are in the bitcode, and the driver refuses some of it without `-flto`.
    ("-fsanitize", Word::Dropped),
    ("-fno-sanitize", Word::Dropped),
    ("-fprofile", Word::Dropped),
    ("-fcs-profile", Word::Dropped),
    ("-fcoverage", Word::Dropped),
    ("-fwhole-program-vtables", Word::Dropped),
    ("-fvirtual-function-elimination", Word::Dropped),
    ("-fsplit-lto-unit", Word::Dropped),
    ("-flto", Word::Dropped),
    ("-ffat-lto-objects", Word::Dropped),
    ("-save-temps", Word::Dropped),
    ("--save-temps", Word::Dropped),
    ("-x", Word::DroppedWithNext),
];

/// Words that say what is to be done, whole.
const ACTIONS: [&str; 4] = ["-c", "-S", "-E", "-pipe"];

/// How options begin that name files of options, or folders where clang finds them.
const CONFIG: &str = "--config";

/// The options of a compiler's command, `words` being those behind its name.
pub(super) fn of(words: &[impl AsRef<OsStr>]) -> Result<Vec<String>, Unknown> {
    let mut options = Vec::new();
    let mut words = words.iter().map(|word| word.as_ref().to_str().ok_or(Unknown::NotText));
    while let Some(word) = words.next().transpose()? {
        if word.starts_with('@') {
            return Err(Unknown::ResponseFile(word.to_owned()));
        }
        if word.starts_with(CONFIG) {
            // `--config FILE` is of two words.
            let file = words.next().transpose()?.filter(|_| word == CONFIG);
            let whole: Vec<&str> = [word].into_iter().chain(file).collect();
            return Err(Unknown::ResponseFile(whole.join(" ")));
        }
        if ACTIONS.contains(&word) || !word.starts_with('-') {
            continue;
        }
        // `-o` is all letters of more than one option; glued, a name follows, which no other option's letters do.
        if word == "-o" {
            words.next();
            continue;
        }
        let found = WORDS.iter().find(|(begins, _)| word.starts_with(begins));
        match found {
            None | Some((_, Word::Kept)) => options.push(word.to_owned()),
            Some((begins, Word::KeptWithNext)) => {
                options.push(word.to_owned());
                if word == *begins {
                    options.extend(words.next().transpose()?.map(str::to_owned));
                }
            }
            Some((begins, Word::DroppedWithNext)) if word != *begins => {}
            Some((_, Word::DroppedAndNext | Word::DroppedWithNext)) => {
                words.next();
            }
            Some((_, Word::Dropped)) => {}
        }
    }
    Ok(options)
}

/// The words behind the compiler's name, where the command has `-c`: with what stands before it passed over, assignments
/// and launchers (`ccache clang-22 …`).
pub(super) fn behind_compiler(words: &Words) -> Option<&[std::ffi::OsString]> {
    let is_option = |word: &std::ffi::OsString| word.as_encoded_bytes().starts_with(b"-");
    let names = words.iter().take_while(|word| !is_option(word)).count();
    let is_clang = |word: &std::ffi::OsString| {
        let name = Path::new(word).file_name().unwrap_or_default();
        name.as_encoded_bytes().windows(5).any(|five| five == b"clang")
    };
    let leading = words.get(..names)?;
    let compiler = leading.iter().position(is_clang).unwrap_or(0);
    let rest = words.get(compiler + 1..)?;
    rest.iter().any(|word| word == "-c").then_some(rest)
}

/// What `-o` of a command names.
pub(super) fn output(words: &[impl AsRef<OsStr>]) -> Option<&Path> {
    let at = words.iter().rposition(|word| word.as_ref() == "-o")?;
    words.get(at + 1).map(|word| Path::new(word.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn words(line: &str) -> Words {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn what_is_left_of_kbuilds_command() {
        let line = "ccache clang-22 -Wp,-MMD,lib/.x.o.d -nostdinc -I./include -include linux/kconfig.h -D__KERNEL__ \
                    --target=x86_64-linux-gnu -Werror=return-type -std=gnu11 -O2 -mllvm -inline-threshold=3 -falign-loops=64 \
                    -Wa,--noexecstack -flto=thin -fsplit-lto-unit -fsanitize=cfi -isystem /usr/include -I include -c -o lib/x.o lib/x.c";
        let words = words(line);
        let rest = behind_compiler(&words).unwrap();
        assert_eq!(
            of(rest).unwrap(),
            [
                "--target=x86_64-linux-gnu",
                "-O2",
                "-mllvm",
                "-inline-threshold=3",
                "-falign-loops=64",
                "-Wa,--noexecstack"
            ]
        );
        assert_eq!(output(rest), Some(Path::new("lib/x.o")));
    }

    #[test]
    fn what_is_no_compilation_or_cannot_be_told() {
        assert_eq!(behind_compiler(&words("ld.lld -r -o a.o b.o")), None);
        assert_eq!(behind_compiler(&words("")), None);
        for (line, from) in [
            ("-O2 @more", "@more"),
            ("--config=more -O2", "--config=more"),
            ("--config more -O2", "--config more"),
            ("--config-user-dir=d", "--config-user-dir=d"),
            ("-O2 --config", "--config"),
        ] {
            assert_eq!(of(&words(line)), Err(Unknown::ResponseFile(from.into())));
        }
        assert_eq!(of(&words("-O2 -mllvm")).unwrap(), ["-O2", "-mllvm"]);
    }
}
