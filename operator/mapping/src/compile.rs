//! From a Mapping and a model's columns to the shape of a record, with everything that is wrong on the way.

use std::sync::Arc;

use backflow_core::cell::Column;
use backflow_core::change::ChangeKind;
use backflow_core::code::{Code, Failure};
use backflow_core::finding::{Finding, hint};
use backflow_core::plan::{MappingPlan, OnNull};
use backflow_core::selection::Operation;

use backflow_definitions::{Action, complete};
use backflow_expressions::Json;

use crate::compute::{Computed, Named, Source};
use crate::fit::{Fit, Whole};
use crate::path::{joined, split};
use crate::render::Renderer;
use crate::steps::Steps;
use crate::tree::{InTheWay, Node, Object};

/// A Mapping without findings.
#[derive(Clone, Debug)]
pub struct Compiled {
    root: Arc<Object>,
    used: Vec<String>,
    deletion: String,
    /// Columns that expressions see.
    record: Arc<[Named]>,
    match_by: Option<Node>,
    group_by: Option<Node>,
    whole: Option<Arc<Whole>>,
}

/// Where records go.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// What they are sent by.
    pub action: &'a Action,
    /// The Destination's settings with the defaults of those that are not given: what a field must be may depend on them.
    pub settings: &'a Json,
}

/// Everything that is wrong with a Mapping's `fields` and `include`; paths start there (`fields.id`, `include.except`). Without
/// `columns`, because nobody described the model yet, names of columns are not checked; without `target`, because it is unknown, fields
/// may be anything.
#[must_use]
pub fn check(mapping: &MappingPlan, columns: Option<&[Column]>, target: Option<Target<'_>>) -> Vec<Finding> {
    Compiler::new(columns, target).run(mapping).err().unwrap_or_default()
}

/// Compiles a Mapping over the columns of its model, for the action that its records go to.
///
/// # Errors
/// All findings: unknown columns, paths that are none, fields in each other's way, nothing mapped.
pub fn compile(
    mapping: &MappingPlan,
    columns: &[Column],
    target: Option<Target<'_>>,
) -> Result<Compiled, Vec<Finding>> {
    Compiler::new(Some(columns), target).run(mapping)
}

impl Compiled {
    /// The model's columns that records are made of, each once. Key columns are here only if a field or `include` names them.
    #[must_use]
    pub fn used_columns(&self) -> &[String] {
        &self.used
    }

    /// The names of a record's members, in its order: of nested fields the outermost.
    #[must_use]
    pub fn members(&self) -> Vec<String> {
        self.root.names().map(str::to_owned).collect()
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
            record: Arc::clone(&self.record),
            match_by: self.match_by.clone(),
            group_by: self.group_by.clone(),
            whole: self.whole.clone(),
        })
    }
}

/// The operations that write records; deletions do not.
pub(crate) fn writes(mapping: &MappingPlan) -> Vec<Operation> {
    let kinds = [ChangeKind::Added, ChangeKind::Updated].into_iter();
    let mut writes: Vec<_> = kinds.filter_map(|kind| mapping.selection.operation(kind, false)).collect();
    writes.dedup();
    writes
}

pub(crate) struct Compiler<'a> {
    pub(crate) columns: Option<&'a [Column]>,
    /// Where the records go.
    pub(crate) target: Option<Target<'a>>,
    root: Object,
    used: Vec<String>,
    /// Columns that expressions refer to.
    pub(crate) record: Vec<Named>,
    findings: Vec<Finding>,
}

impl<'a> Compiler<'a> {
    const fn new(columns: Option<&'a [Column]>, target: Option<Target<'a>>) -> Self {
        Self { columns, target, root: Object(Vec::new()), used: Vec::new(), record: Vec::new(), findings: Vec::new() }
    }

