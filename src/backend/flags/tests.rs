//! What needs no compiler: which settings are refused, which win, and what a fingerprint sees.
//! Faithfulness itself is tried in `tests/flags`, against the real programs.

use super::*;

const LLVM: LlvmVersion = LlvmVersion {
    major: 22,
    minor: 1,
    patch: 8,
};

fn lto(settings: &[(&'static str, &str)]) -> Vec<LtoSetting> {
    let setting = |(name, value): &(&'static str, &str)| LtoSetting {
        name,
        value: Some((*value).to_owned()),
        spelled: format!("--{name}={value}"),
    };
    settings.iter().map(setting).collect()
}

fn derive(settings: &[(&'static str, &str)]) -> Result<Flags, NotFaithful> {
    Flags::derive(&lto(settings), OutputKind::Executable, LLVM, Trace::AsLinked)
}

fn target(triple: &str) -> ModuleTarget {
    ModuleTarget {
        triple: triple.to_owned(),
        pic_level: 0,
    }
}

fn x86() -> ModuleTarget {
    target("x86_64-pc-linux-gnu")
}

#[test]
fn what_cannot_be_faithful_is_refused_by_its_name() {
    for (name, value) in [
        ("lto-newpm-passes", "default<O2>"),
        ("save-temps", "all"),
        ("stats-file", "s.json"),
        ("opt-remarks-hotness-threshold", "50"),
        ("some-option-of-llvm-30", ""),
        ("lto-O", "4"),
        ("lto", "full"),
        ("mcpu", "native"),
        ("mllvm", "-fp-contract=fast"),
        ("mllvm", "--dwarf-version=4"),
        ("mllvm", "-print-after-all"),
        ("mllvm", "-stats"),
        ("mllvm", "-no-xray-index"),
        ("mllvm", "-crel=maybe"),
        ("mllvm", "-relocation-model=odd"),
        ("mllvm", "-vector-library=SVML"),
        ("mllvm", "stray"),
    ] {
        let refused = derive(&[("lto-O", "3"), (name, value)]).unwrap_err();
        assert_eq!(refused.reason, format!("--{name}={value}"));
    }
}

#[test]
fn remarks_and_two_levels_do_not_go_together() {
    let refused = derive(&[("opt-remarks-filename", "r.yaml"), ("lto-O", "1")]).unwrap_err();
    assert_eq!(refused.reason, "--opt-remarks-filename=r.yaml");
    assert!(derive(&[("opt-remarks-filename", "r.yaml"), ("lto-O", "3")]).is_ok());
}

#[test]
fn a_setting_taken_back_is_as_if_never_made() {
    let plain = derive(&[]).unwrap().fingerprint(&x86(), 1);
    let same = |settings: &[(&'static str, &str)]| derive(settings).unwrap().fingerprint(&x86(), 1) == plain;
    assert!(same(&[
        ("lto-basic-block-address-map", ""),
        ("no-lto-basic-block-address-map", "")
    ]));
    assert!(!same(&[
        ("no-lto-basic-block-address-map", ""),
        ("lto-basic-block-address-map", "")
    ]));
    assert!(same(&[("lto-O", "0"), ("lto-O", "2")]));
    assert!(same(&[
        ("thinlto-jobs", "3"),
        ("mllvm", "-import-instr-limit=5"),
        ("time-trace", "t")
    ]));
}

#[test]
fn a_fingerprint_sees_the_module_and_its_task_where_the_object_does() {
    let pic = ModuleTarget { pic_level: 2, ..x86() };
    let of = |kind, module: &ModuleTarget| {
        Flags::derive(&[], kind, LLVM, Trace::AsLinked)
            .unwrap()
            .fingerprint(module, 1)
    };
    assert_eq!(of(OutputKind::Executable, &x86()), of(OutputKind::Executable, &pic));
    assert_ne!(of(OutputKind::Relocatable, &x86()), of(OutputKind::Relocatable, &pic));
    assert_ne!(
        of(OutputKind::Executable, &x86()),
        of(OutputKind::Executable, &target("aarch64-linux-gnu"))
    );
    let split = derive(&[("dwo_dir", "dwo/")]).unwrap();
    assert_ne!(split.fingerprint(&x86(), 1), split.fingerprint(&x86(), 2));
    assert_eq!(split.side_outputs(7), [PathBuf::from("dwo/7.dwo")]);
    let plain = derive(&[]).unwrap();
    assert_eq!(plain.fingerprint(&x86(), 1), plain.fingerprint(&x86(), 2));
}

#[test]
fn input_files_are_all_that_options_name() {
    let flags = derive(&[
        ("lto-sample-profile", "s.prof"),
        ("lto-cs-profile-file", "cs.prof"),
        ("lto-basic-block-sections", "order.txt"),
        ("mllvm", "-memprof-report=some.file"),
    ]);
    let named: Vec<_> = flags
        .unwrap()
        .input_files()
        .iter()
        .map(|f| f.display().to_string())
        .collect();
    assert_eq!(named, ["s.prof", "some.file", "order.txt", "cs.prof"]);
    let written = derive(&[("lto-cs-profile-file", "cs.raw"), ("lto-cs-profile-generate", "")]).unwrap();
    assert!(written.input_files().is_empty());
}

#[test]
fn targets_where_clang_adds_features_are_refused() {
    assert!(derive(&[]).unwrap().accepts(&target("mips64-linux-gnuabi64")).is_err());
    assert!(
        derive(&[("mcpu", "mips64r2")])
            .unwrap()
            .accepts(&target("mips64-linux-gnuabi64"))
            .is_ok()
    );
    let featured = derive(&[("mllvm", "-mattr=+lse")]).unwrap();
    assert!(featured.accepts(&target("aarch64-linux-gnu")).is_err());
    assert!(
        derive(&[("mcpu", "sifive-u74"), ("mllvm", "-mattr=+c")])
            .unwrap()
            .accepts(&target("riscv64-linux-gnu"))
            .is_err()
    );
    assert!(
        derive(&[("mcpu", "haswell"), ("mllvm", "-mattr=+avx512f")])
            .unwrap()
            .accepts(&x86())
            .is_err()
    );
}

#[test]
fn clang_is_asked_only_what_is_not_known() {
    let asks = |settings: &[(&'static str, &str)]| derive(settings).unwrap().question(&x86()).is_some();
    assert!(!asks(&[]));
    assert!(!asks(&[
        ("mcpu", "x86-64"),
        ("lto-O", "1"),
        ("mllvm", "-crel"),
        ("lto-sample-profile", "p")
    ]));
    assert!(asks(&[("mcpu", "haswell")]));
    assert!(asks(&[("mllvm", "-inline-threshold=5")]));
}

#[test]
fn clang_says_what_it_does_not_take() {
    let clang = Path::new("clang-22");
    let probe = |settings: &[(&'static str, &str)]| derive(settings).unwrap().probe(clang, &x86());
    assert_eq!(probe(&[("mcpu", "haswell"), ("mllvm", "-inline-threshold=5")]), Ok(()));
    assert_eq!(
        probe(&[("lto-cs-profile-file", "/nonexistent"), ("mllvm", "-disable-lsr")]),
        Ok(())
    );
    assert!(
        probe(&[("mllvm", "-swift-async-fp=never")])
            .unwrap_err()
            .reason
            .contains("swift-async-fp")
    );
    assert!(
        probe(&[("mllvm", "-inline-threshold=many")])
            .unwrap_err()
            .reason
            .contains("many")
    );
    assert!(probe(&[("mcpu", "z80")]).unwrap_err().reason.contains("z80"));
    let absent = derive(&[("mcpu", "haswell")])
        .unwrap()
        .probe(Path::new("/nonexistent/clang"), &x86());
    assert!(absent.unwrap_err().reason.contains("/nonexistent/clang"));
}
