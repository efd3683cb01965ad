//! Destinations that are spoken to by code of their own. Each is a [`Transport`](crate::delivery::Transport) below the same engine as
//! what goes by HTTP: it says what becomes of a part of a batch, and knows nothing of retries, of halving, and of stopping.

mod postgres;

use std::sync::Arc;

use backflow_core::code::{Code, Failure};
use backflow_core::plan::{DestinationPlan, MappingPlan};
use backflow_core::secret::Secrets;
use backflow_core::sink::Sink;
use backflow_definitions::Definition;

use crate::Stop;
use crate::delivery::Engine;
use crate::open::fitting;

/// What is known of a Destination without a Mapping.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) definition: &'static Definition,
    pub(crate) destination: &'a DestinationPlan,
    pub(crate) secrets: &'a dyn Secrets,
}

/// Opens the sink of a run, by the code of this name.
pub(crate) fn open(name: &str, given: Given<'_>, mapping: &MappingPlan, stop: Stop) -> Result<Arc<dyn Sink>, Failure> {
    fitting(given.definition, given.destination)?;
    match name {
        "postgres" => {
            let (transport, settings) = postgres::open(given, mapping)?;
            Ok(Arc::new(Engine::new(transport, settings, stop)))
        }
        _ => Err(unknown(name)),
    }
}

/// Tries a Destination without sending rows; what it calls the account.
pub(crate) async fn check(name: &str, given: Given<'_>) -> Result<String, Failure> {
    fitting(given.definition, given.destination)?;
    match name {
        "postgres" => postgres::check(given).await,
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Failure {
    Failure::new(Code::PlanInvalid, format!("this version has no code \"{name}\" to deliver by"))
}
