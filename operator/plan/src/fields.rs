//! `Mapping.spec.fields` → [`Field`]s.

use std::collections::BTreeMap;

use backflow_core::plan::{Field, FieldSource, Items, OnNull, Parse};
use backflow_crds::v1alpha1::{self as api, FieldMapping, ItemsMapping, LeafMapping};
use backflow_definitions::Action;
use serde_json::Value;

use crate::finding::Findings;

/// Plans a field of the record. `path`: where it stands in the manifest.
pub(crate) fn field(path: &str, field: &FieldMapping, findings: &mut Findings) -> Option<Field> {
    let nested = [(field.object.is_some(), "object"), (field.items.is_some(), "items")];
    let mut set = sources(&field.leaf);
    set.extend(nested.iter().filter(|(set, _)| *set).map(|(_, name)| *name));
    one(path, &set, "column, value, template, cel, object, items", findings)?;
    if let Some(fields) = &field.object {
        steps_without_value(path, &field.leaf, "its fields", findings);
        return Some(FieldSource::Object(leaves(&format!("{path}.object"), fields, findings)?).into());
    }
    if let Some(items) = &field.items {
        steps_without_value(path, &field.leaf, "items.of", findings);
        return self::items(&format!("{path}.items"), items, findings);
    }
    steps(path, &field.leaf, findings)
}

/// Where the Mapping does not say what becomes of NULL, the action does. `target`: the field's path in the record.
pub(crate) fn nulls(planned: &mut Field, spec: &FieldMapping, target: &str, action: &Action) {
    if let (FieldSource::Object(fields), Some(specs)) = (&mut planned.from, &spec.object) {
        for (name, field) in fields {
            if specs.get(name).is_some_and(|leaf| leaf.on_null.is_none()) {
                field.on_null = backflow_mapping::on_null(action, &format!("{target}.{name}"));
            }
        }
    } else if spec.leaf.on_null.is_none() {
        let value = match &mut planned.from {
            FieldSource::Items(items) if spec.items.as_ref().is_some_and(|items| items.of.on_null.is_none()) => {
                &mut items.of
            }
            FieldSource::Items(_) => return,
            _ => planned,
        };
        value.on_null = backflow_mapping::on_null(action, target);
    }
}

fn items(path: &str, items: &ItemsMapping, findings: &mut Findings) -> Option<Field> {
    let of = leaf(&format!("{path}.of"), &items.of, findings);
    let each = leaves(&format!("{path}.each"), &items.each, findings);
    Some(FieldSource::Items(Box::new(Items { of: of?, each: each? })).into())
}

/// Nothing if there are fields and all of them are wrong: that there are none is not wrong with them.
fn leaves(
    path: &str,
    fields: &BTreeMap<String, LeafMapping>,
    findings: &mut Findings,
) -> Option<BTreeMap<String, Field>> {
    let planned = fields.iter().map(|(name, field)| (name.clone(), leaf(&format!("{path}.{name}"), field, findings)));
    let planned: BTreeMap<String, Field> = planned.filter_map(|(name, field)| Some((name, field?))).collect();
    (fields.is_empty() || !planned.is_empty()).then_some(planned)
}

/// Plans a field that stands alone: in an object, or in items.
fn leaf(path: &str, leaf: &LeafMapping, findings: &mut Findings) -> Option<Field> {
    one(path, &sources(leaf), "column, value, template, cel", findings)?;
    steps(path, leaf, findings)
}

/// The members that say where a plain value comes from.
fn sources(leaf: &LeafMapping) -> Vec<&'static str> {
    let members = [
        (leaf.column.is_some(), "column"),
        (leaf.value.is_some(), "value"),
        (leaf.template.is_some(), "template"),
        (leaf.cel.is_some(), "cel"),
    ];
    members.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect()
}

fn one(path: &str, set: &[&str], all: &str, findings: &mut Findings) -> Option<()> {
    let message = match set {
        [_] => return Some(()),
        [] => format!("{path} says nothing; set one of {all} (column: a column of the model, value: a constant)"),
        several => format!("exactly one of {all} must be set in {path}; of {}, leave one", several.join(", ")),
    };
    findings.add(path, "InvalidField", message);
    None
}

/// Where there is no plain value, nothing can be done with it.
fn steps_without_value(path: &str, leaf: &LeafMapping, instead: &str, findings: &mut Findings) {
    let members = [
        (leaf.parse.is_some(), "parse"),
        (leaf.map.is_some(), "map"),
        (leaf.default.is_some(), "default"),
        (leaf.on_null.is_some(), "onNull"),
    ];
    for (_, name) in members.iter().filter(|(set, _)| *set) {
        let path = format!("{path}.{name}");
        findings.add(&path, "InvalidField", format!("{path} means nothing here; put it to {instead}"));
    }
}

/// A plain value, and what becomes of it.
fn steps(path: &str, leaf: &LeafMapping, findings: &mut Findings) -> Option<Field> {
    let from = match leaf {
        LeafMapping { column: Some(column), .. } => FieldSource::Column(column.clone()),
        LeafMapping { template: Some(template), .. } => FieldSource::Template(template.clone()),
        LeafMapping { cel: Some(cel), .. } => FieldSource::Cel(cel.clone()),
        LeafMapping { value: Some(value), .. } => {
            let members =
                [(leaf.parse.is_some(), "parse"), (leaf.map.is_some(), "map"), (leaf.default.is_some(), "default")];
            for (_, name) in members.iter().filter(|(set, _)| *set) {
                let path = format!("{path}.{name}");
                findings.add(
                    &path,
                    "InvalidField",
                    format!("{path}: a constant is sent as it is; write what you mean into value"),
                );
            }
            FieldSource::Value(value.clone())
        }
        _ => return None,
    };
    if leaf.default == Some(Value::Null) {
        let path = format!("{path}.default");
        findings.add(
            &path,
            "InvalidField",
            format!("{path} replaces NULL by null; take it out, or write another value"),
        );
    }
    Some(Field {
        from,
        on_null: match leaf.on_null {
            None | Some(api::OnNull::Send) => OnNull::Send,
            Some(api::OnNull::Omit) => OnNull::Omit,
            Some(api::OnNull::Reject) => OnNull::Reject,
        },
        parse: leaf.parse.map(|parse| match parse {
            api::Parse::Json => Parse::Json,
            api::Parse::Number => Parse::Number,
            api::Parse::Boolean => Parse::Boolean,
            api::Parse::Timestamp => Parse::Timestamp,
        }),
        map: leaf.map.clone().unwrap_or_default(),
        default: leaf.default.clone().filter(|default| !default.is_null()),
    })
}
