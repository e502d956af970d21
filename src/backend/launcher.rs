//! A command of the user's that each backend is started through (`nice -n 10`, a compiler cache): it gets the line that a
//! person would type for clang's driver. Knows nothing of what the command does; whatever it is, it counts as part of the compiler.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use super::flags::readings;
use super::process::Backend;
use super::user_command::UserCommand;
use crate::shell::Words;
use crate::toolchain::{Clang, driver};

/// The command.
#[derive(Clone, Debug)]
pub struct Launcher(pub UserCommand);

/// The setting that names it.
pub const SETTING: &str = "THINLTO_LD_LAUNCHER";

/// `-cc1` words that the driver has words of its own for, and what follows them.
const DRIVERS: &[(&str, Follows)] = &[("-o", Follows::Word), ("-x", Follows::Input)];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Follows {
    /// One word.
    Word,
    /// One word, and the input, which is the last.
    Input,
}

impl Launcher {
    /// The command of these words; none where there are none.
    ///
    /// # Errors
    /// There is no such program: a text that names the setting.
    pub fn find(words: &Words) -> Result<Option<Launcher>, String> {
        Ok(UserCommand::find(words, SETTING)?.map(Launcher))
    }

    /// As given, for people.
    pub fn text(&self) -> String {
        self.0.text()
    }

    /// The command that runs a step: one of `-cc1`, or a driver's line already.
    pub fn command(&self, clang: &Path, step: &[OsString]) -> Command {
        let mut command = Command::new(&self.0.program);
        command.args(self.0.words.iter().skip(1)).arg(clang);
        match step.first().is_some_and(|word| word == "-cc1") {
            true => command.args(driver_words(step)),
            false => command.args(step),
        };
        command
    }

    /// Whether clang's driver, told so, makes of a backend what `-cc1` makes of it: it has words of its own for many targets.
    ///
    /// # Errors
    /// What it would add or leave out, for the stats.
    pub fn suits(&self, clang: &Clang, backend: &Backend) -> Result<(), String> {
        for step in &backend.steps {
            // The driver looks whether its input is there, and that of a second step is not yet.
            let words = step.split_last().map_or(&[][..], |(_, words)| words);
            let words: Vec<OsString> = words.iter().cloned().chain(["/dev/null".into()]).collect();
            let told = driver::cc1(&clang.path, &driver_words(&words), None)?;
            if let Some(word) = readings::difference(&told, step, clang.version.major) {
                return Err(format!("clang's driver has its own idea of {word}"));
            }
        }
        Ok(())
    }
}

/// What a person would type for a `-cc1` step: the driver's own words where it has one, the others handed on as they are.
fn driver_words(step: &[OsString]) -> Vec<OsString> {
    // What clang finds in a configuration file beside itself no link has asked for.
    let mut line: Vec<OsString> = vec!["--no-default-config".into(), "-c".into()];
    let mut behind = Vec::new();
    let mut handed = |word: &OsString| line.extend(["-Xclang".into(), word.clone()]);
    let mut has_cpu = false;
    let mut words = step.iter();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        if let Some((_, follows)) = DRIVERS.iter().find(|(name, _)| *name == text) {
            behind.push(word.clone());
            behind.extend(words.next().cloned());
            if *follows == Follows::Input {
                behind.extend(words.next().cloned());
            }
            continue;
        }
        has_cpu |= text == "-target-cpu";
        match &*text {
            "-cc1" | "-emit-obj" => {}
            "-emit-llvm-bc" => behind.push("-emit-llvm".into()),
            "-triple" => {
                if let Some(triple) = words.next() {
                    let mut target = OsString::from("--target=");
                    target.push(triple);
                    behind.push(target);
                    [word, triple].into_iter().for_each(&mut handed);
                }
            }
            _ if text.starts_with("-fthinlto-index=") || text.starts_with("-O") => behind.push(word.clone()),
            _ => handed(word),
        }
    }
    if !has_cpu {
        // Where lld names none the driver would: an empty one is none.
        ["-target-cpu".into(), OsString::new()].iter().for_each(&mut handed);
    }
    line.extend(behind);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn a_step_as_a_person_would_type_it() {
        let step = words(
            "-cc1 -triple x86_64-linux-gnu -emit-llvm-bc -mrelocation-model pic -target-cpu x86-64 -O1 -fthinlto-index=i -o o.bc -x ir m",
        );
        let expected = words(
            "--no-default-config -c -Xclang -triple -Xclang x86_64-linux-gnu -Xclang -mrelocation-model -Xclang pic \
             -Xclang -target-cpu -Xclang x86-64 --target=x86_64-linux-gnu -emit-llvm -O1 -fthinlto-index=i -o o.bc -x ir m",
        );
        assert_eq!(driver_words(&step), expected);
    }

    #[test]
    fn the_driver_s_own_words_for_a_target_are_noticed() {
        let clang = Clang {
            path: which::which("clang-22").unwrap(),
            version: crate::toolchain::LlvmVersion {
                major: 22,
                minor: 1,
                patch: 8,
            },
        };
        let launcher = Launcher::find(&words("nice")).unwrap().unwrap();
        let suits = |line: &str| {
            let backend = Backend {
                steps: vec![words(line)],
                object: "o".into(),
            };
            launcher.suits(&clang, &backend)
        };
        let rest = "-emit-obj -disable-free -ffunction-sections -faddrsig -mrelocation-model static -O2 -vectorize-loops -vectorize-slp \
                    -mllvm -inline-threshold=3 -o /dev/null -x ir /dev/null";
        assert_eq!(suits(&format!("-cc1 -triple x86_64-pc-linux-gnu {rest}")), Ok(()));
        assert_eq!(
            suits(&format!("-cc1 -triple x86_64-pc-linux-gnu -target-cpu znver3 {rest}")),
            Ok(())
        );
        let why = suits(&format!("-cc1 -triple aarch64-unknown-linux-gnu {rest}")).unwrap_err();
        assert_eq!(why, "clang's driver has its own idea of -enable-tlsdesc");
        let why = suits(&format!("-cc1 -triple riscv64-unknown-linux-gnu {rest}")).unwrap_err();
        assert_eq!(why, "clang's driver has its own idea of -target-abi");
    }
}
