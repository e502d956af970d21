//! Why a distributed link stopped before its end, and what is then done: lld does it, or it has failed.
//! Knows nothing of how that is done.

use std::fmt::Display;
use std::path::PathBuf;

use crate::backend::BackendError;
use crate::final_link::FinalLinkError;
use crate::route::Route;
use crate::thin_link::ThinLinkError;

/// Why a distributed link stopped.
pub(super) enum Stop {
    /// lld does it.
    Left(Route),
    /// The linker refused the thin link.
    Refused { status: i32, stderr: String },
    /// lld loads libraries that no command line names, only objects (`.deplibs`): their paths. To be begun again with these.
    MoreInputs(Vec<PathBuf>),
    /// The link failed, as it would under lld; what is to be said.
    Failed(String),
    /// A signal.
    Interrupted,
}

impl Stop {
    /// The link failed; `linker` says why.
    pub(super) fn failed(linker: &str, error: impl Display) -> Stop {
        Stop::Failed(format!("{linker}: error: {error}\n"))
    }

    /// lld does it, for this reason.
    pub(super) fn left(reason: String) -> Stop {
        Stop::Left(Route::InProcess(reason))
    }
}

impl From<ThinLinkError> for Stop {
    fn from(error: ThinLinkError) -> Stop {
        match error {
            ThinLinkError::Refused { status, stderr } => Stop::Refused { status, stderr },
            ThinLinkError::Interrupted => Stop::Interrupted,
            ThinLinkError::MoreInputs(paths) => Stop::MoreInputs(paths),
            other => Stop::left(other.to_string()),
        }
    }
}

impl From<BackendError> for Stop {
    fn from(error: BackendError) -> Stop {
        match error {
            BackendError::Rejected(text) => Stop::Failed(text),
            BackendError::Interrupted => Stop::Interrupted,
            changed @ BackendError::Changed(_) => Stop::left(changed.to_string()),
            BackendError::Unfit(reason) => {
                tracing::warn!("{reason}; left to in-process LTO");
                Stop::left(reason)
            }
        }
    }
}

impl From<FinalLinkError> for Stop {
    fn from(error: FinalLinkError) -> Stop {
        match error {
            FinalLinkError::Interrupted => Stop::Interrupted,
            other => Stop::left(other.to_string()),
        }
    }
}
