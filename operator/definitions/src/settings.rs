//! Settings and config: values by name, against a schema.

use std::collections::BTreeMap;

use backflow_core::finding::{Finding, hint};
use backflow_expressions::Json;
use serde_json::Value;

use crate::schema::{Member, Schema, TroubleKind, lacks};
use crate::template::{Scope, Variable};

/// Everything that is wrong with `values`, at `<root>.<name>`. `unknown` begins the sentence for a name that is not there. `settings`:
/// those of the Destination, where its Mappings are checked.
pub(crate) fn check_all(
    root: &str,
    unknown: &str,
    schema: &Schema,
    values: &BTreeMap<String, Value>,
    settings: Option<&Json>,
) -> Vec<Finding> {
    let plain = || schema.properties.iter().filter(|(_, setting)| !setting.extra.secret);
    let mut findings = Vec::new();
    for (name, value) in values {
        let path = format!("{root}.{name}");
        match schema.member(name) {
            Member::Known(setting) => {
                for trouble in setting.troubles(&path, value) {
                    let code = if trouble.kind == TroubleKind::Missing { "MissingSetting" } else { "InvalidSetting" };
                    findings.push(Finding::new(trouble.path, code, trouble.message));
                }
            }
            Member::Any => {}
            Member::Unknown => {
                let known = hint(name, plain().map(|(name, _)| name.as_str()));
                findings.push(Finding::new(path, "UnknownSetting", format!("{unknown} \"{name}\" {known}")));
            }
        }
    }
    let given = complete(schema, values);
    let scope = Scope::new().with(Variable::Cfg, &given).with(Variable::Settings, settings.unwrap_or(&given));
    let required = plain().filter(|(name, _)| schema.required.contains(name));
    let required = required.map(|(name, setting)| (vec![name.clone()], setting));
    let conditional = schema.conditional().into_iter().filter(|(path, setting)| {
        let holds = setting.extra.required_when.as_ref().is_some_and(|condition| condition.holds(&scope));
        holds && !(path.len() == 1 && path.iter().all(|name| schema.required.contains(name)))
    });
    for (path, setting) in required.chain(conditional).filter(|(path, _)| lacks(&given, path)) {
        let path = format!("{root}.{}", path.join("."));
        let about = setting.description.as_deref().unwrap_or("it has no default");
        findings.push(Finding::new(path.as_str(), "MissingSetting", format!("{path} is required: {about}")));
    }
    findings.extend(alternatives(root, schema, &given));
    findings
}

/// Groups of which some must be given, and settings that others need.
fn alternatives(root: &str, schema: &Schema, given: &Json) -> Vec<Finding> {
    let has = |name: &String| given.get(name).is_some();
    let groups = |alternatives: &[Schema]| {
        let holds = alternatives.iter().filter(|group| group.required.iter().all(has)).count();
        let named: Vec<String> = alternatives.iter().map(|group| group.required.join(" and ")).collect();
        (holds, named.join("; "))
    };
    let mut findings = Vec::new();
    let (any, one) = (groups(&schema.any_of), groups(&schema.one_of));
    if !schema.any_of.is_empty() && any.0 == 0 {
        findings.push(Finding::new(root, "MissingSetting", format!("{root} needs at least one of: {}", any.1)));
    }
    if !schema.one_of.is_empty() && one.0 != 1 {
        findings.push(Finding::new(root, "MissingSetting", format!("{root} needs exactly one of: {}", one.1)));
    }
    for (name, others) in schema.dependent_required.iter().filter(|(name, _)| has(name)) {
        for other in others.iter().filter(|other| !has(other)) {
            let path = format!("{root}.{other}");
            findings.push(Finding::new(path.as_str(), "MissingSetting", format!("{path} is required with {name}")));
        }
    }
    findings
}

/// The values with the defaults of those that are not given, as templates see them.
#[must_use]
pub fn complete(schema: &Schema, values: &BTreeMap<String, Value>) -> Json {
    let defaults = schema.defaults().map(|(name, value)| (name.to_owned(), Json::from(value)));
    let given = values.iter().map(|(name, value)| (name.clone(), Json::from(value)));
    Json::Object(defaults.chain(given).collect())
}

/// The values that are part of an identity, as text. Those that are unset and have no default are left out.
pub(crate) fn identity(schema: &Schema, values: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let named = schema.properties.iter().filter(|(_, setting)| setting.extra.identity);
    let named = named.filter_map(|(name, setting)| {
        let value = values.get(name).or(setting.default.as_ref())?;
        Some((name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
    });
    named.collect()
}
