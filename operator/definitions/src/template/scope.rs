//! What templates see.

use std::fmt;

use backflow_core::record::Record;
use backflow_expressions::{Json, References, Values};

/// A variable of templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "named as in templates, and described there")]
pub enum Variable {
    Settings,
    Cfg,
    Auth,
    F,
    Rec,
    Batch,
    Items,
    Ensure,
    Job,
    Status,
    Headers,
    Body,
    It,
    Token,
    Request,
    Signature,
    Op,
    Index,
}

impl Variable {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 18] = [
        Self::Settings,
        Self::Cfg,
        Self::Auth,
        Self::F,
        Self::Rec,
        Self::Batch,
        Self::Items,
        Self::Ensure,
        Self::Job,
        Self::Status,
        Self::Headers,
        Self::Body,
        Self::It,
        Self::Token,
        Self::Request,
        Self::Signature,
        Self::Op,
        Self::Index,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Cfg => "cfg",
            Self::Auth => "auth",
            Self::F => "f",
            Self::Rec => "rec",
            Self::Batch => "batch",
            Self::Items => "items",
            Self::Ensure => "ensure",
            Self::Job => "job",
            Self::Status => "status",
            Self::Headers => "headers",
            Self::Body => "body",
            Self::It => "it",
            Self::Token => "token",
            Self::Request => "request",
            Self::Signature => "signature",
            Self::Op => "op",
            Self::Index => "index",
        }
    }

    /// The variable of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variable| variable.as_str() == name)
    }
}

/// Why a template has no value: in words without any of the values that it sees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EvalError(pub String);

/// What a template sees: made once for a request or an answer, cheap to copy.
#[derive(Clone, Copy, Default)]
pub struct Scope<'a> {
    values: [Option<&'a Json>; Variable::ALL.len()],
    record: Option<RecordScope<'a>>,
}

impl fmt::Debug for Scope<'_> {
    /// The values may be secrets or rows: they are not printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Variable::ALL.iter().filter(|variable| self.get(**variable).is_some());
        f.debug_set().entries(names).finish()
    }
}

/// A record, as `f` and `rec` show it.
#[derive(Clone, Copy, Debug)]
pub struct RecordScope<'a> {
    /// The record.
    pub record: &'a Record,
    /// The destination's id, as JSON: what the operation's lookup found, else what an earlier delivery learned.
    pub remote_id: Option<&'a str>,
    /// What the operation's lookup stored.
    pub found: Option<&'a Json>,
    /// The path of the field that records are matched by.
    pub match_by: Option<&'a str>,
    /// The path of the field that records are grouped by.
    pub group_by: Option<&'a str>,
}

impl<'a> RecordScope<'a> {
    /// A record of which nothing is known but itself.
    #[must_use]
    pub fn new(record: &'a Record) -> Self {
        Self { record, remote_id: record.memory.remote_id.as_deref(), found: None, match_by: None, group_by: None }
    }

    /// A member of `rec` as JSON text; nothing if the record has no such member.
    pub(super) fn write_member(&self, name: RecMember, out: &mut String) -> bool {
        let text = |text: &str, out: &mut String| backflow_core::cell::write_string(text, out);
        match name {
            RecMember::Id => out.push_str(&self.record.id),
            RecMember::Key => text(&self.record.key, out),
            RecMember::Op => text(self.record.op.as_str(), out),
            RecMember::Match | RecMember::Group | RecMember::RemoteId => {
                let found = match name {
                    RecMember::Match => self.record.memory.match_key.as_deref(),
                    RecMember::Group => self.record.memory.group_key.as_deref(),
                    _ => self.remote_id,
                };
                let Some(json) = found else { return false };
                out.push_str(json);
            }
            RecMember::Found => {
                let Some(json) = self.found else { return false };
                json.write(out);
            }
            RecMember::MatchBy | RecMember::GroupBy => {
                let found = if name == RecMember::MatchBy { self.match_by } else { self.group_by };
                let Some(path) = found else { return false };
                text(path, out);
            }
        }
        true
    }

    /// `rec` as a whole.
    fn rec(&self) -> Result<Json, EvalError> {
        let mut members = std::collections::BTreeMap::new();
        for member in RecMember::ALL {
            let mut text = String::new();
            if self.write_member(member, &mut text) {
                members.insert(member.as_str().to_owned(), parse(&text)?);
            }
        }
        Ok(Json::Object(members))
    }
}

/// The members of `rec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecMember {
    Id,
    Key,
    Op,
    Match,
    Group,
    RemoteId,
    Found,
    MatchBy,
    GroupBy,
}

impl RecMember {
    pub(crate) const ALL: [Self; 9] = [
        Self::Id,
        Self::Key,
        Self::Op,
        Self::Match,
        Self::Group,
        Self::RemoteId,
        Self::Found,
        Self::MatchBy,
        Self::GroupBy,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Key => "key",
            Self::Op => "op",
            Self::Match => "match",
            Self::Group => "group",
            Self::RemoteId => "remoteId",
            Self::Found => "found",
            Self::MatchBy => "matchBy",
            Self::GroupBy => "groupBy",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|member| member.as_str() == name)
    }
}

impl<'a> Scope<'a> {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a variable.
    #[must_use]
    pub fn with(mut self, variable: Variable, value: &'a Json) -> Self {
        self.values[variable as usize] = Some(value);
        self
    }

    /// The same with `f` and `rec`.
    #[must_use]
    pub fn with_record(mut self, record: RecordScope<'a>) -> Self {
        self.record = Some(record);
        self
    }

    /// A variable that is not made of the record.
    pub(super) fn get(&self, variable: Variable) -> Option<&'a Json> {
        self.values[variable as usize]
    }

    pub(super) fn record(&self) -> Option<&RecordScope<'a>> {
        self.record.as_ref()
    }

    /// What expressions that refer to these variables see.
    pub(super) fn values<'r>(
        &self,
        references: impl IntoIterator<Item = &'r References>,
    ) -> Result<Values<'a>, EvalError> {
        let mut values = Values::new().map_err(EvalError)?;
        let mut added = [false; Variable::ALL.len()];
        for name in references.into_iter().flat_map(|references| references.variables.keys()) {
            let Some(variable) = Variable::named(name).filter(|variable| !added[*variable as usize]) else { continue };
            added[variable as usize] = true;
            if let Some(value) = self.owned(variable)? {
                values.add(name, value);
            }
        }
        Ok(values)
    }

    /// A variable's value; nothing if it is not there.
    pub(super) fn owned(&self, variable: Variable) -> Result<Option<Json>, EvalError> {
        match (variable, &self.record) {
            (Variable::F, Some(record)) => parse(&record.record.data).map(Some),
            (Variable::Rec, Some(record)) => record.rec().map(Some),
            _ => Ok(self.get(variable).cloned()),
        }
    }
}

/// Reads JSON text of a record.
pub(super) fn parse(text: &str) -> Result<Json, EvalError> {
    Json::parse(text).map_err(|error| EvalError(format!("the record cannot be read: {error}")))
}
