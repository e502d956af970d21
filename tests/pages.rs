//! The pages of `thinlto compare --html`, in a real browser: what they say, light and dark, narrow, printed, by keyboard, to
//! screen readers, with scripts off. Knows nothing of how links are compared; `tests/compare.rs` does.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use common::Bench;
use common::browser::Browser;
use serde_json::{Value, json};

const THINLTO: &str = env!("CARGO_BIN_EXE_thinlto");
const THIN: &[&str] = &["-flto=thin", "-O2"];

/// Names that would be markup, the end of a script or another's attribute where they are not taken as text.
const NAMES: [&str; 4] = ["a<b>&amp;\"c'.o", "</script>.o", "<!--<script>.o", "${x}`\\.o"];

/// A program of the modules named above and three more; one is slow enough to be seen.
fn program() -> Bench {
    let bench = Bench::new();
    fs::create_dir(bench.path("<")).unwrap();
    let mut main = String::from("int more(int);\n");
    let mut sum = String::from("more(c)");
    for (number, name) in NAMES.iter().enumerate() {
        let text = format!(
            "__attribute__((noinline)) int f{number}(int x) {{ return x * {}; }}\n",
            number + 3
        );
        bench.compile("f.c", &text, THIN);
        fs::rename(bench.path("f.o"), bench.path(name)).unwrap();
        main += &format!("int f{number}(int);\n");
        sum += &format!(" + f{number}(c)");
    }
    bench.compile(
        "main.c",
        &format!("{main}int main(int c, char **v) {{ return {sum}; }}\n"),
        THIN,
    );
    bench.compile(
        "more.c",
        "int even(int); int more(int x) { return even(x) + 1; }\n",
        THIN,
    );
    bench.compile(
        "even.c",
        "__attribute__((noinline)) int even(int x) { for (int i = 0; i < x; i++) x ^= i * 3; return x; }\n",
        THIN,
    );
    bench.ar(&["rc", "libmore.a", "more.o", "even.o"]);
    bench
}

/// `thinlto compare --json --html page.html` of the program, its exit status and what it printed.
fn compare(bench: &Bench, more: &[&str]) -> (i32, Value) {
    let mut line = vec![
        "compare",
        "--json",
        "--html",
        "page.html",
        "--",
        "clang-22",
        "-flto=thin",
        "-fuse-ld=lld",
    ];
    line.extend(NAMES);
    line.extend(["main.o", "libmore.a", "-o", "out<i>"]);
    line.extend(more);
    let outcome = bench.run(THINLTO, &line);
    let answer = serde_json::from_str(&outcome.stdout);
    let answer = answer.unwrap_or_else(|error| panic!("{error}: {}{}", outcome.stdout, outcome.stderr));
    bench.tidy();
    (outcome.status, answer)
}

/// Opens the page; nothing is wrong with it, and nothing was asked of anyone.
fn open(browser: &Browser, bench: &Bench, page: &str) {
    browser.open(&bench.path(page));
    quiet(browser);
}

fn quiet(browser: &Browser) {
    let said = browser.events(&["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"]);
    assert_eq!(said, Vec::<Value>::new());
    let asked = browser.events(&["Network.requestWillBeSent"]);
    let others: Vec<_> = asked.iter().filter(|one| one["type"] != "Document").collect();
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!(asked.len(), 1, "{asked:#?}");
}

/// Texts that stand out too little from what is behind them: 4.5 to 1 is what WCAG's level AA asks for.
const FAINT: &str = r#"(() => {
  const parse = (color) => color.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      if (one.matches("text.phase")) return parse(getComputedStyle(one.previousElementSibling).fill);
      const color = parse(getComputedStyle(one).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return parse(getComputedStyle(document.documentElement).backgroundColor);
  };
  const faint = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || element.closest("script, noscript, title, datalist, :disabled")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(parse(element.closest("svg") ? style.fill : style.color)), light(behind(element))].sort((a, b) => b - a);
    const ratio = (a + 0.05) / (b + 0.05);
    if (!(ratio >= 4.5)) faint.push(`${ratio.toFixed(2)} ${element.tagName} ${node.data.trim().slice(0, 40)}`);
  }
  return faint;
})()"#;

