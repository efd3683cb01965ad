//! Source: a warehouse. Its pipeline is that of everything that is checked: [`crate::check`].

pub mod dereference;
pub mod status;

use std::sync::Arc;

use backflow_core::plan::Task;
use backflow_core::result::CheckResult;
use backflow_crds::v1alpha1::{Source, SourceStatus, WorkerTemplate};
use jiff::Timestamp;

use crate::check::{Blocked, Checked, Parts};
use crate::context::Context;
use crate::error::Error;
use crate::queue::Next;
use crate::store::Key;

/// Looks at one Source.
///
/// # Errors
/// If the API server does not do what it is asked.
pub async fn reconcile(context: Arc<Context>, key: Key) -> Result<Next, Error> {
    crate::check::reconcile::<Source>(context, key).await
}

impl Checked for Source {
    type Status = SourceStatus;

    fn task(&self, context: &Context) -> Result<(Task, WorkerTemplate), Blocked> {
        dereference::task(context, self)
    }

    fn status(&self) -> Option<&SourceStatus> {
        self.status.as_ref()
    }

    fn parts(status: &mut SourceStatus) -> Parts<'_> {
        Parts {
            observed_generation: &mut status.observed_generation,
            conditions: &mut status.conditions,
            last_check_time: &mut status.last_check_time,
            last_check_digest: &mut status.last_check_digest,
            errors: &mut status.errors,
        }
    }

    fn learn(&self, status: &mut SourceStatus, found: &CheckResult) -> String {
        status::learn(self, status, found)
    }

    fn complete(&self, context: &Context, status: &mut SourceStatus) -> Option<Timestamp> {
        status::complete(context, self, status);
        None
    }
}
