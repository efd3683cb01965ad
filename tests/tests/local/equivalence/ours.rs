//! The command `backflow`, with a table of the rows, a Mapping of their columns, and the fake vendors.

use std::collections::BTreeMap;

use backflow_tests::cli::{Desk, manifest};
use backflow_tests::destinations::{Fakes, Script, definitions};
use serde_json::{Value, json};

use super::cases::{Case, Change, Row, Tool};
use super::read::Request;

/// The name of the Secret.
const ACCOUNT: &str = "account";

/// The requests that a case leads to, or why there are none.
pub(crate) async fn run(fakes: &Fakes, tool: &Tool, case: &Case) -> Result<Vec<Request>, String> {
    fakes.clear(&tool.name);
    fakes.script(&tool.name, Script { everything_exists: case.exists, ..Script::default() });
    let desk = Desk::empty().unwrap();
    desk.write("manifests.yaml", &manifests(tool, case)).unwrap();
    let credentials = fakes.credentials();
    let secrets = &credentials[&tool.name];
    let now = &case.rows;
    let changed = |row: &Row| -> Row { row.clone().into_iter().chain(case.before.clone()).collect() };
    let before: Vec<Row> = match case.change {
        Change::Added => Vec::new(),
        Change::Updated => now.iter().map(changed).collect(),
        Change::Deleted => now.iter().chain(&case.stays).cloned().collect(),
    };
    desk.sql(&table(&columns(case))).await.unwrap();
    if case.change != Change::Added {
        desk.sql(&inserts(case, &before, 0)).await.unwrap();
        backflow(&desk, fakes, secrets, 0).await?;
    }
    let (rows, gone): (Vec<Row>, usize) = match case.change {
        Change::Deleted => (case.stays.clone().into_iter().collect(), now.len()),
        Change::Added | Change::Updated => (now.clone(), 0),
    };
    desk.sql("DELETE FROM records").await.unwrap();
    // A row that stays is the last one, and keeps its key.
    desk.sql(&inserts(case, &rows, gone)).await.unwrap();
    fakes.record();
    backflow(&desk, fakes, secrets, gone).await?;
    let account = fakes.ledger().vendors.remove(&tool.name).unwrap_or_default();
    if !account.violations.is_empty() {
        return Err(format!("a wrong request of ours: {:?}", account.violations));
    }
    Ok(fakes.recorded().into_iter().map(Request::from).collect())
}

async fn backflow(
    desk: &Desk,
    fakes: &Fakes,
    secrets: &BTreeMap<String, String>,
    deletes: usize,
) -> Result<(), String> {
    let deletes = deletes.to_string();
    let mut command = desk.command(&["run", "-f", ".", "--approve-deletes", &deletes]).unwrap();
    for name in ["HTTP_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(name);
    }
    command.env("HTTPS_PROXY", fakes.url()).env("SSL_CERT_FILE", fakes.authority()).env_remove("SSL_CERT_DIR");
    for (key, value) in secrets {
        command.env(format!("BACKFLOW_SECRET_{}_{}", ACCOUNT.to_uppercase(), key.to_uppercase()), value);
    }
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{}{}", text(&output.stdout), text(&output.stderr))) }
}

fn manifests(tool: &Tool, case: &Case) -> String {
    let account = definitions().join(&tool.name).join("fixtures/destination.yaml");
    let account: Value = serde_saphyr::from_str(&std::fs::read_to_string(account).unwrap()).unwrap();
    let keys = account["secrets"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let secrets: BTreeMap<&str, Value> =
        keys.map(|key| (key, json!({"secretKeyRef": {"name": ACCOUNT, "key": key}}))).collect();
    let destination =
        json!({"type": tool.name, "auth": account["auth"], "settings": account["settings"], "secrets": secrets});
    let ours = &case.ours;
    let mut fields = Row::new();
    for (column, kind) in columns(case) {
        let field = ours.rename.get(&column).unwrap_or(&column);
        if !field.is_empty() {
            let parse = (kind == Kind::Json).then_some("Json");
            let mut source = json!({"column": column});
            parse.into_iter().for_each(|parse| source["parse"] = json!(parse));
            fields.insert(field.clone(), source);
        }
    }
    fields.extend(ours.fields.clone());
    let mut mapping = json!({
        "modelRef": {"name": "records"}, "destinationRef": {"name": "vendor"}, "action": ours.action,
        "config": ours.config, "fields": fields, "schedule": {"manual": {}},
    });
    match &ours.sync_mode {
        Some(mode) => mapping["syncMode"] = json!(mode),
        None => mapping["records"] = json!([format!("{:?}", case.change)]),
    }
    let model = json!({"sourceRef": {"name": "shop"}, "sql": "SELECT * FROM records", "primaryKey": ["row key"]});
    [
        manifest("Source", "shop", "{sqlite: {path: shop.db}}"),
        manifest("Model", "records", &model.to_string()),
        manifest("Destination", "vendor", &destination.to_string()),
        manifest("Mapping", "crm", &mapping.to_string()),
    ]
    .join("---\n")
}

/// How a column holds its values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Real,
    Json,
}

fn columns(case: &Case) -> BTreeMap<String, Kind> {
    let mut columns = BTreeMap::new();
    for (name, value) in case.rows.iter().chain(&case.stays).chain([&case.before]).flatten() {
        let kind = match value {
            Value::String(_) => Kind::Text,
            Value::Number(number) if number.is_f64() => Kind::Real,
            Value::Number(_) => Kind::Integer,
            Value::Null => continue,
            _ => Kind::Json,
        };
        columns.insert(name.clone(), kind);
    }
    columns
}

fn table(columns: &BTreeMap<String, Kind>) -> String {
    let columns = columns.iter().map(|(name, kind)| {
        let kind = match kind {
            Kind::Text | Kind::Json => "TEXT",
            Kind::Integer => "INTEGER",
            Kind::Real => "REAL",
        };
        format!(", {} {kind}", quoted(name, '"'))
    });
    format!("CREATE TABLE records (\"row key\" INTEGER PRIMARY KEY{})", columns.collect::<String>())
}

fn inserts(case: &Case, rows: &[Row], first: usize) -> String {
    let columns = columns(case);
    let row = |(n, row): (usize, &Row)| {
        let values = columns.iter().map(|(name, kind)| match row.get(name) {
            None | Some(Value::Null) => ", NULL".to_owned(),
            Some(Value::String(text)) if *kind == Kind::Text => format!(", {}", quoted(text, '\'')),
            Some(Value::Number(number)) => format!(", {number}"),
            Some(json) => format!(", {}", quoted(&json.to_string(), '\'')),
        });
        format!("INSERT INTO records VALUES ({}{});\n", first + n, values.collect::<String>())
    };
    rows.iter().enumerate().map(row).collect()
}

fn quoted(text: &str, quote: char) -> String {
    format!("{quote}{}{quote}", text.replace(quote, &format!("{quote}{quote}")))
}
