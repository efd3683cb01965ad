//! What is wrong with a definition file, and where.

use std::fmt;

use backflow_yaml::Position;

/// One thing that is wrong with a definition file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line, counted from 1.
    pub line: usize,
    /// Column, counted from 1.
    pub column: usize,
    /// Where in the document: `actions.send.operations[0].request.path`.
    pub path: String,
    /// What is wrong and what to do about it, one sentence.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// A definition file that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the definition cannot be used: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct LoadError(pub Vec<Problem>);

/// All that was found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    pub(crate) fn add(&mut self, at: Position, path: &str, message: impl Into<String>) {
        let problem = Problem { line: at.line, column: at.column, path: path.to_owned(), message: message.into() };
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// In the order of the file.
    pub(crate) fn finish(mut self) -> Vec<Problem> {
        self.0.sort();
        self.0
    }
}
