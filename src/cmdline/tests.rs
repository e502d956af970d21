//! Link lines and what they add up to.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use proptest::prelude::*;

use super::table;
use super::*;

fn read(line: &str) -> Invocation {
    Invocation::read(line.split_whitespace().map(OsString::from).collect()).unwrap()
}

fn error(line: &str) -> CommandLineError {
    Invocation::read(line.split_whitespace().map(OsString::from).collect()).unwrap_err()
}

/// Inputs as one would write them down, each with the letters of its state.
fn inputs(line: &str) -> Vec<String> {
    let describe = |input: &Input| {
        let name = match &input.name {
            InputName::File(name) => name.to_string_lossy().into_owned(),
            InputName::Library(name) => format!("-l{}", name.display()),
        };
        let position = input.position;
        let letters = [
            (position.whole_archive, 'w'),
            (position.prefer_static, 's'),
            (position.as_needed, 'n'),
            (position.in_lib, 'l'),
            (position.binary, 'b'),
            (position.just_symbols, 'j'),
        ];
        let letters: String = letters.iter().filter_map(|(on, letter)| on.then_some(letter)).collect();
        if letters.is_empty() {
            name
        } else {
            format!("{name}:{letters}")
        }
    };
    let link = read(line);
    for input in &link.inputs {
        let named = matches!(&link.items[input.item], Item::Option { def, .. } if def.role == Role::Positional);
        assert!(named || matches!(&link.items[input.item], Item::Input(_)), "{input:?}");
    }
    link.inputs.iter().map(describe).collect()
}

fn lto(line: &str) -> Vec<(&'static str, Option<String>)> {
    read(line)
        .lto
        .into_iter()
        .map(|setting| (setting.name, setting.value))
        .collect()
}

#[test]
fn a_link_as_clang_writes_it() {
    let link = read(
        "--hash-style=both -pie --eh-frame-hdr -m elf_x86_64 -dynamic-linker /lib64/ld-linux-x86-64.so.2 -o prog \
         /usr/lib/Scrt1.o -L/usr/lib -L /lib -plugin-opt=mcpu=x86-64 -plugin-opt=O2 --thinlto-jobs=4 main.o -lm \
         --as-needed -lgcc_s --no-as-needed /usr/lib/crtn.o",
    );
    assert_eq!(link.output, Path::new("prog"));
    assert_eq!(link.kind, OutputKind::Pie);
    assert_eq!(link.search_paths, [Path::new("/usr/lib"), Path::new("/lib")]);
    assert_eq!(link.inputs.len(), 5);
    assert_eq!(
        link.last("dynamic-linker"),
        Some(OsStr::new("/lib64/ld-linux-x86-64.so.2"))
    );
    assert_eq!(
        (link.informational, link.in_process.as_deref(), link.foreign),
        (false, None, false)
    );
    assert_eq!(link.lto_value("lto-O"), Some("2"));
    assert_eq!(
        link.lto.first().map(|setting| setting.spelled.as_str()),
        Some("-plugin-opt=mcpu=x86-64")
    );
}

#[test]
fn state_of_inputs() {
    assert_eq!(
        inputs("a.o --whole-archive b.a --no-whole-archive c.a"),
        ["a.o", "b.a:w", "c.a"]
    );
    assert_eq!(
        inputs("-Bstatic -la -dy -lb -static -lc -Bdynamic -l d -non_shared -l:e.so"),
        ["-la:s", "-lb", "-lc:s", "-ld", "-l:e.so:s"]
    );
    assert_eq!(
        inputs("-N -la -call_shared -lb -n --library=c"),
        ["-la:s", "-lb", "-lc:s"]
    );
    assert_eq!(
        inputs("--start-lib a.o b.o --end-lib c.o ( d.a )"),
        ["a.o:l", "b.o:l", "c.o", "(", "d.a", ")"]
    );
    assert_eq!(
        inputs("-( a.a -) -b binary x.png --format=elf y.o --just-symbols z.o"),
        ["a.a", "x.png:b", "y.o", "z.o:j"]
    );
    assert_eq!(inputs("-l a - --as-needed --library b"), ["-la", "-", "-lb:n"]);
}

#[test]
fn pushed_state_is_three_things() {
    assert_eq!(
        inputs("--push-state --whole-archive --as-needed -Bstatic -b binary a --pop-state b"),
        ["a:wsnb", "b:b"]
    );
}

#[test]
fn relocatable_output_stays_static() {
    assert_eq!(
        inputs("-Bdynamic -la --push-state -dy --pop-state -lb -r"),
        ["-la:s", "-lb:s"]
    );
}

#[test]
fn capital_r_is_a_run_path() {
    let link = read("-R /opt/lib -R/usr/lib a.o");
    assert_eq!(link.all("rpath").collect::<Vec<_>>(), ["/opt/lib", "/usr/lib"]);
    assert_eq!(link.inputs.len(), 1);
}

