//! `Destination.status`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use backflow_core::code::cut;
use backflow_core::result::CheckResult;
use backflow_crds::v1alpha1::{Destination, DestinationStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use crate::check::counts;
use crate::context::Context;
use crate::destination::dereference::plan;
use crate::store::Key;

/// Destinations that asked to be left alone, and until when. The status keeps it over a restart.
#[derive(Debug, Default)]
pub struct Throttled(Mutex<BTreeMap<Key, Timestamp>>);

impl Throttled {
    /// A run was told so.
    pub fn set(&self, destination: Key, until: Timestamp) {
        self.lock().insert(destination, until);
    }

    /// Until when, as far as runs said.
    #[must_use]
    pub fn until(&self, destination: &Key) -> Option<Timestamp> {
        self.lock().get(destination).copied()
    }

    /// It is gone.
    pub fn forget(&self, destination: &Key) {
        self.lock().remove(destination);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps what a check found.
pub fn learn(_destination: &Destination, status: &mut DestinationStatus, found: &CheckResult) -> String {
    status.account = found.server.clone().map(|account| cut(account, 256));
    status.account.as_ref().map(|account| format!("reached {account}")).unwrap_or_default()
}

/// What needs no check.
pub fn complete(context: &Context, destination: &Destination, status: &mut DestinationStatus) {
    let name = destination.name_any();
    let plan = plan(context, destination).ok();
    status.definition_version = plan.map(|plan| plan.definition_version.to_string());
    let (active, queued) = counts(context, &destination.namespace().unwrap_or_default(), |needs| {
        needs.destination.as_ref() == Some(&name)
    });
    let key = Key::of(destination);
    let known = status.throttled_until.as_ref().map(|until| until.0);
    status.throttled_until = context.throttled.until(&key).max(known).filter(|until| *until > context.now()).map(Time);
    (status.active_syncs, status.queued_syncs) = (Some(active), Some(queued));
}
