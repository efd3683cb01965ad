//! Faults that tests plant, to show that other tests find them. Nothing of this is in a program that is not a test.

use std::cell::Cell;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The state moves when a change is handed out, and not when it is acknowledged.
    CommitBeforeAcknowledge,
    /// NULL has the hash of an empty text.
    NullIsEmpty,
    /// A key that is there twice counts as gone.
    DuplicateIsDeletion,
    /// Deletions are the last kind.
    DeletesAfterAdds,
    /// The change after a full page is lost.
    OffByOnePage,
    /// The last page is lost.
    LostLastPage,
    /// The hash of a row knows no borders between its columns.
    NoSeparator,
    /// After a resize, entries are put where they were before.
    WrongPartitionAfterResize,
    /// The idempotency key of a delivery is another one in every run.
    KeyOfTheRun,
    /// A run that has lost its claim goes on writing.
    StaleEpochWrites,
    /// Nothing is written before changes are handed out.
    NoMark,
    /// Another content after a lost one has the `rev` of the lost one.
    DoubtKeepsRev,
    /// A rejection clears also the doubt before it.
    RejectionClearsAll,
    /// The match key is not remembered.
    NoMatchKey,
    /// A record goes though another row stands for it.
    DeletesTheLiving,
    /// The record of the match key before stays.
    OldRecordStays,
    /// A row is sent beside another one with its match key.
    DuplicateIsSent,
    /// A row is as it was delivered, whoever has written its record since.
    LastWriterIsForgotten,
}

thread_local! {
    static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Plants a fault in this thread.
pub(super) fn plant(fault: Option<Fault>) {
    PLANTED.set(fault);
}

/// What is planted in this thread.
pub(super) fn planted() -> Option<Fault> {
    PLANTED.get()
}
