//! What is asked, and how its result travels.

use std::time::Duration;

/// The longest that a read of a model may take, the start of a warehouse included; it is cancelled then.
const MODEL: Duration = Duration::from_secs(6 * 3600);
/// The same of a statement of our own.
const OWN: Duration = Duration::from_secs(30 * 60);

/// How a result travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// Within answers; 25 MiB at most.
    Inline,
    /// By links to a cloud's storage.
    Links,
}

impl Disposition {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Inline => "INLINE",
            Self::Links => "EXTERNAL_LINKS",
        }
    }
}

/// One statement.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) sql: String,
    /// Texts for `:name`.
    pub(super) binds: Vec<(&'static str, String)>,
    pub(super) disposition: Disposition,
    /// Is of the user: it may take long, and its id is wanted at once.
    pub(super) model: bool,
}

impl Statement {
    /// One of our own.
    pub(super) fn own(sql: String) -> Self {
        Self { sql, binds: Vec::new(), disposition: Disposition::Inline, model: false }
    }

    /// With values for its parameters.
    pub(super) fn with<V: Into<String>>(mut self, binds: impl IntoIterator<Item = (&'static str, V)>) -> Self {
        self.binds.extend(binds.into_iter().map(|(name, value)| (name, value.into())));
        self
    }

    /// A look at a model.
    pub(super) fn model(sql: String) -> Self {
        Self { model: true, ..Self::own(sql) }
    }

    /// A read of a model.
    pub(super) fn read(sql: String) -> Self {
        Self { disposition: Disposition::Links, ..Self::model(sql) }
    }

    /// How long it may take; it is cancelled then.
    pub(super) fn longest(&self) -> Duration {
        if self.model { MODEL } else { OWN }
    }
}
