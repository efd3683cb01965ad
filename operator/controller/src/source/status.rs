//! `Source.status`.

use backflow_core::code::cut;
use backflow_core::result::CheckResult;
use backflow_crds::v1alpha1::{Source, SourceStatus};
use kube::ResourceExt as _;

use crate::check::counts;
use crate::context::Context;

/// Keeps what a check found.
pub fn learn(_source: &Source, status: &mut SourceStatus, found: &CheckResult) -> String {
    status.server = found.server.clone().map(|server| cut(server, 256));
    status.server.as_ref().map(|server| format!("connected to {server}")).unwrap_or_default()
}

/// What needs no check.
pub fn complete(context: &Context, source: &Source, status: &mut SourceStatus) {
    status.type_ = source.spec.warehouse().map(|warehouse| warehouse.member().to_owned());
    let name = source.name_any();
    let (active, queued) =
        counts(context, &source.namespace().unwrap_or_default(), |needs| needs.source.as_ref() == Some(&name));
    (status.active_syncs, status.queued_syncs) = (Some(active), Some(queued));
}