    fn run(mut self, mapping: &MappingPlan) -> Result<Compiled, Vec<Finding>> {
        for (path, field) in &mapping.fields {
            let at = format!("fields.{path}");
            // A path that is none hides nothing else that is wrong with its field.
            let names = self.names(&at, path).unwrap_or_else(|| vec![path.clone()]);
            self.field(&at, &names, path, field);
        }
        if let Some(include) = &mapping.include {
            self.include(include);
        }
        // Deletions need no fields; a Mapping that sends anything else does.
        let writes = writes(mapping);
        if !writes.is_empty() && mapping.fields.is_empty() && mapping.include.is_none() {
            self.find("fields", "EmptyMapping", "nothing is mapped: add fields, or include columns".to_owned());
        }
        let match_by = self.named("matched", mapping.match_by.as_deref(), mapping);
        let group_by = self.named("grouped", mapping.group_by.as_deref(), mapping);
        if let (true, Some(target)) = (self.findings.is_empty(), self.target) {
            self.findings = self.unmapped(target, &self.root, mapping);
        }
        if !self.findings.is_empty() {
            return Err(self.findings);
        }
        let whole = self.target.and_then(|Target { action, settings }| {
            let config = complete(&action.config, &mapping.config);
            let sure = |path: &[String]| self.root.leaf(path).is_some_and(Node::is_sure);
            Whole::new(&action.fields, &config, settings, &writes, &sure)
        });
        let deletion = self.root.constants();
        Ok(Compiled {
            deletion,
            root: Arc::new(self.root),
            used: self.used,
            record: self.record.into(),
            match_by,
            group_by,
            whole: whole.map(Arc::new),
        })
    }

    /// The value that records are matched or grouped by.
    fn named(&mut self, what: &str, field: Option<&str>, mapping: &MappingPlan) -> Option<Node> {
        let field = field?;
        let names = match split(field) {
            Ok(names) => names,
            Err(error) => {
                self.find("config", "InvalidPath", format!("config: {field}: {error}"));
                return None;
            }
        };
        let leaf = self.root.leaf(&names).cloned();
        // Of a model that nobody described yet, it is not known what `*` includes.
        if leaf.is_none() && !(self.columns.is_none() && mapping.include.is_some()) {
            let message =
                format!("config: records are {what} by {field}, which is not mapped to one value; add it to fields");
            self.find("config", "UnmappedField", message);
        }
        leaf
    }

    /// Whether the model has the column, as far as is known; adds a finding if not.
    pub(crate) fn known(&mut self, at: &str, name: &str) -> bool {
        let Some(columns) = self.columns else { return true };
        let known = columns.iter().any(|column| column.name == name);
        if !known {
            let list = hint(name, columns.iter().map(|column| column.name.as_str()));
            let message = format!("{at}: column \"{name}\" is not in the model {list}");
            self.find(at, "UnknownColumn", message);
        }
        known
    }

    /// A column's position among the used ones.
    pub(crate) fn used(&mut self, name: &str) -> usize {
        self.used.iter().position(|used| used == name).unwrap_or_else(|| {
            self.used.push(name.to_owned());
            self.used.len() - 1
        })
    }

    /// A column as it is.
    pub(crate) fn plain_column(
        &mut self,
        at: &str,
        name: &str,
        on_null: OnNull,
        field: &str,
        fit: Option<Fit>,
    ) -> Node {
        self.known(at, name);
        let used = self.used(name);
        match fit {
            None => Node::Column { used, on_null, field: field.to_owned() },
            Some(fit) => Node::Computed(Arc::new(Computed {
                source: Source::Column(used),
                steps: Steps::default(),
                on_null,
                field: field.to_owned(),
                fit: Some(fit),
            })),
        }
    }

    pub(crate) fn insert(&mut self, at: &str, names: &[String], leaf: Node, cure: &str) {
        if let Err(other) = self.root.insert(names, leaf) {
            self.conflict(at, names, &other, cure);
        }
    }

    pub(crate) fn conflict(&mut self, at: &str, names: &[String], other: &InTheWay, cure: &str) {
        let own = joined(names);
        let message = if own == other.0 {
            format!("{at}: {own} is mapped twice{cure}")
        } else {
            format!("{at}: {own} and {} cannot both be mapped: one is inside the other{cure}", other.0)
        };
        self.find(at, "ConflictingFields", message);
    }

    pub(crate) fn find(&mut self, at: &str, code: &'static str, message: String) {
        self.findings.push(Finding::new(at, code, message));
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
