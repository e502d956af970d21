//! Backends here and on servers together, each object by whoever makes it first.
//! Knows nothing of what either does; the schedule says who gets what.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use super::farm::{Farm, beside};
use super::looks::Lookups;
use super::{Ahead, By, Ended, Ran, Sharing};
use crate::backend::prepare::{self, Prepared};
use crate::backend::process::{self, Engine, Failure};
use crate::backend::{BackendError, Backends, Results};
use crate::observe::stats;
use crate::schedule::Next;
use crate::schedule::shared::{Here, Line, Shared, Side};
use crate::settings::remote::Local;

impl Backends<'_> {
    /// Takes what a shared cache has, and compiles the rest here.
    pub(in crate::backend) fn run_behind_a_cache(
        &mut self,
        remote: Ahead,
        prepared: &[Prepared],
        waiting: &[usize],
        results: &mut Results,
        sharing: &Sharing,
        counts: &mut stats::Backends,
    ) -> Result<(), BackendError> {
        prepare::stage_modules(self, prepared, waiting)?;
        let taken = Mutex::new(Vec::new());
        let lookups = Lookups {
            link: self,
            prepared,
            sharing,
        };
        lookups.take(remote, waiting, |module, ended| {
            taken
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((module, ended));
        });
        let taken = taken.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (module, ended) in taken {
            if results.take(module, ended, counts) == Next::Stop {
                return Ok(());
            }
        }
        let left: Vec<usize> = waiting
            .iter()
            .copied()
            .filter(|module| results.done[*module].is_none())
            .collect();
        self.run_here(prepare::stage_indexes, prepared, &left, results, Some(sharing), counts)
    }

    /// Has a server execute these modules' backends, and compiles here as well.
    pub(in crate::backend) fn run_shared(
        &mut self,
        remote: Ahead,
        prepared: &[Prepared],
        waiting: &[usize],
        results: &mut Results,
        sharing: &Sharing,
        counts: &mut stats::Backends,
    ) -> Result<(), BackendError> {
        let weights: Vec<u64> = waiting.iter().map(|module| prepared[*module].weight).collect();
        prepare::stage_modules(self, prepared, waiting)?;
        let taken: Vec<AtomicBool> = prepared.iter().map(|_| AtomicBool::new(false)).collect();
        let here = match remote.local() {
            Local::On => Here::All,
            Local::Off => Here::Refused,
        };
        let (server, engine) = (Mutex::new(self.server.take()), OnceLock::new());
        // Nothing may have to run here at all.
        let engine_here = || {
            let server = || server.lock().unwrap_or_else(PoisonError::into_inner).take();
            &engine.get_or_init(|| self.engine(server(), waiting.len())).0
        };
        let line = Line::new();
        let (farm, inbox) = Farm::new(self, (prepared, waiting), (sharing, &taken), &remote, line.tell());
        let ranks = prepare::ranks(self);
        counts.engine = Some("remote");
        let shared = Shared {
            weights: &weights,
            slots: &self.slots,
            here,
            elsewhere: &farm,
            allow: &|running| {
                if let Some(timeline) = self.timeline {
                    timeline.allow(running);
                }
                engine_here().allow(running);
            },
            run: |job: usize| {
                let module = waiting[job];
                self.timed(module, || {
                    self.compile_beside(engine_here(), prepared, module, &taken[module], sharing, &ranks)
                })
            },
            halt: &|| self.children.kill(),
            interrupted: &|| self.children.interrupted().is_some(),
        };
        counts.raced = thread::scope(|scope| {
            let farm = &farm;
            scope.spawn(move || farm.attend(remote, inbox));
            let raced = shared.run(line, |job, ended, side| {
                if side == Side::Here {
                    sharing.ran_here(waiting[job]);
                }
                results.take(waiting[job], ended, counts)
            });
            farm.end();
            raced
        });
        counts.engine_fallback = engine.get().and_then(|(_, fallback)| fallback.clone());
        Ok(())
    }

    /// Compiles one module that may be compiled elsewhere too; none where its object has come from there first.
    fn compile_beside(
        &self,
        engine: &Engine,
        prepared: &[Prepared],
        module: usize,
        taken: &AtomicBool,
        sharing: &Sharing,
        ranks: &HashMap<&[u8], usize>,
    ) -> Option<Ended> {
        let object = prepared[module].object.path();
        let is_taken = || taken.load(Ordering::Acquire);
        if is_taken() {
            return None;
        }
        let compile = || {
            let staged = prepare::stage_index(self, prepared, module, ranks);
            staged.map_err(|error| Failure::Unprepared(error.to_string()))?;
            // What writes more than its object runs nowhere else, and names those files by it.
            match prepared[module].travels() {
                false => process::run(engine, &self.clang.path, &prepared[module].backend, self.children),
                true => {
                    let beside = beside(object, "here");
                    let backend = prepared[module].backend.leaving(&beside);
                    let said = process::run(engine, &self.clang.path, &backend, self.children)?;
                    Ok(said.replace(&*beside.to_string_lossy(), &object.to_string_lossy()))
                }
            }
        };
        let said = match compile() {
            Ok(said) => said,
            Err(_) if is_taken() => return None,
            Err(failure) => return Some(Err(failure)),
        };
        if taken.swap(true, Ordering::AcqRel) {
            return None;
        }
        if prepared[module].travels()
            && let Err(error) = std::fs::rename(beside(object, "here"), object)
        {
            return Some(Err(Failure::Unprepared(error.to_string())));
        }
        sharing.offer(self, module, &prepared[module], &said);
        let done = self.done(&prepared[module], said);
        Some(done.map(|stderr| Ran { stderr, by: By::Here }))
    }
}
