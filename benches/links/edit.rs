//! An edit of one line in one function's body, as often as wanted and each time another.
//! Knows nothing of links; compiles the module and leaves it where the link finds it.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::error::{At, Error, Result, succeed};

/// What an edit does to the module's summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The function has another number of instructions each time: the thin link has something new to read.
    Summary,
    /// Only a constant differs: the summary stays as it was, but for the module's hash.
    Constant,
}

/// A function that can be edited.
#[derive(Debug)]
pub struct Edit {
    /// Our copy of the source.
    source: PathBuf,
    before: String,
    after: String,
    /// What the function returns: a variable, an integer.
    expression: &'static str,
    compile: Vec<OsString>,
    cwd: PathBuf,
}

impl Edit {
    /// `original` is the text in which `return EXPRESSION;` stands once; `compile` makes the object out of `source` in `cwd`.
    ///
    /// # Errors
    /// It stands there more than once or not at all.
    pub fn new(
        source: PathBuf,
        original: &str,
        expression: &'static str,
        compile: Vec<OsString>,
        cwd: PathBuf,
    ) -> Result<Edit> {
        let line = format!("return {expression};");
        match original.split(&line).collect::<Vec<_>>().as_slice() {
            [before, after] => Ok(Edit {
                before: (*before).to_owned(),
                after: (*after).to_owned(),
                source,
                expression,
                compile,
                cwd,
            }),
            parts => Err(Error::Unfit(format!(
                "{}: “{line}” stands there {} times and not once: this benchmark does not know how to edit it",
                source.display(),
                parts.len().saturating_sub(1)
            ))),
        }
    }

    /// Makes the `number`th edit, from 1, and compiles the module. Following numbers differ in the way `reach` says.
    ///
    /// # Errors
    /// The source cannot be written or compiled.
    pub fn apply(&self, reach: Reach, number: u32) -> Result<()> {
        let e = self.expression;
        let value = match reach {
            // More instructions each time: a number seen before would find an earlier thin link.
            Reach::Summary => {
                let steps = (0..number).map(|step| format!("{e} ^= {e} >> {}, {e} += {number}, ", step % 7 + 1));
                format!("({}{e})", steps.collect::<String>())
            }
            Reach::Constant => format!("{e} + {number}"),
        };
        let text = format!("{}return {value};{}", self.before, self.after);
        fs::write(&self.source, text).at(&self.source)?;
        if let Some((compiler, words)) = self.compile.split_first() {
            succeed(Command::new(compiler).args(words).current_dir(&self.cwd))?;
        }
        Ok(())
    }
}