#[test]
fn kinds() {
    for (line, kind) in [
        ("a.o", OutputKind::Executable),
        ("-no-pie -pie a.o", OutputKind::Pie),
        ("-pie --no-pie a.o", OutputKind::Executable),
        ("--pic-executable", OutputKind::Pie),
        ("-static -pie --no-dynamic-linker", OutputKind::Pie),
        ("-pie -Bshareable", OutputKind::Shared),
        ("-shared -pie -r", OutputKind::Relocatable),
    ] {
        assert_eq!(read(line).kind, kind, "{line}");
    }
}

#[test]
fn outputs() {
    for (line, output) in [
        ("", "a.out"),
        ("-o x --output=y", "y"),
        ("-omagic", "magic"),
        ("--output z", "z"),
    ] {
        assert_eq!(read(line).output, Path::new(output), "{line}");
    }
}

#[test]
fn lto_settings_have_one_name() {
    let option = |name, value: &str| (name, Some(value.to_owned()));
    assert_eq!(
        lto(
            "-mllvm -a -plugin-opt=-b --plugin-opt mcpu=x -plugin-opt mcpu=y --lto-O3 -mllvm=-c -plugin-opt=save-temps"
        ),
        [
            option("mcpu", "y"),
            option("mllvm", "-b"),
            option("mllvm", "-a"),
            option("mllvm", "-c"),
            option("lto-O", "3"),
            ("save-temps", None)
        ]
    );
    assert_eq!(
        lto("-plugin-opt=obj-path=o -plugin-opt=dwo_dir=d"),
        [option("lto-obj-path", "o"), option("dwo_dir", "d")]
    );
    assert_eq!(
        lto("-plugin LLVMgold.so -plugin-opt=thinlto -plugin-opt=-pass-through=-lgcc -plugin-opt=/x/lto-wrapper"),
        []
    );
}

#[test]
fn fat_lto_objects_last_wins() {
    assert!(!read("a.o").fat_lto_objects());
    assert!(read("--no-fat-lto-objects --fat-lto-objects").fat_lto_objects());
    assert!(!read("--fat-lto-objects --no-fat-lto-objects").fat_lto_objects());
}

#[test]
fn left_to_lld_and_why() {
    for (line, reason) in [
        ("--reproduce x.tar a.o", "--reproduce"),
        ("-o x --reproduce=x.tar", "--reproduce"),
        ("-plugin-opt=emit-asm", "-plugin-opt=emit-asm"),
        ("--plugin-opt thinlto-index-only=x", "--plugin-opt=thinlto-index-only"),
        ("-plugin-opt=new-thing", "-plugin-opt=new-thing"),
        ("--new-thing=3 --reproduce x", "--new-thing=3"),
        ("--load-pass-plugin=x", "--load-pass-plugin"),
        ("--thinlto-distributor=x", "--thinlto-distributor"),
    ] {
        assert_eq!(read(line).in_process.as_deref(), Some(reason), "{line}");
    }
}

#[test]
fn nothing_to_link() {
    for (line, informational) in [
        ("--version a.o", true),
        ("-help", true),
        ("-v", true),
        ("-V -lfoo", true),
        ("-v a.o", false),
        ("", false),
    ] {
        assert_eq!(read(line).informational, informational, "{line}");
    }
}

#[test]
fn our_own_options_are_taken_out() {
    let link = read("--thinlto-ld-cache-dir=/x=y a.o -thinlto-ld-JOBS= -o --thinlto-ld-a=b");
    assert_eq!(
        link.own,
        [("cache-dir".to_owned(), "/x=y".into()), ("jobs".to_owned(), "".into())]
    );
    assert_eq!(link.words(), ["a.o", "-o", "--thinlto-ld-a=b"]);
    assert_eq!(
        read("--thinlto-ld-jobs 3").in_process.as_deref(),
        Some("--thinlto-ld-jobs")
    );
}

#[test]
fn what_lld_refuses() {
    assert!(matches!(error("a.o -o"), CommandLineError::MissingArgument(option) if option == "-o"));
    assert!(matches!(
        error("--format=elf64"),
        CommandLineError::Value { option: "format", .. }
    ));
    assert!(matches!(
        error("--color-diagnostics=no"),
        CommandLineError::Value { .. }
    ));
    assert!(matches!(error("--rsp-quoting=gnu"), CommandLineError::Value { .. }));
    for line in [
        "--end-lib",
        "--start-lib --start-lib",
        "--start-group --start-lib",
        "-)",
        "--pop-state",
    ] {
        assert!(matches!(error(line), CommandLineError::Unbalanced(_)), "{line}");
    }
}

