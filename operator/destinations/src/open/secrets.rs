//! The secrets of a Destination, read once.

use backflow_core::code::Failure;
use backflow_core::plan::DestinationPlan;
use backflow_core::secret::Secrets;
use backflow_definitions::Definition;
use backflow_expressions::Json;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::auth::unusable;

/// The settings with those secrets that the chosen scheme uses, or that go with every scheme. Only authentication sees this.
pub(crate) fn read(
    definition: &Definition,
    plan: &DestinationPlan,
    secrets: &dyn Secrets,
    settings: &Json,
) -> Result<Json, Failure> {
    let Json::Object(mut known) = settings.clone() else { return Ok(settings.clone()) };
    let chosen = definition.auth_scheme(Some(&plan.auth)).ok();
    let used = |name: &str| chosen.into_iter().chain(&definition.auth.always).any(|scheme| scheme.uses(name));
    for (name, reference) in plan.secrets.iter().filter(|(name, _)| used(name)) {
        let value = secrets.read(reference)?;
        if value.expose_secret().is_empty() {
            return Err(unusable(&format!("the secret {name}"), "is empty"));
        }
        // The value is not repeated, whatever is wrong with it.
        let text = Value::from(value.expose_secret());
        if definition.secret(name).is_some_and(|schema| schema.mismatch(&text).is_some()) {
            return Err(unusable(&format!("the secret {name}"), "is not of the form that the definition demands"));
        }
        known.insert(name.clone(), Json::Text(value.expose_secret().to_owned()));
    }
    Ok(Json::Object(known))
}
