//! DestinationDefinition → what Destinations and Mappings are planned with.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use backflow_core::code::cut;
use backflow_core::finding::hint;
use backflow_definitions::{Definition, Problem, builtin, builtin_ids, load_supplied};
use backflow_yaml::Node;
use serde_json::Value;

use crate::finding::Finding;

/// The definitions that users supply, by name, as far as they were seen: beside the built-in ones, what a Destination may name.
#[derive(Clone, Debug, Default)]
pub struct Definitions(BTreeMap<String, Option<Arc<Supplied>>>);

/// A definition that a user supplies.
#[derive(Debug)]
pub struct Supplied {
    definition: Definition,
    /// As it goes into a plan.
    spec: Value,
}

/// A definition that was found.
#[derive(Clone, Debug)]
pub enum Known {
    /// It is part of the program.
    BuiltIn(&'static Definition),
    /// A user supplied it.
    Supplied(Arc<Supplied>),
}

/// Why there is no definition of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// Nobody made one.
    Absent,
    /// There is one, and something is wrong with it.
    Unfit,
}

/// What is wrong with a definition. At line 0 is what is about the resource as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionProblem {
    /// A reason's name.
    pub code: &'static str,
    /// Place, path in the manifest (`spec.http.baseUrl`) and sentence.
    pub problem: Problem,
}

impl From<DefinitionProblem> for Finding {
    fn from(found: DefinitionProblem) -> Self {
        let Problem { path, message, .. } = found.problem;
        Self { path, code: found.code.to_owned(), message }
    }
}

/// Reads the spec of the DestinationDefinition of this name.
///
/// # Errors
/// Everything that is wrong with it, in the order of the manifest.
pub fn definition(name: &str, spec: &Node) -> Result<Supplied, Vec<DefinitionProblem>> {
    let at = |line: usize, column: usize, path: &str, message: String| Problem {
        line,
        column,
        path: if path.is_empty() { "spec".to_owned() } else { format!("spec.{path}") },
        message,
    };
    if builtin(name).is_some() {
        let message =
            format!("\"{name}\" is a built-in definition, which nothing can take the place of; choose another name");
        let problem = Problem { path: "metadata.name".to_owned(), ..at(0, 0, "", message) };
        return Err(vec![DefinitionProblem { code: "ReservedName", problem }]);
    }
    match load_supplied(name, spec) {
        Ok(definition) => Ok(Supplied { definition, spec: spec.to_json() }),
        Err(error) => Err(error
            .0
            .into_iter()
            .map(|found| DefinitionProblem {
                code: "InvalidSpec",
                problem: at(found.line, found.column, &found.path, found.message),
            })
            .collect()),
    }
}

impl Definitions {
    /// Takes one in, in place of an earlier one; `None`: there is one of this name, and something is wrong with it.
    pub fn put(&mut self, name: impl Into<String>, supplied: Option<Arc<Supplied>>) {
        self.0.insert(name.into(), supplied);
    }

    /// Takes one out.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// The definition of this name.
    pub(crate) fn find(&self, name: &str) -> Result<Known, Unknown> {
        if let Some(definition) = builtin(name) {
            return Ok(Known::BuiltIn(definition));
        }
        match self.0.get(name) {
            Some(Some(supplied)) => Ok(Known::Supplied(supplied.clone())),
            Some(None) => Err(Unknown::Unfit),
            None => Err(Unknown::Absent),
        }
    }

    /// What is wrong with naming it: at `spec.type` of a Destination.
    pub(crate) fn finding(&self, name: &str, unknown: Unknown) -> Finding {
        let (code, message) = match unknown {
            Unknown::Absent => {
                let built_in: Vec<&str> = builtin_ids().collect();
                let known = hint(name, built_in.into_iter().chain(self.0.keys().map(String::as_str)));
                let cure = "name one that there is, or apply a DestinationDefinition of this name";
                ("UnknownDestinationType", format!("there is no definition \"{name}\" {known}; {cure}"))
            }
            Unknown::Unfit => {
                let message = format!("something is wrong with the DestinationDefinition \"{name}\"; mend that first");
                ("DefinitionNotReady", message)
            }
        };
        Finding { path: "spec.type".to_owned(), code: code.to_owned(), message: cut(message, 1024) }
    }
}

impl Known {
    /// What a plan must carry for its worker to know it.
    pub(crate) fn carried(&self) -> Option<Value> {
        match self {
            Self::BuiltIn(_) => None,
            Self::Supplied(supplied) => Some(supplied.spec.clone()),
        }
    }
}

impl Deref for Known {
    type Target = Definition;

    fn deref(&self) -> &Definition {
        match self {
            Self::BuiltIn(definition) => definition,
            Self::Supplied(supplied) => &supplied.definition,
        }
    }
}
