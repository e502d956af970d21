//! Which clang workers have of their own, by its own word: an object of another version would be another object.
//! Knows nothing of backends.

use super::action;
use crate::remote::{Blob, CacheLookup, Cancel, Client, Digest, Execution, api};
use crate::toolchain::LlvmVersion;

/// Asks the clang at `path` on some worker for its version; why it cannot be used, if it cannot.
pub(super) fn refused(
    client: &Client,
    path: &str,
    wanted: LlvmVersion,
    platform: &[(String, String)],
    cancel: &Cancel,
) -> Option<String> {
    let root = Blob::of_message(&api::Directory::default());
    #[allow(deprecated, reason = "servers of REAPI 2.0 look for the platform here")]
    let command = Blob::of_message(&api::Command {
        arguments: vec![path.to_owned(), "--version".to_owned()],
        platform: action::platform(platform),
        ..api::Command::default()
    });
    let action = Blob::of_message(&api::Action {
        command_digest: Some(command.digest.to_message()),
        input_root_digest: Some(root.digest.to_message()),
        // The answer can be another tomorrow.
        do_not_cache: true,
        platform: action::platform(platform),
        ..api::Action::default()
    });
    let execution = Execution {
        action: action.digest,
        priority: 0,
        cache: CacheLookup::Skipped,
    };
    let executed = client
        .upload(&[root, command, action])
        .and_then(|_| client.execute(execution, cancel));
    let result = match executed {
        Ok(executed) => executed.result,
        Err(error) => return Some(error.to_string()),
    };
    let said = match result.stdout_digest.as_ref().and_then(Digest::from_message) {
        Some(digest) if result.stdout_raw.is_empty() => client.fetch(&[digest]).into_iter().find_map(Result::ok),
        _ => Some(result.stdout_raw.into()),
    };
    let said = String::from_utf8_lossy(said.as_deref().unwrap_or_default()).into_owned();
    match LlvmVersion::of_clang(&said) {
        Some(version) if version == wanted => None,
        Some(version) => Some(format!("workers' {path} is clang {version}, the one here is {wanted}")),
        None => Some(format!(
            "workers have no clang at {path} (exit status {})",
            result.exit_code
        )),
    }
}
