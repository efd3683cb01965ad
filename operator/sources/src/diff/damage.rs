//! What can be wrong with stored state and with scratch, in the words of a user.

use std::io;

use backflow_core::code::{Code, Failure};

/// What is wrong with stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// They are not there.
    Missing,
    /// They end too early, or too late.
    Truncated,
    /// A checksum does not agree.
    Checksum,
    /// They are of something else.
    Foreign,
    /// An entry does not decode.
    Entry,
    /// Entries are out of order, or in a wrong partition.
    Order,
    /// An entry names a spec that the document does not have.
    Spec,
    /// The document does not parse, or contradicts itself.
    Document,
}

impl Damage {
    /// The failure, for `part` of the state `key`.
    pub(super) fn of(self, key: &str, part: &str) -> Failure {
        let what = match self {
            Self::Missing => "is missing",
            Self::Truncated => "is cut off",
            Self::Checksum => "does not agree with its checksum",
            Self::Foreign => "holds something else",
            Self::Entry => "holds an entry that cannot be read",
            Self::Order => "is out of order",
            Self::Spec => "names a mapping version that is not recorded",
            Self::Document => "cannot be read",
        };
        Failure::new(
            Code::StateDamaged,
            format!(
                "state \"{key}\": {part} {what}; restore the state tables from a backup, or start over with a Sync of mode Reset"
            ),
        )
    }
}

/// A failure of scratch: a full disk is the user's, everything else ours.
pub(super) fn scratch(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Failure::new(
            Code::ScratchFull,
            "the disk of the scratch folder is full before the scratch limit is reached; give the Mapping's worker.scratch the space it asks for",
        ),
        kind => Failure::new(Code::Internal, format!("the scratch folder cannot be used: {kind}")),
    }
}

/// A failure of the program.
pub(super) fn internal(what: &str) -> Failure {
    Failure::new(Code::Internal, format!("{what}; this is an error of Backflow, please report it"))
}
