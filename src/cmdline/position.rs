//! The state that options like `--whole-archive` leave for the inputs after them, kept as lld keeps it
//! (`LinkerDriver::createFiles`). Knows nothing of what an input is.

use std::ffi::OsStr;

use super::error::CommandLineError;
use super::invocation::{Invocation, Item, OutputKind, Position};

/// What `--push-state` saves: `--as-needed`, `-Bstatic`, `--whole-archive`, and nothing else.
type Saved = (bool, bool, bool);

/// Whether `--start-group` or `--start-lib` is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Nothing,
    Group,
    Lib,
}

/// The state at one point of the command line.
#[derive(Debug)]
pub struct State {
    position: Position,
    saved: Vec<Saved>,
    open: Open,
    /// `-r` anywhere: static throughout, whatever `-Bdynamic` says.
    relocatable: bool,
}

impl State {
    /// The state at the beginning.
    pub fn new(relocatable: bool) -> Self {
        let position = Position {
            prefer_static: relocatable,
            ..Position::default()
        };
        Self {
            position,
            saved: Vec::new(),
            open: Open::Nothing,
            relocatable,
        }
    }

    /// The state for an input that stands here.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The state in force at item number `item` of a command line that was read.
    pub fn at(invocation: &Invocation, item: usize) -> Position {
        let mut state = Self::new(invocation.kind == OutputKind::Relocatable);
        for item in invocation.items.iter().take(item) {
            if let Item::Option { def, value, .. } = item {
                // What would be an error here was one when the command line was read.
                let _ = state.pass(def.canonical, value.as_deref());
            }
        }
        state.position()
    }

    /// Go past an option; those without a say in the state change nothing.
    pub fn pass(&mut self, canonical: &'static str, value: Option<&OsStr>) -> Result<(), CommandLineError> {
        let position = &mut self.position;
        match canonical {
            "as-needed" => position.as_needed = true,
            "no-as-needed" => position.as_needed = false,
            "whole-archive" => position.whole_archive = true,
            "no-whole-archive" => position.whole_archive = false,
            "Bstatic" | "omagic" | "nmagic" => position.prefer_static = true,
            "Bdynamic" => position.prefer_static = self.relocatable,
            "format" => position.binary = is_binary(value.unwrap_or_default())?,
            "push-state" => {
                self.saved
                    .push((position.as_needed, position.prefer_static, position.whole_archive));
            }
            "pop-state" => {
                let saved = self
                    .saved
                    .pop()
                    .ok_or(CommandLineError::Unbalanced("--push-state/--pop-state"))?;
                (position.as_needed, position.prefer_static, position.whole_archive) = saved;
            }
            "start-group" => self.turn(Open::Nothing, Open::Group, "--start-group")?,
            "end-group" => self.turn(Open::Group, Open::Nothing, "--end-group")?,
            "start-lib" => self.turn(Open::Nothing, Open::Lib, "--start-lib")?,
            "end-lib" => self.turn(Open::Lib, Open::Nothing, "--end-lib")?,
            _ => {}
        }
        Ok(())
    }

    fn turn(&mut self, from: Open, to: Open, option: &'static str) -> Result<(), CommandLineError> {
        if self.open != from {
            return Err(CommandLineError::Unbalanced(option));
        }
        self.open = to;
        self.position.in_lib = to == Open::Lib;
        Ok(())
    }
}

/// lld's `isFormatBinary`.
fn is_binary(format: &OsStr) -> Result<bool, CommandLineError> {
    match format.to_str() {
        Some("binary") => Ok(true),
        Some("elf" | "default") => Ok(false),
        _ => Err(CommandLineError::Value {
            option: "format",
            value: format.to_string_lossy().into_owned(),
        }),
    }
}
