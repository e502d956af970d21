//! The simplest local distributor for LLVM's DTLTO: runs the jobs of its description, one a CPU at a time.
//! Knows nothing of compilers; the format is that of llvm/docs/DTLTO.rst.

use std::ffi::OsString;
use std::fs;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::thread::{self, available_parallelism};

use serde::Deserialize;

/// The first word of the command line that makes this program a distributor. The description's name is the last.
pub const WORD: &str = "distribute";

#[derive(Deserialize)]
struct Description {
    common: Common,
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Common {
    args: Vec<String>,
}

#[derive(Deserialize)]
struct Job {
    args: Vec<String>,
}

/// Runs the jobs described in the file that the last of `words` names.
pub fn run(words: &[OsString]) -> ExitCode {
    let Some(file) = words.last() else {
        return ExitCode::FAILURE;
    };
    let description: Description = match fs::read(file)
        .map_err(|error| error.to_string())
        .and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()))
    {
        Ok(description) => description,
        Err(error) => {
            eprintln!("{}: {error}", file.to_string_lossy());
            return ExitCode::FAILURE;
        }
    };
    let jobs = Mutex::new(description.jobs.iter());
    let work = || {
        while let Some(job) = jobs.lock().ok().and_then(|mut jobs| jobs.next()) {
            let mut words = description.common.args.iter().chain(&job.args);
            let succeeded = words
                .next()
                .and_then(|program| Command::new(program).args(words).status().ok())
                .is_some_and(|status| status.success());
            if !succeeded {
                return false;
            }
        }
        true
    };
    let workers = available_parallelism().map_or(1, usize::from);
    let all = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().all(|thread| thread.join().unwrap_or(false))
    });
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
