//! Links that are to be compared with in-process LTO's (`THINLTO_LD_COMPARE`): who makes them, and which are not compared.
//! Knows nothing of comparing.

use std::path::PathBuf;

use super::Link;
use crate::compare::supervise::{self, Supervisor};
use crate::inputs::Inputs;
use crate::route::{self, Route};

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
