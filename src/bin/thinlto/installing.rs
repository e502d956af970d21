//! `thinlto install` and `thinlto uninstall`: which prefix, which LLVMs, and what is said of it.
//! Knows nothing of what is installed.

use std::env;
use std::fmt::Write;
use std::path::PathBuf;

use thinlto_ld::install::{self, Install, Installed, Llvm, Programs};

use crate::arguments::{self, PREFIX};
use crate::manual;

/// Installs, and says what to try next.
pub fn install(arguments: arguments::Install) -> Result<String, String> {
    let thinlto = env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let llvms = match arguments.llvm.as_slice() {
        [] => install::found(),
        versions => install::named(versions),
    };
    if arguments.destdir.is_none() {
        let missing = llvms.iter().find_map(|llvm| llvm.require().err());
        missing.map_or(Ok(()), |missing| Err(missing.to_string()))?;
    }
    let install = Install {
        prefix: if arguments.user { of_user()? } else { arguments.prefix },
        staged: arguments.destdir,
        programs: Programs {
            thinlto_ld: thinlto.with_file_name("thinlto-ld"),
            thinlto,
        },
        llvms,
        documents: manual::documents(),
    };
    let installed = install.run().map_err(|error| error.to_string())?;
    Ok(said(&install, &installed))
}

fn said(install: &Install, installed: &Installed) -> String {
    let prefix = install.prefix.display();
    let suffixes: Vec<&str> = install.llvms.iter().map(|llvm: &Llvm| llvm.suffix.as_str()).collect();
    let suffix = suffixes.first().copied().unwrap_or_default();
    let names: Vec<String> = suffixes.iter().map(|suffix| format!("thinlto-ld{suffix}")).collect();
    let mut text = format!(
        "{prefix}: {} files; `thinlto uninstall` takes them away\n",
        installed.places.len()
    );
    let mut line = |what: String| {
        // Nothing that is written to memory fails.
        let _ = writeln!(text, "{what}");
    };
    match names.is_empty() {
        true => line("no clang and ld.lld found on PATH: install them, then say `thinlto install` again".into()),
        false => line(format!("names   {}", names.join(", "))),
    }
    let bin = install.prefix.join("bin");
    let on_path = |path| env::split_paths(&path).any(|folder| folder == bin);
    if install.staged.is_none() && !env::var_os("PATH").is_some_and(on_path) {
        line(format!("PATH    has no {}: add it", bin.display()));
    }
    line(format!("check   thinlto check thinlto-ld{suffix}"));
    let here = install.prefix.join("lib/thinlto-ld");
    line(format!(
        "use     clang{suffix} -flto=thin --ld-path={}/ld.lld …",
        here.display()
    ));
    text
}

/// Takes it away.
pub fn uninstall(prefix: Option<PathBuf>, user: bool) -> Result<String, String> {
    let installed = || install::prefix_of(&env::current_exe().ok()?);
    let prefix = match (prefix, user) {
        (Some(prefix), _) => prefix,
        (None, true) => of_user()?,
        (None, false) => installed().unwrap_or_else(|| PREFIX.into()),
    };
    let removed = install::uninstall(&prefix).map_err(|error| error.to_string())?;
    Ok(format!("{}: {removed} files removed\n", prefix.display()))
}

fn of_user() -> Result<PathBuf, String> {
    let home = env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    home.map(|home| home.join(".local"))
        .ok_or_else(|| "--user: HOME names no folder; use --prefix".to_owned())
}
