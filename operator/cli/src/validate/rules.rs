//! The CEL rules of the CRDs, evaluated without an API server.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use cel::extractors::This;
use cel::{Context, Env, Program, Value as Cel};
use serde_json::Value;

/// The language, with the one extension of Kubernetes that the rules use: quantities.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));
/// Rules that were compiled before; none if the language refuses it.
static PROGRAMS: LazyLock<Mutex<BTreeMap<String, Option<Arc<Program>>>>> = LazyLock::new(Mutex::default);

/// The messages of the rules of `schema` (of this level alone) that `value` breaks. Rules about changes of an object are for the API
/// server, and so is a rule that cannot be evaluated here.
pub(super) fn broken(schema: &Value, value: &Value) -> Vec<String> {
    let rules = schema["x-kubernetes-validations"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rules.is_empty() {
        return Vec::new();
    }
    let value = with_defaults(schema, value);
    rules
        .iter()
        .filter_map(|rule| {
            let (text, message) = (rule["rule"].as_str()?, rule["message"].as_str()?);
            (holds(text, &value) == Some(false)).then(|| message.to_owned())
        })
        .collect()
}

/// Whether a rule holds; none if that cannot be said here.
fn holds(rule: &str, value: &Value) -> Option<bool> {
    if rule.contains("oldSelf") {
        return None;
    }
    let program = PROGRAMS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(rule.to_owned())
        .or_insert_with(|| ENVIRONMENT.compile(rule).ok().map(Arc::new))
        .clone()?;
    let mut context = Context::with_env(ENVIRONMENT.clone());
    context.add_variable_from_value("self", to_cel(value));
    context.add_function("isQuantity", |text: Arc<String>| quantity(&text).is_some()).ok()?;
    context.add_function("quantity", |text: Arc<String>| quantity(&text).unwrap_or_default()).ok()?;
    context.add_function("isLessThan", |This(this): This<f64>, other: f64| this < other).ok()?;
    match program.execute(&context) {
        Ok(Cel::Bool(holds)) => Some(holds),
        _ => None,
    }
}

/// A quantity of Kubernetes; a sign is part of the form, so that rules can refuse it.
fn quantity(text: &str) -> Option<f64> {
    let (sign, rest) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let bytes = backflow_plan::bytes(&backflow_crds::v1alpha1::Quantity(rest.to_owned()))?;
    Some(sign * bytes as f64)
}

/// The value as the API server sees it when it evaluates rules: with the defaults of the schema.
fn with_defaults(schema: &Value, value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members = members.clone();
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                if !members.contains_key(name)
                    && let Some(default) = property.get("default")
                {
                    members.insert(name.clone(), default.clone());
                }
                if let Some(member) = members.get_mut(name) {
                    *member = with_defaults(property, member);
                }
            }
            Value::Object(members)
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| with_defaults(&schema["items"], item)).collect()),
        _ => value.clone(),
    }
}

fn to_cel(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => Cel::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Cel::Int(whole),
            None => Cel::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(members) => {
            let members: HashMap<String, Cel> =
                members.iter().map(|(name, member)| (name.clone(), to_cel(member))).collect();
            members.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule that cannot be evaluated would be silently accepted.
    #[test]
    fn every_rule_of_the_crds_compiles() {
        fn rules(schema: &Value, found: &mut Vec<String>) {
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                found.push(rule["rule"].as_str().unwrap().to_owned());
            }
            for member in schema["properties"].as_object().into_iter().flatten().map(|(_, member)| member) {
                rules(member, found);
            }
            for key in ["additionalProperties", "items"] {
                if schema[key].is_object() {
                    rules(&schema[key], found);
                }
            }
        }
        let mut found = Vec::new();
        for crd in backflow_crds::manifest::crds() {
            let crd = serde_json::to_value(crd).unwrap();
            rules(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &mut found);
        }
        assert!(found.len() > 50);
        for rule in found.iter().filter(|rule| !rule.contains("oldSelf")) {
            assert!(ENVIRONMENT.compile(rule).is_ok(), "{rule}");
        }
    }

    #[test]
    fn quantities_are_numbers_or_texts() {
        let rule = "type(self) == int ? self >= 0 : isQuantity(self) && !quantity(self).isLessThan(quantity('0'))";
        for (value, expected) in [
            (serde_json::json!(5), true),
            (serde_json::json!(-5), false),
            ("64Mi".into(), true),
            ("-1".into(), false),
            ("lots".into(), false),
        ] {
            assert_eq!(holds(rule, &value), Some(expected), "{value}");
        }
    }
}
