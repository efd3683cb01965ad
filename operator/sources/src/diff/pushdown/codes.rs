//! The numbers that stand for what rows, entries and reasons are.

/// What a row of a delta is. The numbers are stored; those of changes are in the order of delivery.
pub(crate) mod kind {
    /// An unchanged row that is in the delta only to tell how many rows there were.
    pub(crate) const UNCHANGED: u8 = 0;
    /// The key is gone.
    pub(crate) const DELETED: u8 = 1;
    /// The row is to be sent again.
    pub(crate) const UPDATED: u8 = 2;
    /// The row is to be sent for the first time.
    pub(crate) const ADDED: u8 = 3;
    /// Unchanged, but its hash is to be made anew, or an earlier rejection does not matter any more.
    pub(crate) const REFRESHED: u8 = 4;
    /// A key that was only ever rejected is gone: it becomes a tombstone.
    pub(crate) const BURIED: u8 = 5;
    /// The destination refused this very content.
    pub(crate) const STILL_REJECTED: u8 = 6;
    /// The row has no key.
    pub(crate) const NULL_KEY: u8 = 7;
    /// The row shares its key with another.
    pub(crate) const DUPLICATE_KEY: u8 = 8;
    /// Nothing to do.
    pub(crate) const NOTHING: u8 = 9;
    /// Not one of the rows that a Replay asks for: it only stands for its record.
    pub(crate) const HIDDEN: u8 = 10;
}

/// What an entry is: the numbers are those of the packed format.
pub(crate) mod entry {
    /// It was sent.
    pub(crate) const DELIVERED: i64 = 0;
    /// It is known, but was never sent.
    pub(crate) const SEEN: i64 = 1;
    /// It was only ever rejected, or its first delivery has no acknowledgement.
    pub(crate) const NEVER_DELIVERED: i64 = 2;
    /// It is gone.
    pub(crate) const TOMBSTONE: i64 = 3;
}

/// Why a row without a change of content is to be sent again.
pub(crate) mod resend {
    /// Its hash was made by a Mapping that cannot be compared any more.
    pub(crate) const MAPPING_CHANGED: i64 = 1;
    /// A Full asked for it.
    pub(crate) const FULL: i64 = 2;
    /// A Replay asked for it.
    pub(crate) const REPLAY: i64 = 3;
}
