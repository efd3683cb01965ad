//! From a Mapping and a model's columns to the shape of a record, with everything that is wrong on the way.

use std::collections::BTreeSet;
use std::sync::Arc;

use backflow_core::cell::Column;
use backflow_core::change::ChangeKind;
use backflow_core::code::{Code, Failure};
use backflow_core::finding::{Finding, hint};
use backflow_core::plan::{FieldSource, Include, MappingPlan, OnNull};

use crate::path::{escape, split};
use crate::tree::{Node, Object, Renderer};

/// A Mapping without findings.
#[derive(Clone, Debug)]
pub struct Compiled {
    root: Arc<Object>,
    used: Vec<String>,
    deletion: String,
    match_by: Option<Leaf>,
    group_by: Option<Leaf>,
}

/// One value of a record.
#[derive(Clone, Debug)]
pub(crate) enum Leaf {
    /// JSON text.
    Constant(String),
    /// Position in [`Compiled::used_columns`].
    Column(usize),
}

/// Everything that is wrong with a Mapping's `fields` and `include`; paths start there (`fields.id`, `include.except`). Without
/// `columns`, because nobody described the model yet, names of columns are not checked.
#[must_use]
pub fn check(mapping: &MappingPlan, columns: Option<&[Column]>) -> Vec<Finding> {
    Compiler::new(columns).run(mapping).err().unwrap_or_default()
}

/// Compiles a Mapping over the columns of its model.
///
/// # Errors
/// All findings: unknown columns, paths that are none, fields in each other's way, nothing mapped.
pub fn compile(mapping: &MappingPlan, columns: &[Column]) -> Result<Compiled, Vec<Finding>> {
    Compiler::new(Some(columns)).run(mapping)
}

impl Compiled {
    /// The model's columns that records are made of, each once. Key columns are here only if a field or `include` names them.
    #[must_use]
    pub fn used_columns(&self) -> &[String] {
        &self.used
    }

    /// The data of every deleted row's record: an object of the constants.
    #[must_use]
    pub fn deletion(&self) -> &str {
        &self.deletion
    }

    /// Ties the Mapping to the order of a row's cells. `columns` may hold more than the used ones.
    ///
    /// # Errors
    /// [`Code::ColumnNotFound`] if a used column is not among `columns`.
    pub fn bind(&self, columns: &[Column]) -> Result<Renderer, Failure> {
        let position = |name: &String| {
            columns.iter().position(|column| column.name == *name).ok_or_else(|| {
                let known = hint(name, columns.iter().map(|column| column.name.as_str()));
                Failure::new(Code::ColumnNotFound, format!("column \"{name}\" is not in the model {known}"))
            })
        };
        let positions = self.used.iter().map(position).collect::<Result<_, _>>()?;
        Ok(Renderer {
            root: Arc::clone(&self.root),
            positions,
            size: self.deletion.len() + 40 * self.used.len(),
            match_by: self.match_by.clone(),
            group_by: self.group_by.clone(),
        })
    }
}

struct Compiler<'a> {
    columns: Option<&'a [Column]>,
    root: Object,
    used: Vec<String>,
    findings: Vec<Finding>,
}

impl<'a> Compiler<'a> {
    const fn new(columns: Option<&'a [Column]>) -> Self {
        Self { columns, root: Object(Vec::new()), used: Vec::new(), findings: Vec::new() }
    }

    fn run(mut self, mapping: &MappingPlan) -> Result<Compiled, Vec<Finding>> {
        for (path, field) in &mapping.fields {
            let leaf = match &field.from {
                FieldSource::Value(value) => Node::Constant(value.to_string()),
                FieldSource::Column(name) => self.column(&format!("fields.{path}"), name, field.on_null, path),
            };
            match split(path) {
                Ok(names) => self.insert(&format!("fields.{path}"), &names, leaf, ""),
                Err(error) => self.find(format!("fields.{path}"), "InvalidPath", format!("fields.{path}: {error}")),
            }
        }
        if let Some(include) = &mapping.include {
            self.include(include);
        }
        // Deletions need no fields; a Mapping that sends anything else does.
        let writes = [ChangeKind::Added, ChangeKind::Updated].into_iter();
        let writes = writes.map(|kind| mapping.selection.operation(kind, false)).any(|operation| operation.is_some());
        if writes && mapping.fields.is_empty() && mapping.include.is_none() {
            self.find(
                "fields".to_owned(),
                "EmptyMapping",
                "nothing is mapped: add fields, or include columns".to_owned(),
            );
        }
        let match_by = self.named("matched", mapping.match_by.as_deref(), mapping);
        let group_by = self.named("grouped", mapping.group_by.as_deref(), mapping);
        if !self.findings.is_empty() {
            return Err(self.findings);
        }
        let deletion = self.root.constants();
        Ok(Compiled { deletion, root: Arc::new(self.root), used: self.used, match_by, group_by })
    }

