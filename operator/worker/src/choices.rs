//! The choices that a Destination's account offers for a setting or a field, for people.

use backflow_core::code::Failure;
use backflow_core::plan::DestinationPlan;
use backflow_core::secret::Secrets;
use backflow_definitions::{Definition, planned};
use serde::Serialize;

pub use backflow_destinations::Choice;

/// A list of choices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChoiceList {
    /// Its name, as the definition has it.
    pub list: String,
    /// What takes its values: `settings.<name>`, `<action> config.<name>`, `<action> fields.<name>`.
    pub used_by: Vec<String>,
}

/// The lists that a destination of this type offers.
#[must_use]
pub fn lists(destination: &DestinationPlan) -> Vec<ChoiceList> {
    let Ok(definition) = planned(destination) else { return Vec::new() };
    let discoveries = definition.http().into_iter().flat_map(|http| &http.discover);
    discoveries.map(|one| ChoiceList { list: one.id.clone(), used_by: used_by(definition, &one.id) }).collect()
}

fn used_by(definition: &Definition, list: &str) -> Vec<String> {
    let mut used = Vec::new();
    let settings = definition.settings.choosers(list);
    used.extend(settings.into_iter().map(|path| format!("settings.{path}")));
    for (name, action) in &definition.actions {
        for (part, schema) in [("config", &action.config), ("fields", &action.fields)] {
            used.extend(schema.choosers(list).into_iter().map(|path| format!("{name} {part}.{path}")));
        }
    }
    used
}

/// The choices of a list. Nothing is remembered.
///
/// # Errors
/// What the destination says, or that it has no such list.
pub async fn choices(destination: &DestinationPlan, secrets: &dyn Secrets, list: &str) -> Result<Vec<Choice>, Failure> {
    backflow_destinations::discover(destination, secrets, list).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_named_with_what_takes_their_values() {
        let definition = backflow_definitions::builtin("hubspot").expect("it is built in");
        assert_eq!(used_by(definition, "customObjects"), ["upsertObject config.object"]);
        assert!(used_by(definition, "nothing").is_empty());
    }
}
