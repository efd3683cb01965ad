//! Model: one SELECT over a Source. Its pipeline is that of everything that is checked: [`crate::check`].

pub mod dereference;
pub mod status;

use std::sync::Arc;

use backflow_core::plan::Task;
use backflow_core::result::CheckResult;
use backflow_crds::v1alpha1::{Model, ModelStatus, WorkerTemplate};
use jiff::Timestamp;

use crate::check::{Blocked, Checked, Parts};
use crate::context::Context;
use crate::error::Error;
use crate::queue::Next;
use crate::store::Key;

/// Looks at one Model.
///
/// # Errors
/// If the API server does not do what it is asked.
pub async fn reconcile(context: Arc<Context>, key: Key) -> Result<Next, Error> {
    crate::check::reconcile::<Model>(context, key).await
}

impl Checked for Model {
    type Status = ModelStatus;

    fn task(&self, context: &Context) -> Result<(Task, WorkerTemplate), Blocked> {
        dereference::task(context, self)
    }

    fn status(&self) -> Option<&ModelStatus> {
        self.status.as_ref()
    }

    fn parts(status: &mut ModelStatus) -> Parts<'_> {
        Parts {
            observed_generation: &mut status.observed_generation,
            conditions: &mut status.conditions,
            last_check_time: &mut status.last_check_time,
            last_check_digest: &mut status.last_check_digest,
            errors: &mut status.errors,
        }
    }

    fn valid_since(&self, context: &Context) -> Option<Timestamp> {
        dereference::source_checked_at(context, self)
    }

    fn falls_short(&self, context: &Context) -> bool {
        dereference::mappings(context, self).iter().any(|mapping| crate::mapping::status::lacks_a_column(mapping))
    }

    fn learn(&self, status: &mut ModelStatus, found: &CheckResult) -> String {
        status::learn(self, status, found)
    }
}
