//! Destination → [`DestinationPlan`].

use backflow_core::plan::{DestinationLimits, DestinationPlan};
use backflow_crds::v1alpha1::DestinationSpec;

use crate::finding::{Finding, Findings};
use crate::source::secret;
use crate::{Definitions, Place};

/// Plans a Destination.
///
/// # Errors
/// All findings: unknown type, settings and secrets that the definition does not have or that miss.
pub fn destination(
    name: &str,
    spec: &DestinationSpec,
    definitions: &Definitions,
    place: &Place,
) -> Result<DestinationPlan, Vec<Finding>> {
    let definition =
        definitions.find(&spec.type_).map_err(|unknown| vec![definitions.finding(&spec.type_, unknown)])?;
    let mut findings = Findings::default();
    let auth = match definition.auth_scheme(spec.auth.as_deref()) {
        Ok(scheme) => scheme.id.clone(),
        Err(finding) => {
            findings.extend_at("spec", [finding]);
            String::new()
        }
    };
    findings.extend_at("spec", definition.check_settings(&spec.settings));
    findings.extend_at("spec", definition.check_secrets(spec.auth.as_deref(), spec.secrets.keys().map(String::as_str)));
    let given = |name: &str| spec.settings.contains_key(name) || spec.secrets.contains_key(name);
    findings.extend_at("spec", definition.check_needs(spec.auth.as_deref(), &given));
    let secrets = spec.secrets.iter().map(|(key, value)| (key.clone(), secret(value))).collect();
    let limits = limits(spec, definition.concurrency(), &mut findings);
    findings.finish(DestinationPlan {
        name: name.to_owned(),
        kind: spec.type_.clone(),
        definition: definition.carried(),
        definition_version: definition.version,
        auth,
        settings: spec.settings.clone(),
        secrets,
        limits,
        allow_loopback: matches!(place, Place::Local(_)),
    })
}

/// What one run may do: the account's limits are shared by the Syncs that run at once.
fn limits(spec: &DestinationSpec, concurrency: u32, findings: &mut Findings) -> DestinationLimits {
    let at_once = u32::try_from(spec.max_concurrent_syncs).unwrap_or(1).max(1);
    let given = spec.limits.clone().unwrap_or_default();
    let mut share = |name: &str, limit: Option<i32>| {
        let limit = limit.and_then(|limit| u32::try_from(limit).ok()).filter(|limit| *limit > 0)?;
        if limit < at_once {
            let message = format!(
                "{limit} cannot be shared by {at_once} Syncs; raise it, or lower maxConcurrentSyncs to {limit}"
            );
            findings.add(format!("spec.limits.{name}"), "InvalidSpec", message);
        }
        Some((limit / at_once).max(1))
    };
    let requests_per_second = share("requestsPerSecond", given.requests_per_second);
    let own = share("concurrency", given.concurrency);
    // The definition's limit is the account's, too.
    let shared = (at_once > 1).then(|| (concurrency / at_once).max(1));
    DestinationLimits { requests_per_second, concurrency: own.or(shared) }
}
