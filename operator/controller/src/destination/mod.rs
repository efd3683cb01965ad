//! Destination: an account in a business tool. Its pipeline is that of everything that is checked: [`crate::check`].

pub mod dereference;
pub mod status;

use std::sync::Arc;

use backflow_core::plan::Task;
use backflow_core::result::CheckResult;
use backflow_crds::v1alpha1::{Destination, DestinationStatus, WorkerTemplate};
use jiff::Timestamp;

use crate::check::{Blocked, Checked, Parts};
use crate::context::Context;
use crate::error::Error;
use crate::queue::Next;
use crate::store::Key;

/// Looks at one Destination.
///
/// # Errors
/// If the API server does not do what it is asked.
pub async fn reconcile(context: Arc<Context>, key: Key) -> Result<Next, Error> {
    if context.stores.destinations.get(&key).is_none() {
        context.throttled.forget(&key);
    }
    crate::check::reconcile::<Destination>(context, key).await
}

impl Checked for Destination {
    type Status = DestinationStatus;

    fn task(&self, context: &Context) -> Result<(Task, WorkerTemplate), Blocked> {
        dereference::task(context, self)
    }

    fn status(&self) -> Option<&DestinationStatus> {
        self.status.as_ref()
    }

    fn parts(status: &mut DestinationStatus) -> Parts<'_> {
        Parts {
            observed_generation: &mut status.observed_generation,
            conditions: &mut status.conditions,
            last_check_time: &mut status.last_check_time,
            last_check_digest: &mut status.last_check_digest,
            errors: &mut status.errors,
        }
    }

    fn valid_since(&self, context: &Context) -> Option<Timestamp> {
        dereference::definition_accepted_at(context, self)
    }

    fn learn(&self, status: &mut DestinationStatus, found: &CheckResult) -> String {
        status::learn(self, status, found)
    }

    fn complete(&self, context: &Context, status: &mut DestinationStatus) -> Option<Timestamp> {
        status::complete(context, self, status);
        status.throttled_until.as_ref().map(|until| until.0)
    }
}
