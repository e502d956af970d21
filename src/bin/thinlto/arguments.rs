//! The command line of `thinlto`, of which its help, its manual pages and its completions are made.
//! Knows nothing of what is done for any of it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// The companion of thinlto-ld: compares links, explains them, checks the toolchain, shows the cache
#[derive(Parser)]
#[command(name = "thinlto", version, about)]
pub struct Arguments {
    #[command(subcommand)]
    /// What to do.
    pub task: Task,
}

/// What it does.
#[derive(Subcommand)]
pub enum Task {
    /// Check that the real linker and its matching clang are there
    Check {
        /// The name thinlto-ld is called by; its suffix chooses the LLVM version
        #[arg(default_value = "thinlto-ld")]
        name: String,
    },
    /// Show the cache (size, entries, hit rate, what pruning would remove), or prune it
    Cache {
        /// The cache folder; by default that of THINLTO_LD_CACHE_DIR, else the user's
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Prune by this policy (lld's --thinlto-cache-policy grammar; an empty one is the default's)
        #[arg(long)]
        prune: Option<String>,
        /// Only say what would go
        #[arg(long, requires = "prune")]
        dry_run: bool,
    },
    /// Make a link in-process and distributed, in a scratch folder, and say whether they come to the same
    ///
    /// Exits 0 if they do, 1 if they do not, 2 if it cannot be told.
    Compare(Compare),
    /// Say what would become of a link, without making it: every input, every LTO option, the tools, and why
    Explain(Explain),
    /// Run the backends of a link that ld.lld makes by DTLTO: its --thinlto-distributor
    ///
    /// ld.lld --thinlto-distributor=/path/to/thinlto --thinlto-distributor-arg=distribute …
    Distribute {
        /// The list of jobs that ld.lld writes; before it, settings as on a link line
        #[arg(
            required = true,
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "--thinlto-ld-SETTING=VALUE … FILE"
        )]
        words: Vec<OsString>,
    },
    /// Say what became of this user's links: how many were distributed, why others were not, what the cache has saved
    Stats(Stats),
    /// List every setting, its environment variable and its values
    Settings,
    /// Put thinlto-ld where build systems and shells find it: programs, files for build systems, manual pages, completions
    Install(Install),
    /// Take away what `thinlto install` has put there
    Uninstall {
        /// The prefix; by default that of this program where it is installed, else /usr/local
        #[arg(long, value_name = "DIR", conflicts_with = "user")]
        prefix: Option<PathBuf>,
        /// What is installed for this user alone, in ~/.local
        #[arg(long)]
        user: bool,
    },
}

/// `thinlto compare`
#[derive(clap::Args)]
pub struct Compare {
    /// Sum up what THINLTO_LD_COMPARE=DIR has collected, instead of making a link
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub report: Option<PathBuf>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    /// Also write a page for browsers
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Make the link in this folder
    #[arg(short = 'C', long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Keep what both links wrote in this folder
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// The link: a command line of ld.lld or clang, or @FILE (or Kbuild's .FILE.cmd) with one saved in it
    #[arg(last = true, value_name = "LINK COMMAND")]
    pub command: Vec<OsString>,
}

/// `thinlto explain`
#[derive(clap::Args)]
pub struct Explain {
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// Explain the link as made in this folder
    #[arg(short = 'C', long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// The link, as for `compare`
    #[arg(last = true, value_name = "LINK COMMAND", required = true)]
    pub command: Vec<OsString>,
}

/// `thinlto stats`
#[derive(clap::Args)]
pub struct Stats {
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    /// Forget all that was counted
    #[arg(long, conflicts_with = "json")]
    pub zero: bool,
    /// The cache folder beside whose objects links are counted; by default that of THINLTO_LD_CACHE_DIR, else the user's
    #[arg(long)]
    pub dir: Option<PathBuf>,
}

/// `thinlto install`
#[derive(clap::Args)]
pub struct Install {
    /// Install into bin, lib and share of this folder
    #[arg(long, value_name = "DIR", default_value = PREFIX, conflicts_with = "user")]
    pub prefix: PathBuf,
    /// Install for this user alone, in ~/.local
    #[arg(long)]
    pub user: bool,
    /// The LLVMs to have names for (22,19); the first is what files of build systems name [default: those on PATH, newest first]
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    pub llvm: Vec<u32>,
    /// Put it all under this folder, from where a package takes it
    #[arg(long, value_name = "DIR", conflicts_with = "user")]
    pub destdir: Option<PathBuf>,
}

/// Where nothing else is said.
pub const PREFIX: &str = "/usr/local";