#[test]
fn other_drivers() {
    let link = read("-m i386pep -o x.exe a.o");
    assert!(link.foreign && link.items.is_empty());
}

#[test]
fn quoting_is_looked_up_outside_of_response_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rsp");
    std::fs::write(&file, r"--rsp-quoting=posix dir\a.o").unwrap();
    let name = |line: &str| inputs(&format!("{line} @{}", file.display())).join(" ");
    assert_eq!(name("--rsp-quoting=posix --rsp-quoting windows"), r"dir\a.o");
    assert_eq!(name(""), "dira.o");
}

#[test]
fn numbers_and_colours() {
    for (line, threads) in [
        ("--threads=4", Some(4)),
        ("--threads 0x10", Some(16)),
        ("--threads=010", Some(8)),
        ("--threads=0", None),
    ] {
        assert_eq!(read(line).threads(), threads, "{line}");
    }
    assert_eq!(read("--threads=all").threads(), None);
    assert_eq!(read("").color_diagnostics(), ColorDiagnostics::Auto);
    assert_eq!(
        read("--color-diagnostics").color_diagnostics(),
        ColorDiagnostics::Always
    );
    assert_eq!(
        read("--color-diagnostics=auto --no-color-diagnostics").color_diagnostics(),
        ColorDiagnostics::Never
    );
    assert!(read("-z now -zrelro").has_z("relro"));
}

#[test]
fn written_with_changes() {
    let link = read("-o x --plugin-opt O2 a.o -lb");
    let words = link.words_where(|_, item| match item {
        Item::Input(_) => Replacement::Words(vec!["1.o".into(), "2.o".into()]),
        Item::Option { def, .. } if def.role == Role::Lto => Replacement::Drop,
        Item::Option { .. } => Replacement::Keep,
    });
    assert_eq!(words, ["-o", "x", "1.o", "2.o", "-lb"]);
    assert_eq!(link.words(), ["-o", "x", "--plugin-opt", "O2", "a.o", "-lb"]);
}

/// Options whose value or place is looked at while reading.
const PARTICULAR: &[&str] = &[
    "format",
    "color-diagnostics",
    "rsp-quoting",
    "pop-state",
    "start-group",
    "end-group",
    "start-lib",
    "end-lib",
    "m",
];

/// One well-formed option or input: its words, and the row they are a spelling of.
fn item() -> impl Strategy<Value = (Vec<String>, Option<&'static OptionDef>)> {
    let rows: Vec<_> = table::rows()
        .filter(|row| !PARTICULAR.contains(&row.canonical))
        .collect();
    let option = (
        proptest::sample::select(rows),
        any::<(bool, bool)>(),
        "[0-9/][-a-z0-9=/ ]{0,8}",
    );
    let option = option.prop_map(|(row, (long, joined), value)| {
        let dashes = if row.takes(if long { 2 } else { 1 }) == long {
            "--"
        } else {
            "-"
        };
        let word = format!("{dashes}{}", row.name);
        let words = match row.arity {
            Arity::Flag => vec![word],
            Arity::Separate => vec![word, value],
            Arity::JoinedOrSeparate if !joined => vec![word, value],
            Arity::Joined | Arity::JoinedOrSeparate => vec![word + &value],
        };
        (words, Some(row))
    });
    prop_oneof![3 => option, 1 => "[a-z/.][-a-z.=@]{0,8}".prop_map(|name| (vec![name], None))]
}

proptest! {
    #[test]
    fn what_is_read_can_be_written(items in proptest::collection::vec(item(), 0..40)) {
        let words: Vec<OsString> = items.iter().flat_map(|(words, _)| words).map(OsString::from).collect();
        let link = Invocation::read(words.clone()).unwrap();
        let rows: Vec<_> = link.items.iter().map(|item| match item {
            Item::Input(_) => None,
            Item::Option { def, .. } => Some(*def),
        }).collect();
        prop_assert_eq!(rows, items.into_iter().map(|(_, row)| row).collect::<Vec<_>>());
        prop_assert_eq!(link.words(), words);
    }

    #[test]
    fn any_words_are_read_or_refused(
        words in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..12),
                "-{0,3}[a-z@=-]{0,12}".prop_map(String::into_bytes),
                item().prop_map(|(words, _)| words.concat().into_bytes()),
            ],
            0..12,
        )
    ) {
        use std::os::unix::ffi::OsStringExt;
        let words: Vec<_> = words.into_iter().map(OsString::from_vec).collect();
        if let Ok(link) = Invocation::read(words.clone())
            && !words.iter().any(|word| word.is_empty() || word == "-flavor" || word.to_string_lossy().starts_with('@'))
            && link.own.is_empty()
            && !link.foreign
        {
            prop_assert_eq!(link.words(), words);
        }
    }
}
