//! What is wrong with a folder of manifests, and where.

use serde::Serialize;

use backflow_yaml::Position;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Severity {
    /// It cannot run like this.
    Error,
    /// It may be meant, or may be there in the cluster.
    Warning,
}

/// One finding: what, where and the cure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Problem {
    /// The file as it was named; `-` for standard input.
    pub file: String,
    /// Line, from 1; 0 if it is about the file as a whole.
    pub line: usize,
    /// Column, from 1; 0 if it is about the file as a whole.
    pub column: usize,
    /// How bad it is.
    pub severity: Severity,
    /// Kind and name of the resource (`Mapping/crm`), as far as they could be read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// The field, `spec.fields.id`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What, one word: a documented reason, or one of this command's own.
    pub code: String,
    /// What happened, and what to do about it. Never a secret.
    pub message: String,
}

impl Problem {
    /// A finding about a file as a whole.
    pub(crate) fn of_file(file: &str, code: &str, message: impl Into<String>) -> Self {
        Self::at(file, Position::default(), code, message)
    }

    /// An error at a place in a file.
    pub(crate) fn at(file: &str, at: Position, code: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: at.line,
            column: at.column,
            severity: Severity::Error,
            resource: String::new(),
            path: String::new(),
            code: code.to_owned(),
            message: message.into(),
        }
    }

    /// Whether it is an error.
    #[must_use]
    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl std::fmt::Display for Problem {
    /// One line that editors and terminals can follow to the place: `mapping.yaml:12:5: error: Mapping/crm spec.fields.id: … (Code)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(if self.is_error() { ": error: " } else { ": warning: " })?;
        // Some sentences begin with the path themselves.
        let path = if self.message.starts_with(&self.path) { "" } else { &*self.path };
        let place = [&*self.resource, path].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        if !place.is_empty() {
            write!(f, "{}: ", place.join(" "))?;
        }
        write!(f, "{} ({})", self.message, self.code)
    }
}
