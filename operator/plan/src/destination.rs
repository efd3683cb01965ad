//! Destination → [`DestinationPlan`].

use backflow_core::finding::hint;
use backflow_core::plan::{DestinationLimits, DestinationPlan};
use backflow_crds::v1alpha1::DestinationSpec;

use crate::Place;
use crate::finding::{Finding, Findings};
use crate::source::secret;

/// Plans a Destination.
///
/// # Errors
/// All findings: unknown type, settings and secrets that the definition does not have or that miss.
pub fn destination(name: &str, spec: &DestinationSpec, place: &Place) -> Result<DestinationPlan, Vec<Finding>> {
    let mut findings = Findings::default();
    let Some(definition) = backflow_definitions::builtin(&spec.type_) else {
        let known = hint(&spec.type_, backflow_definitions::builtin_ids());
        findings.add(
            "spec.type",
            "UnknownDestinationType",
            format!("there is no definition \"{}\" {known}", spec.type_),
        );
        return Err(findings.finish(()).err().unwrap_or_default());
    };
    let auth = match definition.auth_scheme(spec.auth.as_deref()) {
        Ok(scheme) => scheme.id.clone(),
        Err(finding) => {
            findings.extend_at("spec", [finding]);
            String::new()
        }
    };
    findings.extend_at("spec", definition.check_settings(&spec.settings));
    findings.extend_at("spec", definition.check_secrets(spec.auth.as_deref(), spec.secrets.keys().map(String::as_str)));
    let secrets = spec.secrets.iter().map(|(key, value)| (key.clone(), secret(value))).collect();
    let positive = |limit: Option<i32>| limit.and_then(|limit| u32::try_from(limit).ok()).filter(|limit| *limit > 0);
    let limits = spec.limits.as_ref().map_or_else(DestinationLimits::default, |limits| DestinationLimits {
        requests_per_second: positive(limits.requests_per_second),
        concurrency: positive(limits.concurrency),
    });
    findings.finish(DestinationPlan {
        name: name.to_owned(),
        kind: spec.type_.clone(),
        definition_version: definition.version,
        auth,
        settings: spec.settings.clone(),
        secrets,
        limits,
        allow_loopback: matches!(place, Place::Local(_)),
    })
}
