//! Names of the tables that one state has in the state schema.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::transport::Table;
use super::typed::key_part;

/// What all tables of a state begin with, after their kind: 64 bits of a hash, because a state key may be longer than a name.
fn tag(state_key: &str) -> String {
    let hash = Sha256::digest(state_key.as_bytes());
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The table of entries.
pub(crate) fn entries(state_key: &str) -> String {
    format!("entries_{}", tag(state_key))
}

/// The table of records that keys have written.
pub(crate) fn held(state_key: &str) -> String {
    format!("held_{}", tag(state_key))
}

/// What a run needs for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// What a delta is made of.
    Found,
    /// What the worker says of it.
    Marks,
}

/// A table that a run needs before it has a delta. It holds nothing that anybody else has to know.
pub(crate) fn stage(delta: &str, stage: Stage) -> String {
    let name = match stage {
        Stage::Found => "found",
        Stage::Marks => "marks",
    };
    format!("{name}_{}", delta.split_once('_').map_or(delta, |(_, rest)| rest))
}

/// In place of a delta in a DryRun, which has no claim. `number` is random.
pub(crate) fn dry(state_key: &str, number: u64) -> String {
    format!("dry_{}_{number:016x}", tag(state_key))
}

/// What all tables of a state have in their names after their kind.
pub(crate) fn infix(state_key: &str) -> String {
    format!("_{}", tag(state_key))
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

/// Whether a table was for one run only, and holds nothing that anybody else has to know.
pub(crate) fn passing(state_key: &str, table: &str) -> bool {
    let infix = format!("{}_", infix(state_key));
    ["found", "marks", "dry"].iter().any(|kind| {
        let rest = table.strip_prefix(kind).and_then(|rest| rest.strip_prefix(&infix));
        rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
    })
}

/// Whether a table belongs to a state.
pub(crate) fn belongs(state_key: &str, table: &str) -> bool {
    table == entries(state_key)
        || table == held(state_key)
        || delta_epoch(state_key, table).is_some()
        || passing(state_key, table)
}

/// The tables of a state, of rows that have the name of a table and of one of its columns; `None` if one is something else.
pub(crate) fn found(state_key: &str, rows: Vec<Vec<Option<String>>>) -> Option<Vec<Table>> {
    let mut found: BTreeMap<String, Table> = BTreeMap::new();
    for row in rows {
        let [Some(name), Some(column)] = <[_; 2]>::try_from(row).ok()? else { return None };
        if !belongs(state_key, &name) {
            continue;
        }
        let table = found.entry(name.clone()).or_insert(Table { name, keys: Vec::new(), records: false });
        table.records |= column == "record";
        table.keys.extend(key_part(&column).is_some().then_some(column));
    }
    Some(found.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_say_what_tables_a_state_has() {
        let key = "growth/crm";
        let (entries, delta) = (entries(key), delta(key, 3));
        let row = |table: &str, column: &str| vec![Some(table.to_owned()), Some(column.to_owned())];
        let rows = [
            row(&entries, "key2_text"),
            row(&delta, "kind"),
            row(&entries, "record"),
            row("objects", "name"),
            row(&entries, "key1_int"),
        ];
        let table = |name: &String, keys: &[&str], records| Table {
            name: name.clone(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            records,
        };
        let wanted = vec![table(&delta, &[], false), table(&entries, &["key2_text", "key1_int"], true)];
        assert_eq!(found(key, rows.to_vec()), Some(wanted));
        assert_eq!(found(key, vec![vec![Some(delta), None]]), None);
        assert_eq!(found(key, vec![vec![None]]), None);
    }

    #[test]
    fn a_state_knows_its_own_tables_and_no_others() {
        let key = "growth/customers-to-hubspot";
        assert_eq!(entries(key), "entries_4571b01f6929bb74");
        assert_eq!(delta_epoch(key, &delta(key, 42)), Some(42));
        let run = delta(key, u64::MAX);
        assert!(belongs(key, &entries(key)) && belongs(key, &held(key)) && belongs(key, &run));
        for passing_by in
            [stage(&run, Stage::Found), stage(&run, Stage::Marks), dry(key, 7), stage(&dry(key, 7), Stage::Marks)]
        {
            assert!(belongs(key, &passing_by) && passing(key, &passing_by), "{passing_by}");
        }
        let other = "growth/other";
        for table in [
            entries(other),
            delta(other, 42),
            held(other),
            dry(other, 1),
            stage(&delta(other, 42), Stage::Found),
            format!("{}007", delta_prefix(key)),
            format!("{}x", delta_prefix(key)),
            delta_prefix(key),
            format!("marks{}_", infix(key)),
            "mappings".into(),
        ] {
            assert!(!belongs(key, &table), "{table}");
        }
        assert!(delta(key, u64::MAX).len() < 63, "Postgres cuts longer names");
    }
}