#[test]
fn a_links_page_draws_every_backend_and_takes_every_name_as_text() {
    let bench = program();
    let (status, answer) = compare(&bench, &[]);
    assert_eq!(status, 0, "{answer:#}");
    let browser = Browser::new();
    open(&browser, &bench, "page.html");
    assert_eq!(browser.text("h1"), "out<i>");
    assert!(browser.text(".verdict").contains("equivalent"));
    assert_eq!(browser.text("#objects strong"), "7 of 7");
    for (side, name) in ["in_process", "distributed"].iter().enumerate() {
        let ran = answer[name]["backends"].as_array().unwrap().len();
        assert!(name == &"in_process" && ran > 0 || ran == 7, "{answer:#}");
        assert_eq!(browser.count(&format!("rect.bar[data-side='{side}']")), ran);
    }
    for phase in ["scan", "thin-link", "backends", "final-link"] {
        assert_eq!(browser.count(&format!(".chart rect.phase-{phase}")), 2, "{phase}");
        assert_eq!(browser.count(&format!(".legend rect.phase-{phase}")), 1, "{phase}");
    }
    let data: Value = serde_json::from_str(&browser.text("#data")).unwrap();
    assert_eq!(data, answer, "the page carries what --json prints");
    let modules = browser.value("[...document.querySelectorAll('.backends tbody th')].map((one) => one.textContent)");
    let modules: Vec<&str> = modules
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect();
    assert_eq!(modules.len(), 7);
    for name in NAMES {
        assert!(modules.contains(&name), "{name} is not among {modules:?}");
    }
    assert_eq!((browser.count("script"), browser.count("b, i")), (2, 0));
    let sections = answer["output"]["sections"].as_array().unwrap().len();
    assert_eq!(browser.count(".sizes tbody tr"), sections);
}

