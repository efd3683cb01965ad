//! Every example of docs/mapping-cookbook.md does what it says.

use backflow_core::cell::{Cell, Column};
use backflow_core::selection::Operation;
use serde_json::{Value, json};

use super::manifests::{self, plan_destination, plan_model, plan_source, read, with};
use crate::Parts;

const PAGE: &str = include_str!("../../../../docs/mapping-cookbook.md");

/// A row of a table that has the columns Backflow, Row and Sent.
struct Example<'a> {
    field: String,
    row: Value,
    sent: &'a str,
    line: &'a str,
}

/// The cells of a table's row. `\|` is no border.
fn cells(line: &str) -> Vec<&str> {
    let mut cells = Vec::new();
    let mut start = 1;
    for (at, char) in line.char_indices().skip(1) {
        if char == '|' && !line[..at].ends_with('\\') {
            cells.push(line[start..at].trim());
            start = at + 1;
        }
    }
    cells
}

fn code(cell: &str) -> String {
    let text = cell.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    text.unwrap_or_else(|| panic!("{cell} is not in backticks")).replace("\\|", "|")
}

fn examples() -> Vec<Example<'static>> {
    let mut examples = Vec::new();
    let mut inside = false;
    for line in PAGE.lines() {
        let cells = if line.starts_with('|') { cells(line) } else { Vec::new() };
        match &cells[..] {
            [] => inside = false,
            [_, "Backflow", "Row", "Sent"] => inside = true,
            [rule, ..] if rule.starts_with("---") => {}
            [_, field, row, sent] if inside => {
                let row = serde_json::from_str(&code(row)).unwrap_or_else(|error| panic!("{error}: {line}"));
                examples.push(Example { field: code(field), row, sent, line });
            }
            _ => assert!(!inside, "no four cells: {line}"),
        }
    }
    examples
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Bool(value) => Cell::Bool(*value),
        Value::String(text) => Cell::Text(text.as_str().into()),
        Value::Number(number) => number.as_i64().map_or_else(|| Cell::Float(number.as_f64().unwrap()), Cell::Int),
        document => Cell::Json(document.to_string().into()),
    }
}

/// What a field sends for a row, in the words of the page.
fn sends(example: &Example<'_>) -> String {
    let field: Value =
        serde_saphyr::from_str(&example.field).unwrap_or_else(|error| panic!("{error}: {}", example.line));
    let members = example.row.as_object().unwrap();
    let (columns, cells): (Vec<Column>, Vec<Cell>) =
        members.iter().map(|(name, value)| (Column { name: name.clone(), kind: "text".into() }, cell(value))).unzip();
    let (source, model, destination) = (
        plan_source(&manifests::source()).unwrap(),
        plan_model(&manifests::model()).unwrap(),
        plan_destination(&manifests::destination()).unwrap(),
    );
    let definitions = crate::Definitions::default();
    let parts = Parts {
        source: &source,
        model: &model,
        destination: &destination,
        definitions: &definitions,
        columns: Some(&columns),
    };
    let manifest = with(manifests::mapping(), json!({"fields": null}));
    let manifest = with(manifest, json!({"fields": {"x": field}}));
    let plan = crate::mapping("shop", "crm", &read(&manifest), parts)
        .unwrap_or_else(|findings| panic!("{findings:?}: {}", example.line));
    let renderer = backflow_mapping::compile(&plan, &columns, None).unwrap().bind(&columns).unwrap();
    match renderer.render(&cells, Operation::Upsert) {
        Ok(record) => {
            let record: Value = serde_json::from_str(&record).unwrap();
            record.get("x").map_or_else(|| "left out".to_owned(), Value::to_string)
        }
        Err(rejection) => format!("rejected: `{}`", rejection.code),
    }
}

#[test]
fn every_example_sends_what_it_says() {
    let examples = examples();
    assert!(examples.len() > 80, "{}", examples.len());
    let wrong: Vec<String> = examples
        .iter()
        .filter_map(|example| {
            let sent = sends(example);
            let right = if example.sent.starts_with('`') {
                let expected: Value = serde_json::from_str(&code(example.sent))
                    .unwrap_or_else(|error| panic!("{error}: {}", example.line));
                serde_json::from_str::<Value>(&sent).is_ok_and(|sent| sent == expected)
            } else {
                sent == example.sent
            };
            (!right).then(|| format!("{}\n  sends {sent}", example.line))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_fields_that_introduce_the_page_have_no_mistakes() {
    let (_, rest) = PAGE.split_once("```yaml\n").unwrap();
    let (yaml, _) = rest.split_once("```").unwrap();
    let spec: Value = serde_saphyr::from_str(yaml).unwrap();
    let manifest = with(manifests::mapping(), json!({"fields": null}));
    let planned = manifests::plan_mapping(&with(manifest, spec)).unwrap();
    assert_eq!(planned.fields.len(), 6);
}
