//! The server's action cache: what an action came to before.
//! Knows nothing of actions, nor whether a result is any good.

use tonic::{Code, Response};

use super::api::{self, action_cache_client::ActionCacheClient, digest_function::Value::Sha256};
use super::digest::Digest;
use super::error::{Kind, RemoteError};
use super::retry::{Patience, patiently};
use super::shared::{SHORT, Shared, sized};

const LOOKING: &str = "looking into the action cache";
const REMEMBERING: &str = "filling the action cache";

/// What the cache has for this action.
pub(super) async fn cached(shared: &Shared, action: Digest) -> Result<Option<api::ActionResult>, RemoteError> {
    patiently!(Patience::default(), look(shared, action))
}

async fn look(shared: &Shared, action: Digest) -> Result<Option<api::ActionResult>, RemoteError> {
    let line = shared.calls();
    let mut client = sized!(ActionCacheClient::new(line.channel.clone()));
    let request = shared.request(api::GetActionResultRequest {
        instance_name: shared.instance(),
        action_digest: Some(action.to_message()),
        inline_stdout: true,
        inline_stderr: true,
        digest_function: Sha256.into(),
        ..Default::default()
    });
    let call = async {
        match client.get_action_result(request).await {
            Ok(found) => Ok(Response::new(Some(found.into_inner()))),
            Err(status) if status.code() == Code::NotFound => Ok(Response::new(None)),
            Err(status) => Err(status),
        }
    };
    shared.limited(LOOKING, &line, SHORT, call).await
}

/// Puts a result there.
pub(super) async fn remember(shared: &Shared, action: Digest, result: api::ActionResult) -> Result<(), RemoteError> {
    if !shared.capabilities.can_remember {
        let words = "the server does not let its action cache be filled";
        return Err(shared.error(Kind::Unsupported("updates of its action cache"), REMEMBERING, words));
    }
    let update = api::UpdateActionResultRequest {
        instance_name: shared.instance(),
        action_digest: Some(action.to_message()),
        action_result: Some(result),
        digest_function: Sha256.into(),
        ..Default::default()
    };
    patiently!(Patience::default(), fill(shared, &update))
}

async fn fill(shared: &Shared, update: &api::UpdateActionResultRequest) -> Result<(), RemoteError> {
    let line = shared.calls();
    let mut client = sized!(ActionCacheClient::new(line.channel.clone()));
    let call = client.update_action_result(shared.request(update.clone()));
    shared.limited(REMEMBERING, &line, SHORT, call).await.map(|_| ())
}