#[test]
fn it_reads_well_light_dark_narrow_and_printed() {
    let bench = program();
    compare(&bench, &[]);
    let browser = Browser::new();
    let mut pages = Vec::new();
    for scheme in ["light", "dark"] {
        browser.medium(scheme, "screen").size(1200, 900);
        open(&browser, &bench, "page.html");
        assert_eq!(browser.value(FAINT), json!([]), "{scheme}");
        pages.push(browser.value("getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(pages[0], pages[1], "dark is another page than light");
    for width in [320, 480, 1000] {
        browser.size(width, 800);
        let wide = browser.value("document.scrollingElement.scrollWidth");
        assert!(wide.as_u64() <= Some(width.into()), "{wide} pixels of {width}");
        let drawn = browser.value("document.querySelector('.scroll svg').clientWidth");
        assert!(drawn.as_u64() <= Some(width.into()), "drawn {drawn} of {width}");
    }
    browser.medium("dark", "print");
    assert_eq!(browser.value(FAINT), json!([]), "printed");
    assert_eq!(
        browser.value("getComputedStyle(document.body).backgroundColor"),
        "rgb(255, 255, 255)"
    );
    assert_eq!(
        browser.value("getComputedStyle(document.querySelector('nav')).display"),
        "none"
    );
    let pdf = browser.call("Page.printToPDF", json!({}));
    assert!(pdf["data"].as_str().unwrap().len() > 10_000);
}

#[test]
fn the_keyboard_is_enough_and_screen_readers_are_told() {
    let bench = program();
    compare(&bench, &[]);
    let browser = Browser::new();
    browser.size(1200, 900);
    open(&browser, &bench, "page.html");
    browser.value("document.querySelector('.scroll').focus()");
    browser
        .press("ArrowDown", None)
        .press("End", None)
        .press("ArrowLeft", None);
    let before = browser.value("Number(document.querySelector('.scroll svg').getAttribute('width'))");
    let said = browser.text(".said");
    assert!(said.contains("distributed") && said.contains("slot"), "{said}");
    assert!(browser.count(".chart .bar.chosen") >= 1);
    browser.press("+", Some("+"));
    let after = browser.value("Number(document.querySelector('.scroll svg').getAttribute('width'))");
    assert_eq!(after.as_f64(), before.as_f64().map(|width| width * 2.0));
    browser.value("(() => { const find = document.querySelector('input'); find.value = '</script>'; find.dispatchEvent(new Event('input')); })()");
    assert!(browser.text(".said").starts_with("</script>.o: "));
    quiet(&browser);

    let told = browser.accessible();
    let names = |role: &str| -> Vec<&str> {
        let of_role = told.iter().filter(|(one, _)| one == role);
        of_role.map(|(_, name)| name.as_str()).collect()
    };
    assert_eq!(names("main").len(), 1);
    assert_eq!(names("navigation"), ["On this page"]);
    assert_eq!(
        names("heading"),
        ["out<i>", "Costs", "Timeline", "Objects", "Output", "Sizes", "The link"]
    );
    for role in ["button", "link", "searchbox", "combobox", "table", "region", "image"] {
        let nameless = names(role).iter().filter(|name| name.is_empty()).count();
        assert_eq!(nameless, 0, "{role}: {told:?}");
    }
    assert!(names("table").len() >= 3 && names("button").len() == 3);
    assert!(names("image")[0].contains("7 backends on "), "{:?}", names("image"));
}

#[test]
fn without_scripts_tables_say_it_all() {
    let bench = program();
    let (_, answer) = compare(&bench, &[]);
    let browser = Browser::new();
    browser.open(&bench.path("page.html"));
    browser.call("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    browser.reload();
    quiet(&browser);
    let told = browser.accessible();
    let text: Vec<&str> = told
        .iter()
        .filter(|(role, _)| role == "StaticText")
        .map(|(_, name)| name.as_str())
        .collect();
    assert!(text.iter().any(|text| text.contains("With scripts on")), "{text:?}");
    let rows = told.iter().filter(|(role, _)| role == "row").count();
    let slots: Vec<_> = ["in_process", "distributed"]
        .iter()
        .flat_map(|side| answer[side]["backends"].as_array().unwrap())
        .collect();
    assert!(!slots.is_empty() && rows > 10, "{told:?}");
    for name in [
        "What each slot did",
        "What each link cost; the ratio is distributed to in-process",
    ] {
        assert!(told.iter().any(|(_, told)| told == name), "{name} is not in {told:?}");
    }
    assert!(!told.iter().any(|(role, _)| role == "button"));
}

#[test]
fn what_differs_stands_first_with_its_code() {
    let mut bench = program();
    bench.clang_standing_before(
        "clang",
        "case $object in *even.o) set -- \"$@\" -O0;; esac\ncompile \"$@\"",
    );
    let (status, answer) = compare(&bench, &[]);
    assert_eq!(status, 1, "{answer:#}");
    let browser = Browser::new();
    for scheme in ["light", "dark"] {
        browser.medium(scheme, "screen");
        open(&browser, &bench, "page.html");
        assert_eq!(browser.value(FAINT), json!([]), "{scheme}");
    }
    assert_eq!(browser.text(".verdict strong"), "different");
    assert_eq!(browser.text("main section:first-of-type h2"), "Objects");
    assert!(browser.text("#objects .object summary").contains("libmore.a(even.o"));
    assert!(browser.text("#objects h4").starts_with("even "));
    assert!(browser.count("#objects del") > 0 && browser.count("#objects ins") > 0);
    assert_eq!(browser.value("document.querySelector('.object').open"), true);
}

#[test]
fn a_builds_page_sums_up_its_links() {
    let mut bench = program();
    let folder = bench.path("compared<u>");
    bench.env("THINLTO_LD_COMPARE", folder.to_str().unwrap());
    let shim = bench.shim();
    let link = |bench: &Bench, words: &[&str]| {
        bench
            .drive("clang", shim.to_str().unwrap(), &[&["-flto=thin"], words].concat())
            .ok()
    };
    let all = [&NAMES[..], &["main.o", "libmore.a", "-o", "first<s>"]].concat();
    link(&bench, &all);
    bench.compile("native.c", "int native(void) { return 1; }\n", &["-O2"]);
    link(&bench, &["-shared", "native.o", "-o", "native.so"]);
    let report = ["compare", "--report", "compared<u>", "--html", "build.html"];
    bench.run(THINLTO, &report).ok();
    let browser = Browser::new();
    open(&browser, &bench, "build.html");
    assert_eq!(
        (browser.text("h1"), browser.text(".verdict strong")),
        ("compared<u>".into(), "equivalent".into())
    );
    assert_eq!(browser.text("#links tbody th"), "first<s>");
    assert_eq!(browser.text("#links tbody td:nth-of-type(2)"), "7 of 7");
    assert!(
        browser
            .text("#left li")
            .contains("1 link: the link is not distributed: no ThinLTO bitcode")
    );
    assert_eq!(browser.count("script, u, s"), 0);

    bench.clang_standing_before("clang", "compile \"$@\" -O0");
    bench.env("THINLTO_LD_CACHE", "off");
    link(&bench, &[&all[..], &["-o", "second"]].concat());
    assert_eq!(bench.run(THINLTO, &report).status, 1);
    for scheme in ["light", "dark"] {
        browser.medium(scheme, "screen").size(320, 800);
        open(&browser, &bench, "build.html");
        assert_eq!(browser.value(FAINT), json!([]), "{scheme}");
        assert_eq!(browser.value("document.scrollingElement.scrollWidth"), 320);
    }
    assert_eq!(browser.text(".verdict strong"), "different");
    assert!(browser.text("#doubtful h3").starts_with("second"));
    assert!(browser.count("#doubtful del") > 0);
}

#[test]
fn a_page_that_cannot_be_written_is_an_error_before_the_link_is_made() {
    let mut bench = program();
    let real = which::which("ld.lld-22").unwrap();
    bench.write_program(
        "tools/ld.lld",
        &format!("#!/bin/sh\ntouch linked\nexec {} \"$@\"\n", real.display()),
    );
    let linker = bench.path("tools/ld.lld");
    bench.env("THINLTO_LD_LINKER", linker.to_str().unwrap());
    bench.write("file", "theirs");
    for page in ["nowhere/page.html", "tools", "file/page.html"] {
        let line = [
            "compare",
            "--html",
            page,
            "--",
            "ld.lld-22",
            "-r",
            "even.o",
            "-o",
            "out",
        ];
        let outcome = bench.run(THINLTO, &line);
        assert_eq!(outcome.status, 2, "{}", outcome.stdout);
        let expected = format!("thinlto: error: {page}: the page cannot be written: ");
        assert!(outcome.stderr.starts_with(&expected), "{}", outcome.stderr);
        assert!(!bench.path("linked").exists(), "{page}");
    }
    // Where there is no answer, what was there stays; so does a link to a file, and who may read it.
    fs::set_permissions(bench.path("file"), fs::Permissions::from_mode(0o664)).unwrap();
    std::os::unix::fs::symlink("file", bench.path("page")).unwrap();
    let line = |command: &'static str| ["compare", "--html", "page", "--", command, "-r", "even.o", "-o", "out"];
    assert_eq!(bench.run(THINLTO, &line("ls")).status, 2);
    assert_eq!(bench.text("file"), "theirs");
    bench.run(THINLTO, &line("ld.lld-22")).ok();
    assert!(bench.path("linked").exists());
    assert!(bench.path("page").is_symlink() && bench.text("file").starts_with("<!DOCTYPE html>"));
    let mode = fs::metadata(bench.path("file")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o664);
    bench
        .run(
            THINLTO,
            &[
                "compare",
                "--html",
                "/dev/null",
                "--",
                "ld.lld-22",
                "-r",
                "even.o",
                "-o",
                "out",
            ],
        )
        .ok();
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    let left: Vec<_> = fs::read_dir(bench.path(""))
        .unwrap()
        .flatten()
        .map(|file| file.file_name())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().starts_with(".thinlto-page-")),
        "{left:?}"
    );
    bench.tidy();
}
