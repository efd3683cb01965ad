//! Why something failed: a closed set, the same in results, conditions, events, metrics and documents.

use serde::{Deserialize, Serialize};

/// Who can mend a failure, and so what the Job does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Connection, credentials, permissions, state: exit code 10, no replacement pod.
    Configuration,
    /// The model's SQL or the Mapping: exit code 11, no replacement pod.
    Model,
    /// It may go away by itself: exit code 20, the Job's `backoffLimit` applies.
    Transient,
}

macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident = $class:ident,)+) => {
        /// A failure's code. Its name is the reason of the condition that reports it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code { $($(#[$doc])+ $name,)+ }

        impl Code {
            /// Every code.
            pub const ALL: &[Code] = &[$(Code::$name,)+];

            /// The code's name, as it appears in a condition's reason.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => stringify!($name),)+ }
            }

            /// Who can mend it.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $(Code::$name => Class::$class,)+ }
            }
        }
    };
}

codes! {
    /// A referenced Secret does not exist.
    SecretNotFound = Configuration,
    /// A referenced Secret has no such key.
    SecretKeyNotFound = Configuration,
    /// The host's name cannot be resolved.
    HostNotFound = Configuration,
    /// Nothing answers at the host and port, or the connection broke.
    ConnectionFailed = Transient,
    /// TLS is refused, or the certificate does not prove the host.
    TlsFailed = Configuration,
    /// The warehouse refuses user or password.
    AuthenticationFailed = Configuration,
    /// The warehouse has no such database.
    DatabaseNotFound = Configuration,
    /// The warehouse's role lacks a grant.
    PermissionDenied = Configuration,
    /// The state schema does not exist, and the role may not create it.
    StateSchemaMissing = Configuration,
    /// The bucket, container or folder of the state store does not exist.
    StateStoreMissing = Configuration,
    /// The state store cannot do what the state needs: conditional writes.
    StateStoreUnfit = Configuration,
    /// The state store takes no more requests, is full, or does not answer.
    StateStoreUnavailable = Transient,
    /// The warehouse cancelled the statement or restarts.
    WarehouseUnavailable = Transient,
    /// The model's SQL does not parse or fails.
    SqlError = Model,
    /// The model holds more than one statement.
    MultipleStatements = Model,
    /// The model names a table that does not exist.
    TableNotFound = Model,
    /// A column that the model or the Mapping names does not exist.
    ColumnNotFound = Model,
    /// A primary key column is not in the model.
    PrimaryKeyMissing = Model,
    /// A limit of a run is exceeded: columns, bytes of a record, bytes of a key.
    LimitExceeded = Model,
    /// Two columns of the model have one name.
    DuplicateColumn = Model,
    /// The Mapping's fields cannot be compiled.
    MappingInvalid = Model,
    /// The state was made by the other diff engine.
    DiffChanged = Configuration,
    /// The state was made with other key columns.
    PrimaryKeyChanged = Configuration,
    /// The state belongs to another destination, account or database.
    IdentityChanged = Configuration,
    /// The state belongs to another cluster.
    StateOwnedElsewhere = Configuration,
    /// The state was written by a newer version.
    StateTooNew = Configuration,
    /// The state cannot be read: a checksum or a part is missing.
    StateDamaged = Configuration,
    /// There is no state of this name.
    StateNotFound = Configuration,
    /// No row has the key that was asked for.
    RowNotFound = Model,
    /// The state does not remember a run of this name.
    RunNotFound = Configuration,
    /// Another run of this Mapping has taken over: this one may not commit.
    Fenced = Transient,
    /// A Reset of a Mirror needs `confirm: true`.
    ConfirmRequired = Configuration,
    /// The destination's host does not resolve or does not answer.
    DestinationUnreachable = Transient,
    /// The destination refuses the credentials.
    DestinationUnauthorized = Configuration,
    /// The destination says that the object, path or permission is wrong.
    DestinationMisconfigured = Configuration,
    /// The destination's address is not allowed.
    AddressForbidden = Configuration,
    /// The destination did not accept a record for as long as `retry` allows.
    RetriesExhausted = Transient,
    /// More than half of the first 200 records were rejected.
    MassRejection = Model,
    /// Deletions were withheld, and `deletes.action` is Fail.
    DeletesRefused = Configuration,
    /// The scratch volume is full: what was read was delivered, the next run goes on.
    ScratchFull = Transient,
    /// The run stopped ahead of its deadline.
    DeadlineExceeded = Transient,
    /// A person cancelled the run.
    Canceled = Transient,
    /// The pod was asked to stop; what was acknowledged is committed.
    Terminated = Transient,
    /// The run's counters do not add up.
    LedgerMismatch = Transient,
    /// The plan is not of this version or is damaged.
    PlanInvalid = Configuration,
    /// An error of the program itself.
    Internal = Transient,
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure with its sentence: what happened, where, and what the user can do. Never row data, never a credential, never a
/// vendor's own text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{code}: {message}")]
pub struct Failure {
    /// What kind of failure.
    pub code: Code,
    /// The sentence, at most 512 bytes.
    pub message: String,
}

impl Failure {
    /// The longest message in bytes: ten of them fit the termination message beside the counters.
    pub const MAX_MESSAGE: usize = 512;

    /// Makes a failure, cutting the message to [`Failure::MAX_MESSAGE`] at a character boundary.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: cut(message.into(), Self::MAX_MESSAGE) }
    }
}

/// Cuts `text` to at most `max` bytes at a character boundary, marking the cut with `…`.
#[must_use]
pub fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let mut end = max.saturating_sub('…'.len_utf8());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_between_characters() {
        let failure = Failure::new(Code::SqlError, "é".repeat(400));
        assert!(failure.message.len() <= Failure::MAX_MESSAGE);
        assert!(failure.message.ends_with("é…"));
    }
}
