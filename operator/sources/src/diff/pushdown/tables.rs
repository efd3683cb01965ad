//! Names of the tables that one state has in the state schema.

use sha2::{Digest as _, Sha256};

/// What all tables of a state begin with, after their kind: 64 bits of a hash, because a state key may be longer than a name.
fn tag(state_key: &str) -> String {
    let hash = Sha256::digest(state_key.as_bytes());
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The table of entries.
pub(crate) fn entries(state_key: &str) -> String {
    format!("entries_{}", tag(state_key))
}

/// The table that holds what the claim `epoch` found. No two claims of a state have the same.
pub(crate) fn delta(state_key: &str, epoch: u64) -> String {
    format!("{}{epoch}", delta_prefix(state_key))
}

/// What the names of all deltas of a state begin with.
pub(crate) fn delta_prefix(state_key: &str) -> String {
    format!("delta_{}_", tag(state_key))
}

/// The claim that made a delta; `None` for any other table.
pub(crate) fn delta_epoch(state_key: &str, table: &str) -> Option<u64> {
    let number = table.strip_prefix(&delta_prefix(state_key))?;
    number.parse().ok().filter(|epoch: &u64| epoch.to_string() == number)
}

/// Whether a table belongs to a state.
pub(crate) fn belongs(state_key: &str, table: &str) -> bool {
    table == entries(state_key) || delta_epoch(state_key, table).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_knows_its_own_tables_and_no_others() {
        let key = "growth/customers-to-hubspot";
        assert_eq!(entries(key), "entries_4571b01f6929bb74");
        assert_eq!(delta_epoch(key, &delta(key, 42)), Some(42));
        assert!(belongs(key, &entries(key)) && belongs(key, &delta(key, u64::MAX)));
        let other = "growth/other";
        for table in [
            entries(other),
            delta(other, 42),
            format!("{}007", delta_prefix(key)),
            format!("{}x", delta_prefix(key)),
            delta_prefix(key),
            "mappings".into(),
        ] {
            assert!(!belongs(key, &table), "{table}");
        }
        assert!(delta(key, u64::MAX).len() < 63, "Postgres cuts longer names");
    }
}
