//! `thinlto`: the companion for people. Checks the toolchain, shows and prunes the cache, lists the settings.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use thinlto_ld::cache::policy::{self, Policy, Pruned};
use thinlto_ld::cache::store::Store;
use thinlto_ld::cache::{Usage, home};
use thinlto_ld::settings::{self, Settings};
use thinlto_ld::toolchain::{Clang, Linker, VersionMemo};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check that the real linker and its matching clang are there
    Check {
        /// The name thinlto-ld is called by; its suffix chooses the LLVM version
        #[arg(default_value = "thinlto-ld")]
        name: String,
    },
    /// Show the cache, or prune it
    Cache {
        /// The cache folder; by default the user's
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Prune by this policy (lld's --thinlto-cache-policy grammar; an empty one is the default's)
        #[arg(long)]
        prune: Option<String>,
        /// Only say what would go
        #[arg(long, requires = "prune")]
        dry_run: bool,
    },
    /// List every setting, its environment variable and its values
    Settings,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Check { name } => check(&name),
        Task::Cache { dir, prune, dry_run } => cache(dir, prune.as_deref(), dry_run),
        Task::Settings => {
            list_settings();
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("thinlto: error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn check(name: &str) -> Result<(), String> {
    let settings = Settings::read(|name| std::env::var_os(name), &[]).map_err(|error| error.to_string())?;
    let linker = Linker::find(name.as_ref(), &settings).map_err(|error| error.to_string())?;
    println!("linker  {}", linker.path.display());
    let clang = Clang::find(&linker, &settings, &VersionMemo::new(None)).map_err(|error| {
        format!(
            "{}: links go in-process; install the clang of the linker's version, or name it with THINLTO_LD_CLANG",
            error.0
        )
    })?;
    println!("clang   {}", clang.path.display());
    println!("LLVM    {}", clang.version);
    match settings.cache_dir.or_else(home) {
        Some(dir) => println!("cache   {}", dir.display()),
        None => println!("cache   none: no home folder"),
    }
    Ok(())
}

fn cache(dir: Option<PathBuf>, prune: Option<&str>, dry_run: bool) -> Result<(), String> {
    let dir = dir
        .or_else(home)
        .ok_or("no cache folder: there is no home folder; name one with --dir")?;
    let store = Store::open(&dir).map_err(|off| off.to_string())?;
    let usage = || Usage::of(&store).map_err(|error| format!("{}: {error}", dir.display()));
    if let Some(text) = prune {
        let mut policy = Policy::parse(text).map_err(|error| error.to_string())?;
        if dry_run {
            let plan = policy::dry_run(&store, &policy).map_err(|error| format!("{}: {error}", dir.display()))?;
            println!("{} of {} files would go", plan.remove.len(), plan.before.files);
            return Ok(());
        }
        // Asked for by a person: not put off because a link has just pruned.
        policy.interval = std::time::Duration::ZERO;
        let pruned = policy::prune(&store, &policy).map_err(|error| format!("{}: {error}", dir.display()))?;
        match pruned {
            Pruned::Done(plan) => println!("{} files removed", plan.remove.len()),
            Pruned::NotNow => println!("another link is pruning"),
        }
    }
    let Usage { files, bytes, .. } = usage()?;
    println!("{}: {files} files, {:.1} MB", dir.display(), bytes as f64 / 1e6);
    Ok(())
}

fn list_settings() {
    for setting in settings::TABLE {
        println!(
            "{:28} --thinlto-ld-{}=\n    {}",
            settings::variable(setting.name),
            setting.name,
            setting.help
        );
    }
}
