//! The delivery engine: batches in, one outcome for each record out.
//!
//! [`open`] makes the [`Sink`] of a run, [`check`] tries a Destination without sending rows. Inside, `delivery` decides (when
//! to send, when to wait, what an answer means, when to split a batch, when to end the run) over a `Transport` that makes one request;
//! `webhook` says how records become a request, `http` makes it, `address` keeps it away from addresses that are nobody's destination.
//!
//! Nothing here prints a credential, a row, a query string or a word of an answer's body.

mod address;
mod delivery;
mod http;
mod webhook;

use std::sync::Arc;

use backflow_core::code::{Code, Failure};
use backflow_core::plan::{DestinationPlan, MappingPlan};
use backflow_core::secret::Secrets;
use backflow_core::sink::{BatchLimits, Sink};
use backflow_definitions::{Action, Definition};
use tokio::sync::watch;

/// Asks a sink to stop. Once it holds a failure (why: cancelled, terminated, deadline), a request in flight is finished, nothing new is
/// begun, and deliveries return with that failure.
pub type Stop = watch::Receiver<Option<Failure>>;

/// Opens the sink of a run: reads the secrets, sends nothing.
///
/// # Errors
/// Secrets that are absent or unusable, a host that is a forbidden address, a plan that its definition does not know.
pub fn open(
    destination: &DestinationPlan,
    mapping: &MappingPlan,
    secrets: &dyn Secrets,
    stop: Stop,
) -> Result<Arc<dyn Sink>, Failure> {
    let definition = definition(destination)?;
    let action = action(definition, mapping)?;
    let limits = BatchLimits {
        max_records: action.batch.max_records as usize,
        max_bytes: action.batch.max_bytes as usize,
        concurrency: destination.limits.concurrency.unwrap_or(definition.concurrency()).max(1) as usize,
    };
    let endpoint = webhook::Endpoint::new(definition, destination, secrets)?;
    let transport = webhook::Webhook::new(endpoint, limits.concurrency)?;
    let rate = destination.limits.requests_per_second;
    Ok(Arc::new(delivery::Engine::new(transport, limits, rate, mapping.retry, stop)))
}

/// Tries a Destination without sending rows, and returns what it calls the account. For a webhook: its host resolves, accepts the
/// connection, proves itself by TLS, speaks HTTP, and does not refuse the credentials on an OPTIONS request.
///
/// # Errors
/// [`Code::DestinationUnreachable`], [`Code::TlsFailed`], [`Code::AddressForbidden`], [`Code::DestinationUnauthorized`],
/// [`Code::DestinationMisconfigured`], or secrets that are absent or unusable.
pub async fn check(destination: &DestinationPlan, secrets: &dyn Secrets) -> Result<String, Failure> {
    let definition = definition(destination)?;
    let endpoint = webhook::Endpoint::new(definition, destination, secrets)?;
    webhook::Webhook::new(endpoint, 1)?.check().await
}

fn definition(destination: &DestinationPlan) -> Result<&'static Definition, Failure> {
    let invalid = |message: String| Failure::new(Code::PlanInvalid, message);
    let definition = backflow_definitions::builtin(&destination.kind)
        .ok_or_else(|| invalid(format!("destination type \"{}\" is not known to this version", destination.kind)))?;
    if definition.version != destination.definition_version {
        return Err(invalid(format!(
            "the plan was made for version {} of the definition {}, this program has version {}; start the run again",
            destination.definition_version, definition.id, definition.version
        )));
    }
    match definition.check_settings(&destination.settings).into_iter().next() {
        Some(finding) => Err(invalid(finding.message)),
        None => Ok(definition),
    }
}

fn action<'a>(definition: &'a Definition, mapping: &MappingPlan) -> Result<&'a Action, Failure> {
    let action =
        definition.action(&mapping.action).map_err(|finding| Failure::new(Code::PlanInvalid, finding.message))?;
    match action.check_config(&mapping.config).into_iter().next() {
        Some(finding) => Err(Failure::new(Code::PlanInvalid, finding.message)),
        None => Ok(action),
    }
}
