//! An error of a statement, as the service tells it: what kind it is of, and what in its words may be repeated.

use super::answer::Status;
use super::api::Api;
use super::types::quote;
use crate::rest::running;

/// The longest name of the user's that is repeated.
const NAME: usize = 200;

/// An error of a statement, as the service tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SqlError {
    /// One of the service's own codes.
    pub(super) code: String,
    /// Error class, such as `TABLE_OR_VIEW_NOT_FOUND`; empty if the message names none.
    pub(super) class: String,
    /// SQLSTATE.
    pub(super) state: String,
    /// Never passed on.
    pub(super) message: String,
}

/// Why a statement has no result.
pub(super) type Failed = running::Failed<SqlError>;

impl From<SqlError> for Failed {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

impl SqlError {
    /// From a statement that failed.
    pub(super) fn read(status: &Status) -> Self {
        let error = status.error.clone().unwrap_or_default();
        let class = error.message.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(class, _)| class);
        let plain = |class: &&str| {
            class.len() <= 80
                && class.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_' || c == b'.')
        };
        Self {
            code: error.error_code,
            class: class.filter(plain).unwrap_or_default().to_owned(),
            state: status.sql_state.clone().unwrap_or_default(),
            message: error.message,
        }
    }

    /// Whether it is of one of these classes.
    pub(super) fn is(&self, classes: &[&str]) -> bool {
        classes.iter().any(|class| self.class == *class || self.class.starts_with(&format!("{class}.")))
    }

    /// A schema or table is not there.
    pub(super) fn is_missing(&self) -> bool {
        self.is(&["TABLE_OR_VIEW_NOT_FOUND", "SCHEMA_NOT_FOUND"]) || self.state == "42P01"
    }

    /// A catalog is not there.
    pub(super) fn is_without_catalog(&self) -> bool {
        self.is(&["NO_SUCH_CATALOG_EXCEPTION", "CATALOG_NOT_FOUND"])
    }

    /// A table of this name is there already.
    pub(super) fn is_there(&self) -> bool {
        self.is(&["TABLE_OR_VIEW_ALREADY_EXISTS"])
    }

    /// A table of entries or records is another claim's, or has no claim yet.
    pub(super) fn is_fenced(&self) -> bool {
        self.is(&["USER_RAISED_EXCEPTION", "DELTA_NOT_NULL_CONSTRAINT_VIOLATED"])
    }

    /// The grant to make tables is missing.
    pub(super) fn is_making_denied(&self) -> bool {
        self.is_denied() && self.message.contains("CREATE TABLE")
    }

    /// A grant is missing.
    pub(super) fn is_denied(&self) -> bool {
        self.is(&["INSUFFICIENT_PERMISSIONS", "PERMISSION_DENIED", "UNAUTHORIZED_ACCESS"])
            || self.state == "42501"
            || self.message.starts_with("PERMISSION_DENIED")
    }

    /// Another writer came first.
    pub(super) fn is_conflict(&self) -> bool {
        let classes = ["DELTA_CONCURRENT_", "DELTA_METADATA_CHANGED", "DELTA_PROTOCOL_CHANGED"];
        classes.iter().any(|class| self.class.starts_with(class)) || self.message.contains("ConcurrentAppendException")
    }

    /// The result is longer than what answers may hold.
    pub(super) fn is_too_long(&self) -> bool {
        self.message.contains("Inline byte limit exceeded")
    }

    /// What stands between `before` and `after`, without backticks and quotes around its parts.
    pub(super) fn named(&self, before: &str, after: &str) -> Option<String> {
        let start = self.message.find(before)? + before.len();
        let name = self.message[start..].split(after).next()?.trim_matches('\'').replace('`', "");
        let fit = !name.is_empty() && name.len() <= NAME && !name.contains(|c: char| c.is_control() || c == '\'');
        fit.then_some(name)
    }

    /// The line of the statement that the message names: `(line 3, pos 8)`.
    pub(super) fn line(&self) -> Option<usize> {
        let rest = &self.message[self.message.rfind("line ")? + "line ".len()..];
        rest.split([',', ')', ' ']).next()?.parse().ok()
    }

    /// The statement that gives what is missing: `User does not have SELECT on Table 'a.b'` says it.
    pub(super) fn grant(&self, api: &Api) -> Option<String> {
        let (privilege, rest) = self.message.split_once("does not have ")?.1.split_once(" on ")?;
        let kind = rest.split(' ').next()?.to_ascii_uppercase();
        let plain =
            |word: &str| word.len() <= 40 && word.bytes().all(|c| c.is_ascii_uppercase() || matches!(c, b' ' | b'_'));
        let name = rest.split_once(' ')?.1;
        let name = name.trim_end_matches(['.', ' ']).split(['\n', ' ']).next()?.trim_end_matches('.');
        let name = name.trim_matches('\'').replace('`', "");
        let fit = plain(privilege) && plain(&kind) && !name.is_empty() && name.len() <= NAME;
        let name = name.split('.').map(quote).collect::<Vec<_>>().join(".");
        fit.then(|| format!("GRANT {privilege} ON {kind} {name} TO {}", api.credential.principal()))
    }
}
