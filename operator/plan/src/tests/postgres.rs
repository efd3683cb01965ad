//! What the README of the Postgres destination shows is planned as it stands.

use backflow_core::cell::Column;
use serde_json::{Value, json};

use super::manifests::{self, plan_destination, plan_model, plan_source, read, with};
use crate::Parts;

const README: &str = include_str!("../../../definitions/builtin/postgres/README.md");

/// The `spec` of the README's Destination and Mapping.
fn specs() -> (Value, Value) {
    let (_, rest) = README.split_once("```yaml\n").unwrap();
    let (yaml, _) = rest.split_once("```").unwrap();
    let (destination, mapping) = yaml.split_once("---\n").unwrap();
    let spec = |yaml: &str| serde_saphyr::from_str::<Value>(yaml).unwrap()["spec"].clone();
    (spec(destination), spec(mapping))
}

fn plan(mapping: &Value) -> Result<backflow_core::plan::MappingPlan, Vec<crate::Finding>> {
    let (source, model) = (plan_source(&manifests::source()).unwrap(), plan_model(&manifests::model()).unwrap());
    let destination = plan_destination(&specs().0).unwrap();
    let columns = ["id", "email", "plan", "tags", "city"];
    let columns = columns.map(|name| Column { name: name.into(), kind: "text".into() });
    let definitions = crate::Definitions::default();
    let parts = Parts {
        source: &source,
        model: &model,
        destination: &destination,
        definitions: &definitions,
        columns: Some(&columns),
    };
    crate::mapping("shop", "people", &read(mapping), parts)
}

#[test]
fn the_readmes_destination_and_mapping_are_planned() {
    let planned = plan(&specs().1).unwrap_or_else(|findings| panic!("{findings:?}"));
    for (name, value) in [("config.table", "customers"), ("config.keyColumns", "[\"customer_id\"]")] {
        assert_eq!(planned.identity.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(planned.match_by, None);
}

#[test]
fn rows_are_found_by_key_columns_or_by_a_field_and_settings_are_checked() {
    let codes = |changes: Value| -> Vec<String> {
        let findings = plan(&with(specs().1, changes)).err().unwrap_or_default();
        findings.into_iter().map(|finding| format!("{} {}", finding.path, finding.code)).collect()
    };
    assert_eq!(codes(json!({"config": {"keyColumns": null, "matchBy": "email"}})), [""; 0]);
    assert_eq!(codes(json!({"config": {"keyColumns": null}})), ["spec.config MissingSetting"]);
    assert_eq!(codes(json!({"config": {"matchBy": "email"}})), ["spec.config MissingSetting"]);
    assert_eq!(codes(json!({"config": {"tabel": "x"}})), ["spec.config.tabel UnknownSetting"]);
    assert_eq!(codes(json!({"config": {"table": null}})), ["spec.config.table MissingSetting"]);
    let wrong = plan_destination(&with(specs().0, json!({"settings": {"hots": "x", "tlsMode": "Maybe"}})));
    let wrong: Vec<String> = wrong.unwrap_err().into_iter().map(|finding| finding.path).collect();
    assert_eq!(wrong, ["spec.settings.hots", "spec.settings.tlsMode"]);
}
