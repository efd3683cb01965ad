//! DestinationDefinition: a business tool of the user's own. It is read as soon as it is seen ([`Shelf`]), so that who plans with it
//! finds it; its reconcile says in the status what was found. It needs no Job: nothing is called to read it.

#[cfg(test)]
mod scenarios;
pub mod shelf;
pub mod status;

pub use shelf::Shelf;

use std::sync::Arc;

use kube::Api;

use crate::context::Context;
use crate::error::Error;
use crate::queue::Next;
use crate::status::patch_at;
use crate::store::Key;
use crate::triggers::{self, Origin};

/// Looks at one DestinationDefinition.
///
/// # Errors
/// If the API server does not do what it is asked.
pub async fn reconcile(context: Arc<Context>, key: Key) -> Result<Next, Error> {
    let Some(definition) = context.stores.definitions.get(&key) else { return Ok(Next::Wait) };
    if definition.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Wait);
    }
    let status = status::of(&context, &definition);
    let api = Api::all(context.client.clone());
    if let Some(written) = patch_at(&api, &*definition, &definition.status, &status).await? {
        let before = definition.status.as_ref().map(|before| before.conditions.as_slice()).unwrap_or_default();
        crate::check::tell(&context, &*definition, before, &status.conditions);
        triggers::saw(&context, written, Origin::Own);
    }
    Ok(Next::Wait)
}
