//! A thin link that decides what an earlier one has decided is not run: its result is taken from the cache, with the hashes
//! of the modules as they are now. Knows nothing of what makes two thin links the same; that is `key`'s.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use memmap2::Mmap;

use super::key::{Named, Parts};
use super::packed::{self, Words};
use super::{Plan, regular_object};
use crate::cache::{Cache, Destination, Outputs};
use crate::cmdline::Invocation;
use crate::inputs::{Inputs, Stamp};
use crate::staging::Staging;
use crate::sys;
use crate::toolchain::{Linker, LlvmVersion};

/// A thin link that an earlier one may stand for, or that may stand for a later one.
#[derive(Debug)]
pub struct Reuse<'a> {
    cache: &'a Cache,
    linker: &'a Linker,
    llvm: String,
    invocation: &'a Invocation,
    inputs: &'a Inputs,
    opened: SystemTime,
    named: Named,
}

impl<'a> Reuse<'a> {
    /// Of a link's thin link; none where it has to run whatever there is. `opened` is a time before the inputs were opened.
    pub fn of(
        cache: &'a Cache,
        linker: &'a Linker,
        llvm: LlvmVersion,
        invocation: &'a Invocation,
        inputs: &'a Inputs,
        opened: SystemTime,
    ) -> Option<Reuse<'a>> {
        let llvm = llvm.to_string();
        let parts = Parts {
            cache,
            linker,
            llvm: &llvm,
            invocation,
            inputs,
            opened,
        };
        match parts.name() {
            Ok(named) => Some(Reuse {
                cache,
                linker,
                llvm,
                invocation,
                inputs,
                opened,
                named,
            }),
            Err(why) => {
                tracing::debug!(why, "the thin link is not reused");
                None
            }
        }
    }

    /// What an earlier link decided, if it is there and whole.
    pub fn find(&self, staging: &Staging) -> Option<Plan> {
        let path = staging.path("plan");
        let outputs = Outputs {
            object: Destination::Staging(&path),
            sides: &[],
        };
        self.cache.place(&self.named.key, &outputs)?;
        let kept = fs::File::open(&path).and_then(|file| sys::map(&file)).ok()?;
        let plan = self.unpack(&Arc::new(kept), staging);
        match plan {
            Ok(plan) => Some(plan),
            Err(error) => {
                tracing::debug!(%error, "the kept thin link is not used");
                None
            }
        }
    }

    fn unpack(&self, kept: &Arc<Mmap>, staging: &Staging) -> io::Result<Plan> {
        let sources = self.inputs.bitcode_by_name();
        let unpacked = packed::unpack(kept, &sources, &self.named.hashes);
        let (words, modules) = unpacked.ok_or(io::ErrorKind::InvalidData)?;
        let regular = regular_object(staging);
        fs::write(&regular, &words.regular)?;
        Ok(Plan {
            modules,
            regular: None,
            regular_written: regular,
            loaded: words.loaded,
            remarks: Vec::new(),
            traced: Vec::new(),
            warnings: words.warnings,
        })
    }

    /// Keeps what this link's thin link decided, unless something may have changed while it did.
    pub fn keep(&self, plan: &Plan, staging: &Staging) {
        match self.try_keep(plan, staging) {
            Ok(()) => {}
            Err(why) => tracing::debug!(why, "thin link not kept"),
        }
    }

    fn try_keep(&self, plan: &Plan, staging: &Staging) -> Result<(), String> {
        if plan.regular.is_some() {
            return Err("a regular-LTO partition is compiled with it".into());
        }
        if !plan.remarks.is_empty() {
            return Err("it printed remarks, which are not kept with it".into());
        }
        let files = self.inputs.files();
        let changed = files
            .iter()
            .find(|(path, stamp)| !Stamp::of(path).is_ok_and(|now| now == *stamp));
        if let Some((path, _)) = changed {
            return Err(format!("{} has changed", path.display()));
        }
        // By content where a stamp proves nothing yet: those files are looked at again.
        if self.parts().name()?.key != self.named.key {
            return Err("something has changed".into());
        }
        let words = Words {
            loaded: plan.loaded.clone(),
            warnings: plan.warnings.clone(),
            regular: fs::read(&plan.regular_written).unwrap_or_default(),
        };
        let bytes = packed::pack(&words, &plan.modules).ok_or("it names a module that is not in the link")?;
        let path = staging.path("plan");
        fs::write(&path, bytes).map_err(|error| error.to_string())?;
        let outputs = Outputs {
            object: Destination::Staging(&path),
            sides: &[],
        };
        let kept = self.cache.remember(&self.named.key, &outputs, &[]);
        kept.map_err(|error| error.to_string())
    }

    fn parts(&self) -> Parts<'_> {
        Parts {
            cache: self.cache,
            linker: self.linker,
            llvm: &self.llvm,
            invocation: self.invocation,
            inputs: self.inputs,
            opened: self.opened,
        }
    }
}
