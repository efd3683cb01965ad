//! Names of the Syncs that the controller creates. They follow from what the run is for, so that nothing is started twice.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// Letters of a name's hash: lower case and digits, as DNS labels want them, without look-alikes.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 35 bits; with a Mapping's name of 50 characters and the mark a name has the 59 characters that a Sync may have.
const HASH_LENGTH: usize = 7;

/// The run of a slot: `{mapping}-{minute of the slot since 1970}`.
#[must_use]
pub fn slot_name(mapping: &str, slot: Timestamp) -> String {
    format!("{mapping}-{}", slot.as_second().div_euclid(60))
}

/// The run that was asked for by annotation: `{mapping}-m{hash}`. The uid keeps a Mapping that was deleted and made again from finding
/// the run of its namesake.
#[must_use]
pub fn requested_name(mapping: &str, uid: &str, token: &str) -> String {
    format!("{mapping}-m{}", short_hash(&[uid, token]))
}

/// The run that follows a run of another Mapping: `{mapping}-a{hash}`.
#[must_use]
pub fn after_name(mapping: &str, uid: &str, upstream_sync: &str, finished_at: Timestamp) -> String {
    format!("{mapping}-a{}", short_hash(&[uid, upstream_sync, &finished_at.as_second().to_string()]))
}

fn short_hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let digest = hasher.finalize();
    digest.iter().take(HASH_LENGTH).map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
}
