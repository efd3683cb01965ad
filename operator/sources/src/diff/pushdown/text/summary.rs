//! What a delta has, in numbers.

use crate::diff::pushdown::codes::{entry, kind, resend};
use crate::diff::pushdown::dialect::Dialect;
use crate::diff::pushdown::typed::Names;

pub(in super::super) fn summary<D: Dialect>(
    dialect: &D,
    names: &Names,
    table: &str,
    first_epoch: u64,
    expired: i64,
) -> String {
    let of = |condition: &str| dialect.count_if(condition);
    let is = |number: u8| of(&format!("kind = {number}"));
    let changes = format!("kind IN ({}, {}, {})", kind::DELETED, kind::UPDATED, kind::ADDED);
    let quiet = format!("kind IN ({}, {})", kind::REFRESHED, kind::BURIED);
    let [model, known, unsent, rejected, doubtful, waits, superseded] =
        ["model", "known", "unsent", "rejected", "doubtful", "waits", "superseded"].map(|name| dialect.is(name));
    let compared = format!("kind NOT IN ({}, {})", kind::UNCHANGED, kind::DUPLICATE_KEY);
    let long: Vec<String> = names.keys.iter().filter(|key| key.long).map(|key| dialect.key_size(key)).collect();
    let key_size = if long.is_empty() { "0".to_owned() } else { long.join(" + ") };
    let met = format!(
        "{} + count(DISTINCT CASE WHEN kind = {} AND {known} THEN {} END)",
        of(&format!("{model} AND {known} AND {compared}")),
        kind::DUPLICATE_KEY,
        dialect.pair("entry_born", "entry_place")
    );
    let numbers = [
        "0".to_owned(),
        "coalesce(sum(counted), 0)".to_owned(),
        is(kind::DELETED),
        is(kind::UPDATED),
        is(kind::ADDED),
        of(&format!("kind = {} AND {unsent}", kind::DELETED)),
        // What this run's earlier pods had rejected is counted as rejected.
        of(&format!("kind = {} AND rev < {first_epoch}", kind::STILL_REJECTED)),
        is(kind::NULL_KEY),
        is(kind::DUPLICATE_KEY),
        of(&quiet),
        of(&format!("{quiet} AND {rejected}")),
        of(&format!("{changes} AND {doubtful}")),
        of(&format!("{compared} AND resend = {}", resend::MAPPING_CHANGED)),
        of(&format!("{compared} AND resend = {}", resend::FULL)),
        of(&format!("{compared} AND resend = {}", resend::REPLAY)),
        of(&waits),
        of(&superseded),
        of(&format!("{superseded} AND {known}")),
        of(&format!("{model} AND kind <> {}", kind::UNCHANGED)),
        met,
        of(&format!("NOT {model} AND {known}")),
        "coalesce(max(size), 0)".to_owned(),
        format!("coalesce(max(CASE WHEN {changes} THEN {key_size} END), 0)"),
    ];
    // Specs that only a doubt refers to count too: the change that was in doubt may come again.
    let old = format!("kind = {} AND deleted_at <= {expired} AND doubt_epoch IS NULL", entry::TOMBSTONE);
    let entries = [
        "1".to_owned(),
        "kind".to_owned(),
        "spec".to_owned(),
        "coalesce(doubt_spec, -1)".to_owned(),
        "count(*)".to_owned(),
        of(&old),
        format!("coalesce(max(CASE WHEN {old} THEN rev END), 0)"),
    ];
    format!(
        "SELECT {} FROM {table} UNION ALL SELECT {} FROM {} AS e GROUP BY kind, spec, doubt_spec",
        dialect.numbers(&numbers),
        dialect.numbers(&entries),
        names.entries
    )
}
