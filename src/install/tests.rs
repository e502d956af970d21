use super::*;

fn install(prefix: &Path) -> Install {
    let program = std::env::current_exe().unwrap();
    Install {
        prefix: prefix.to_owned(),
        staged: None,
        programs: Programs {
            thinlto: program.clone(),
            thinlto_ld: program,
        },
        llvms: ["-22", "-19"].map(|suffix| Llvm { suffix: suffix.into() }).to_vec(),
        documents: vec![Document {
            place: "share/man/man1/thinlto.1".into(),
            text: b"manual".to_vec(),
        }],
    }
}

fn all_below(folder: &Path) -> Vec<PathBuf> {
    let mut below = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            below.extend(all_below(&entry.path()));
        }
        below.push(entry.path());
    }
    below.sort();
    below
}

#[test]
fn what_was_there_before_is_all_that_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path();
    fs::create_dir_all(prefix.join("share/man")).unwrap();
    fs::create_dir(prefix.join("bin")).unwrap();
    fs::write(prefix.join("bin/other"), "").unwrap();
    let before = all_below(prefix);
    let installed = install(prefix).run().unwrap();
    assert!(
        installed.places.iter().all(|place| prefix.join(place).exists()),
        "{installed:?}"
    );
    // Once more, with one version less: its names go.
    let mut second = install(prefix);
    second.llvms.pop();
    second.run().unwrap();
    assert!(prefix.join("bin/thinlto-ld-22").exists() && !prefix.join("bin/thinlto-ld-19").is_symlink());
    uninstall(prefix).unwrap();
    assert_eq!(all_below(prefix), before);
    assert!(matches!(uninstall(prefix), Err(InstallError::NotInstalled(_))));
}

#[test]
fn what_others_have_put_there_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path();
    fs::create_dir(prefix.join("bin")).unwrap();
    fs::write(prefix.join("bin/thinlto"), "mine").unwrap();
    assert!(matches!(install(prefix).run(), Err(InstallError::Foreign(path)) if path.ends_with("bin/thinlto")));
    assert_eq!(all_below(prefix).len(), 2);
    fs::remove_file(prefix.join("bin/thinlto")).unwrap();
    install(prefix).run().unwrap();
    fs::write(prefix.join("lib/thinlto-ld/mine"), "").unwrap();
    uninstall(prefix).unwrap();
    assert!(prefix.join("lib/thinlto-ld/mine").exists());
}

#[test]
fn files_name_the_prefix_and_the_first_llvm() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("a prefix");
    assert!(matches!(install(&prefix).run(), Err(InstallError::Unwritable(_))));
    let prefix = folder.path().join("opt");
    let mut install = install(&prefix);
    for (suffix, kernels) in [("-19", "-19"), ("", "1")] {
        install.llvms = vec![Llvm { suffix: suffix.into() }];
        install.run().unwrap();
        let text = |name: &str| fs::read_to_string(prefix.join(HERE).join(name)).unwrap();
        for name in ["thinlto.cmake", "meson.ini", "cargo-config.toml"] {
            let text = text(name);
            let linker = prefix.join("lib/thinlto-ld/ld.lld");
            assert!(text.contains(linker.to_str().unwrap()), "{text}");
            assert!(!text.contains("-22") && !text.contains("/usr/local"), "{text}");
            assert!(text.contains(&format!("clang{suffix}")), "{text}");
        }
        assert!(
            text("kmake").contains(&format!("{{LLVM:-{kernels}}}")),
            "{}",
            text("kmake")
        );
    }
}

#[test]
fn a_package_has_the_tree_under_a_folder_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut install = install(Path::new("/opt/thinlto"));
    install.staged = Some(folder.path().to_owned());
    install.run().unwrap();
    let here = folder.path().join("opt/thinlto/lib/thinlto-ld");
    let text = fs::read_to_string(here.join("meson.ini")).unwrap();
    assert!(text.contains("'/opt/thinlto/lib/thinlto-ld/ld.lld'"), "{text}");
    assert!(here.join("../../bin/thinlto-ld-22").exists());
    // Moved to where such folders belong to others, it takes only its own away.
    let moved = folder.path().join("opt/thinlto");
    uninstall(&moved).unwrap();
    assert!(moved.join("bin").is_dir() && !here.exists());
}

#[test]
fn an_installed_program_knows_its_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join(HERE).join("thinlto");
    assert_eq!(prefix_of(&program), None);
    install(folder.path()).run().unwrap();
    assert_eq!(prefix_of(&program).as_deref(), Some(folder.path()));
    assert_eq!(prefix_of(Path::new("/thinlto")), None);
}
