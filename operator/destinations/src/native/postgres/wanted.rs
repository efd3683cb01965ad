//! What a Mapping wants of a table, and whether the table has it: all that is missing is said at once, with the statement that makes it.

use std::collections::BTreeMap;

use backflow_core::change::ChangeKind;
use backflow_core::code::{Code, Failure};
use backflow_core::finding::hint;
use backflow_core::plan::MappingPlan;
use backflow_core::selection::Operation;
use backflow_definitions::{Action, Ordering, complete};
use backflow_expressions::Json;
use backflow_postgres::quote;
use serde_json::Value;

use super::table::{Table, Written};

/// What rows are found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// These columns hold the Model's primary key, in its order.
    PrimaryKey(Vec<String>),
    /// This column holds the match key.
    Match(String),
    /// They are not: rows are appended. A column may take the key of the delivery, so that none is appended twice.
    Delivery(Option<String>),
}

/// What a Mapping wants.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) keys: Keys,
    pub(super) ordering: Ordering,
    /// The operations that its changes can become.
    pub(super) ops: Vec<Operation>,
}

impl Wanted {
    /// Reads the config of a Mapping. `schema`: the Destination's.
    pub(super) fn new(action: &Action, mapping: &MappingPlan, schema: &str) -> Self {
        let config = complete(&action.config, &mapping.config);
        let text = |name: &str| match config.get(name) {
            Some(Json::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let keys = match (mapping.action.as_str(), &mapping.match_by) {
            ("appendRow", _) => Keys::Delivery(text("deliveryKeyColumn")),
            (_, Some(field)) => Keys::Match(column_of(field)),
            _ => Keys::PrimaryKey(names(&mapping.config)),
        };
        let kinds = [ChangeKind::Added, ChangeKind::Updated, ChangeKind::Deleted];
        let mut ops: Vec<Operation> =
            kinds.into_iter().filter_map(|kind| mapping.selection.operation(kind, false)).collect();
        ops.dedup();
        Self {
            schema: text("schema").unwrap_or_else(|| schema.to_owned()),
            table: text("table").unwrap_or_default(),
            keys,
            ordering: action.ordering,
            ops,
        }
    }

    /// Rows are appended, whatever became of theirs before.
    pub(super) const fn appends(&self) -> bool {
        matches!(self.keys, Keys::Delivery(_))
    }

    /// The columns that must tell one row from every other.
    pub(super) fn key_columns(&self) -> &[String] {
        match &self.keys {
            Keys::PrimaryKey(names) => names,
            Keys::Match(name) | Keys::Delivery(Some(name)) => std::slice::from_ref(name),
            Keys::Delivery(None) => &[],
        }
    }

    /// Everything that the table lacks. `fields`: names of the mapped fields.
    ///
    /// # Errors
    /// All of it, in one sentence each.
    pub(super) fn held_to(&self, table: &Table, fields: &[String], user: &str) -> Result<(), Failure> {
        let mut lacking = self.grants(table, user);
        let named = table.quoted();
        let unknown = |name: &str| {
            let known = hint(name, table.columns.iter().map(|column| column.name.as_str()));
            format!("table {named} has no column \"{name}\" {known}")
        };
        let keys = self.key_columns();
        lacking.extend(keys.iter().filter(|name| table.position(name).is_none()).map(|name| unknown(name)));
        if lacking.is_empty() && !keys.is_empty() && !table.identified_by(keys) {
            let columns = keys.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ");
            lacking.push(format!(
                "table {named} has no unique index of exactly the columns ({columns}), by which rows are found; run: CREATE UNIQUE INDEX \
                 ON {named} ({columns})"
            ));
        }
        for name in fields.iter().filter(|name| !keys.contains(name)) {
            match table.position(name).map(|at| table.columns[at].written) {
                None => lacking.push(unknown(name)),
                Some(Written::Freely) => {}
                Some(_) => {
                    lacking.push(format!("the server makes the values of column \"{name}\" of {named}; do not map it"));
                }
            }
        }
        let inserts = self.appends() || self.ops.iter().any(|op| matches!(op, Operation::Insert | Operation::Upsert));
        let given = |name: &String| fields.contains(name) || keys.contains(name);
        for column in table.columns.iter().filter(|_| inserts && !fields.is_empty()) {
            if column.not_null && !column.filled && !given(&column.name) {
                lacking.push(format!(
                    "column \"{}\" of {named} takes no NULL and has no default; map a field to it",
                    column.name
                ));
            }
        }
        if lacking.is_empty() {
            return Ok(());
        }
        Err(Failure::new(Code::DestinationMisconfigured, lacking.join("; ")))
    }

    fn grants(&self, table: &Table, user: &str) -> Vec<String> {
        let (named, user, grants) = (table.quoted(), quote(user), table.grants);
        if !table.plain {
            return vec![format!("{named} is no table; rows can only be written to one, name it in config.table")];
        }
        let writes = |op: Operation| self.ops.contains(&op);
        let inserts = self.appends() || writes(Operation::Insert) || writes(Operation::Upsert);
        let needed = [
            ("SELECT", grants.select, !self.key_columns().is_empty()),
            ("INSERT", grants.insert, inserts),
            ("UPDATE", grants.update, !self.appends() && (writes(Operation::Update) || writes(Operation::Upsert))),
            ("DELETE", grants.delete, writes(Operation::Delete)),
        ];
        let missing: Vec<&str> =
            needed.iter().filter(|(_, has, needs)| *needs && !*has).map(|(name, ..)| *name).collect();
        let mut lacking = Vec::new();
        if !grants.usage {
            let schema = quote(&table.schema);
            lacking.push(format!(
                "role {user} may not use schema {schema}; run: GRANT USAGE ON SCHEMA {schema} TO {user}"
            ));
        }
        if !missing.is_empty() {
            let missing = missing.join(", ");
            lacking
                .push(format!("role {user} may not {missing} on {named}; run: GRANT {missing} ON {named} TO {user}"));
        }
        lacking
    }
}

/// `config.keyColumns`.
fn names(config: &BTreeMap<String, Value>) -> Vec<String> {
    let list = config.get("keyColumns").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// The column that a field's path names.
fn column_of(path: &str) -> String {
    path.replace("\\.", ".").replace("\\\\", "\\")
}