    /// The value that records are matched or grouped by.
    fn named(&mut self, what: &str, field: Option<&str>, mapping: &MappingPlan) -> Option<Leaf> {
        let field = field?;
        let names = match split(field) {
            Ok(names) => names,
            Err(error) => {
                self.find("config".to_owned(), "InvalidPath", format!("config: {field}: {error}"));
                return None;
            }
        };
        let leaf = self.root.leaf(&names);
        // Of a model that nobody described yet, it is not known what `*` includes.
        if leaf.is_none() && !(self.columns.is_none() && mapping.include.is_some()) {
            let message =
                format!("config: records are {what} by {field}, which is not mapped to one value; add it to fields");
            self.find("config".to_owned(), "UnmappedField", message);
        }
        leaf
    }

    fn include(&mut self, include: &Include) {
        let into = match include.into.as_deref().map(split).transpose() {
            Ok(into) => into.unwrap_or_default(),
            Err(error) => {
                self.find("include.into".to_owned(), "InvalidPath", format!("include.into: {error}"));
                return;
            }
        };
        let except: BTreeSet<&str> = include.except.iter().map(String::as_str).collect();
        for name in &except {
            self.known("include.except", name);
        }
        let mut chosen: Vec<&str> = Vec::new();
        for name in &include.columns {
            let all = self.columns.unwrap_or_default().iter().map(|column| column.name.as_str());
            if name == "*" {
                chosen.extend(all);
            } else if self.known("include.columns", name) {
                chosen.push(name);
            }
        }
        let mut seen = BTreeSet::new();
        chosen.retain(|name| !except.contains(name) && seen.insert(*name));
        for name in &chosen {
            let path: Vec<String> = into.iter().cloned().chain([(*name).to_owned()]).collect();
            let label = path.iter().map(|name| escape(name)).collect::<Vec<_>>().join(".");
            let leaf = self.column("include.columns", name, OnNull::Send, &label);
            self.insert("include.columns", &path, leaf, "; list the column in include.except");
        }
        if chosen.is_empty() && (self.columns.is_some() || !include.columns.iter().any(|name| name == "*")) {
            let message = "no column is left to include: name columns in include.columns, or remove include";
            self.find("include.columns".to_owned(), "EmptyInclude", message.to_owned());
        }
    }

    /// Whether the model has the column, as far as is known; adds a finding if not.
    fn known(&mut self, path: &str, name: &str) -> bool {
        let Some(columns) = self.columns else { return true };
        let known = columns.iter().any(|column| column.name == name);
        if !known {
            let list = hint(name, columns.iter().map(|column| column.name.as_str()));
            let message = format!("{path}: column \"{name}\" is not in the model {list}");
            self.find(path.to_owned(), "UnknownColumn", message);
        }
        known
    }

    fn column(&mut self, path: &str, name: &str, on_null: OnNull, field: &str) -> Node {
        self.known(path, name);
        let used = self.used.iter().position(|used| used == name).unwrap_or_else(|| {
            self.used.push(name.to_owned());
            self.used.len() - 1
        });
        Node::Column { used, on_null, field: field.to_owned() }
    }

    fn insert(&mut self, path: &str, names: &[String], leaf: Node, cure: &str) {
        if let Err(other) = self.root.insert(names, leaf) {
            let own = names.iter().map(|name| escape(name)).collect::<Vec<_>>().join(".");
            let message = if own == other.0 {
                format!("{path}: {own} is mapped twice{cure}")
            } else {
                format!("{path}: {own} and {} cannot both be mapped: one is inside the other{cure}", other.0)
            };
            self.find(path.to_owned(), "ConflictingFields", message);
        }
    }

    fn find(&mut self, path: String, code: &'static str, message: String) {
        self.findings.push(Finding::new(path, code, message));
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
