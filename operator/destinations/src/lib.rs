//! The delivery engine: batches in, one outcome for each record out, to any destination that a definition describes.
//!
//! [`open()`] makes the [`Sink`] of a run, [`check()`] tries a Destination without sending rows, [`discover()`] asks it for choices, [`Consent`]
//! asks a person. Inside,
//! `open` prepares a definition's requests with a Destination's settings and secrets; `delivery` decides (when to send, when to wait, when
//! to split a batch, when to end the run) over a `Transport`; `action` is the transport of all that HTTP reaches: it says which requests
//! a batch becomes and reads their answers; `native` holds the transports of what is no HTTP; `results` holds what answers say against what was sent; `pace` says how fast; `auth` says who sends; `encode` makes
//! bodies; `http` makes requests, and `address` keeps them away from addresses that are nobody's destination.
//!
//! Nothing here prints a credential, a row, a query string or a word of an answer's body, but for codes and field names where a
//! definition says that they stand.

mod action;
mod address;
mod auth;
mod check;
mod clock;
mod consent;
mod delivery;
mod encode;
mod http;
mod native;
mod open;
mod pace;
mod results;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use backflow_core::code::Failure;
use backflow_core::notes::Notes;
use backflow_core::plan::{DestinationPlan, MappingPlan};
use backflow_core::secret::Secrets;
use backflow_core::sink::Sink;
use backflow_definitions::{Definition, Delivery, planned};
use tokio::sync::watch;

pub use check::Choice;
pub use consent::{Consent, NoConsent};
use open::Opening;

/// Asks a sink to stop. Once it holds a failure (why: cancelled, terminated, deadline), a request in flight is finished, nothing new is
/// begun, and deliveries return with that failure.
pub type Stop = watch::Receiver<Option<Failure>>;

/// Where what is true of a Destination's account outlives a run: refresh tokens that the destination gave in exchange for older ones, and
/// what runs used of its rates.
#[derive(Clone)]
pub struct Keeping {
    /// Beside the states of the Destination's Mappings.
    pub notes: Arc<dyn Notes>,
    /// The plan's owner: two clusters have Destinations of one name.
    pub cluster: String,
    /// The Destination's.
    pub namespace: String,
}

/// Opens the sink of a run: reads the secrets, sends nothing and connects to nothing (see [`Sink::ready`]). Without `keeping`, an account
/// whose refresh tokens work once cannot be sent to.
///
/// # Errors
/// Secrets that are absent or unusable, a host that is a forbidden address, a plan that its definition does not know.
pub fn open(
    destination: &DestinationPlan,
    mapping: &MappingPlan,
    secrets: &dyn Secrets,
    keeping: Option<Keeping>,
    stop: Stop,
) -> Result<Arc<dyn Sink>, Failure> {
    open_with(planned(destination)?, destination, mapping, secrets, keeping, stop)
}

/// As [`open()`], with another definition than the plan names.
///
/// # Errors
/// As [`open()`].
pub fn open_with(
    definition: &'static Definition,
    destination: &DestinationPlan,
    mapping: &MappingPlan,
    secrets: &dyn Secrets,
    keeping: Option<Keeping>,
    stop: Stop,
) -> Result<Arc<dyn Sink>, Failure> {
    if let Delivery::Native { name, .. } = &definition.delivery {
        return native::open(name, native::Given { definition, destination, secrets }, mapping, stop);
    }
    let (action, settings) = Opening::new(definition, destination, secrets, keeping)?.action(mapping)?;
    Ok(Arc::new(delivery::Engine::new(action, settings, stop)))
}

/// Tries a Destination without sending rows, and returns what it calls the account. For a webhook: its host resolves, accepts the
/// connection, proves itself by TLS, speaks HTTP, and does not refuse the credentials on an OPTIONS request. Of an account whose refresh
/// tokens work once, only the server is tried: the token that comes in exchange could not be kept.
///
/// # Errors
/// [`DestinationUnreachable`](backflow_core::code::Code::DestinationUnreachable), `TlsFailed`, `AddressForbidden`, `DestinationUnauthorized`,
/// `DestinationMisconfigured`, or secrets that are absent or unusable.
pub async fn check(destination: &DestinationPlan, secrets: &dyn Secrets) -> Result<String, Failure> {
    check_with(planned(destination)?, destination, secrets).await
}

/// As [`check()`], with another definition than the plan names.
///
/// # Errors
/// As [`check()`].
pub async fn check_with(
    definition: &'static Definition,
    destination: &DestinationPlan,
    secrets: &dyn Secrets,
) -> Result<String, Failure> {
    if let Delivery::Native { name, .. } = &definition.delivery {
        return native::check(name, native::Given { definition, destination, secrets }).await;
    }
    check::check(&Opening::new(definition, destination, secrets, None)?).await
}

/// The choices that a Destination offers in one of its definition's lists: object types, lists, audiences. An account whose refresh
/// tokens work once cannot be asked: see [`check()`].
///
/// # Errors
/// As [`check()`]; there is no such list.
pub async fn discover(
    destination: &DestinationPlan,
    secrets: &dyn Secrets,
    list: &str,
) -> Result<Vec<Choice>, Failure> {
    discover_with(planned(destination)?, destination, secrets, list).await
}

/// As [`discover()`], for a definition that may be the user's own.
///
/// # Errors
/// As [`discover()`].
pub async fn discover_with(
    definition: &'static Definition,
    destination: &DestinationPlan,
    secrets: &dyn Secrets,
    list: &str,
) -> Result<Vec<Choice>, Failure> {
    check::discover(&Opening::new(definition, destination, secrets, None)?, list).await
}
