//! Links that are to be compared with in-process LTO's (`THINLTO_LD_COMPARE`): who makes them, and which are not compared.
//! Knows nothing of comparing.

use std::ffi::OsString;
use std::path::PathBuf;

use super::Link;
use crate::compare::supervise::{self, Supervisor};
use crate::inputs::Inputs;
use crate::route::{self, Route};
use crate::settings;

impl Link {
    /// Who makes the link and compares it with in-process LTO's, where that is wanted and can be had.
    pub(super) fn supervisor(&self) -> Option<(PathBuf, Supervisor)> {
        let folder = self.settings.compare.clone()?;
        match Supervisor::new() {
            Ok(supervisor) => Some((folder, supervisor)),
            Err(error) => {
                tracing::warn!("links are not compared: {error}");
                None
            }
        }
    }

    /// Variables for whoever makes this link in our place: it is not called by the driver whose linker is meant.
    pub(super) fn told_of_linker(&self) -> Vec<(OsString, OsString)> {
        let is_of_caller = self.linker.name.is_none() && self.settings.linker.is_none();
        let told = (settings::variable("linker").into(), self.linker.path.clone().into());
        is_of_caller.then_some(told).into_iter().collect()
    }

    /// Who compares links adds options to them, which must not be in what an option leaves to lld (`--reproduce`).
    pub(super) fn not_to_compare(&self) -> Option<Route> {
        if self.settings.compare.is_none() || self.invocation.in_process.is_none() {
            return None;
        }
        match Inputs::open(&self.invocation) {
            Ok(inputs) => route::by_inputs(&self.invocation, &inputs),
            Err(error) => Some(Route::Doomed(error.to_string())),
        }
    }

    /// A link that is left to lld is not compared, but counts.
    pub(super) fn tell_compare(&self, route: &Route) {
        let Some(folder) = &self.settings.compare else { return };
        let left = supervise::left(
            &self.invocation,
            &self.linker.path,
            route.mode(),
            route.reason(),
            folder,
        );
        if let Err(error) = left {
            tracing::warn!("{}: {error}", folder.display());
        }
    }
}
