//! The statement that compares model and entries.

use std::fmt::Write as _;

use super::super::dialect::{Chosen, Delta, NUMBER_BITS, entry, kind, resend};
use super::super::statement::Around;
use super::{fill, key_names, prefixed, quote};
use crate::diff::matches::DUPLICATE;

/// Buckets of a delta.
const BUCKETS: u32 = 1024;

/// A column of a row that is no long text is counted as so many bytes.
const SHORT: usize = 8;

/// Columns of a delta beside the key's and the row's, in their order.
pub(super) const DELTA: [&str; 25] = [
    "kind",
    "place",
    "entry_born",
    "entry_place",
    "spec",
    "sent",
    "rows",
    "model",
    "known",
    "unsent",
    "rejected",
    "doubtful",
    "rev",
    "hash",
    "resend",
    "size",
    "record",
    "match_key",
    "group_key",
    "remote_id",
    "duplicate",
    "waits",
    "extra",
    "moved",
    "superseded",
];

/// Columns of what was found that a delta has not.
const FOUND: [&str; 6] = ["stands", "was_duplicate", "gone_again", "other_rev", "remembers", "delivered"];

/// The whole statement, around the model.
pub(super) fn delta<W>(delta: &Delta<'_, W>) -> Around {
    let names = delta.names;
    let same = key_names(names).map(|name| format!("c.{name} = m.{name}")).collect::<Vec<_>>().join(" AND ");
    let mut also = String::new();
    if delta.exact {
        also.push_str(" OR j.copies > 1");
    }
    let mut overwritten = String::new();
    if delta.identifies {
        also.push_str(" OR j.overwritten");
        let held = &names.held;
        let _ = write!(
            overwritten,
            "\nLEFT JOIN {held} AS own ON own.born = c.born AND own.place = c.place AND own.record = c.record \
             LEFT JOIN (SELECT record, max(epoch) AS epoch FROM {held} AS h GROUP BY record) AS last ON last.record = c.record"
        );
    }
    Around {
        before: format!(
            "CREATE TABLE {} AS\n{}\nFROM (\n{}\nFROM (\n{}\nFROM (\n{}\nFROM ",
            if delta.is_staged() { &names.found } else { &names.delta },
            numbered(delta),
            kept(delta),
            judged(delta),
            model(delta)
        ),
        after: format!(
            "\n) AS m FULL JOIN {} AS c ON {same}{overwritten}\n) AS j WHERE j.kind NOT IN ({}, {}) OR j.rows IS NOT NULL{also}\n) AS x",
            names.entries,
            kind::UNCHANGED,
            kind::NOTHING
        ),
    }
}

/// The rows of the model with keys and hashes, before `FROM`.
fn model<W>(delta: &Delta<'_, W>) -> String {
    let raw = |at: usize| format!("_m.{}", quote(&delta.columns[at].name));
    let mut out = String::from("SELECT ");
    for at in 0..delta.columns.len() {
        let _ = write!(out, "{} AS c{}, ", raw(at), at + 1);
    }
    let keys: Vec<String> = delta.key.iter().map(|at| fill(&delta.columns[*at].key.expression, &raw(*at))).collect();
    for (key, column) in keys.iter().zip(&delta.names.keys) {
        let _ = write!(out, "{key} AS {}, ", column.name);
    }
    for (number, (_, columns)) in delta.specs.iter().enumerate() {
        let values: Vec<String> = columns.iter().map(|at| fill(&delta.columns[*at].hash, &raw(*at))).collect();
        let row = values.join(", ");
        let _ = write!(out, "substring(sha256(record_send(ROW({row}))) FROM 1 FOR 16) AS h{number}, ");
    }
    // The last row is always in the delta, and says how many there were.
    out.push_str("row_number() OVER () AS row, lead(1) OVER () IS NULL AS last");
    if delta.exact {
        let _ = write!(out, ", count(*) OVER (PARTITION BY {}) AS copies", keys.join(", "));
    }
    out
}

/// Conditions on a pair of row (`m`) and entry (`c`).
struct Judge {
    /// The hash of the row by the entry's spec.
    by_spec: String,
    /// A known row is not simply unchanged.
    changed: String,
    /// The destination refused this very row.
    row_again: String,
    /// The destination refused this very deletion.
    gone_again: String,
    /// A Replay asks for the row, as far as SQL can tell.
    chosen: Option<String>,
    /// The row has no key.
    null_key: String,
    current: u32,
}

impl Judge {
    fn new<W>(delta: &Delta<'_, W>) -> Self {
        let current = delta.specs.first().map_or(0, |(id, _)| *id);
        let mut by_spec = String::from("CASE c.spec");
        for (number, (id, _)) in delta.specs.iter().enumerate() {
            let _ = write!(by_spec, " WHEN {id} THEN m.h{number}");
        }
        by_spec.push_str(" END");
        let mut changed = format!("{by_spec} IS DISTINCT FROM c.hash OR c.doubt_epoch IS NOT NULL");
        if delta.resend_below > 0 {
            let _ = write!(changed, " OR c.rev < {}", delta.resend_below);
        }
        if delta.identifies {
            let _ = write!(changed, " OR coalesce(c.rejected_code = '{DUPLICATE}', false)");
        }
        let (gone_again, row_again) = if delta.retry_rejected {
            ("false".to_owned(), "false".to_owned())
        } else {
            (
                format!("c.rejected_spec = {current} AND c.rejected_deletion"),
                format!("c.rejected_spec = {current} AND NOT c.rejected_deletion AND c.rejected_hash = m.h0"),
            )
        };
        let null_key =
            delta.names.keys.iter().map(|key| format!("m.{} IS NULL", key.name)).collect::<Vec<_>>().join(" OR ");
        let chosen = delta.chosen.as_ref().map(|chosen| match chosen {
            Chosen::Claims(first, last) => format!("coalesce(c.rev BETWEEN {first} AND {last}, false)"),
            Chosen::Keys { before, first } => {
                let named = match (first, delta.names.keys.first()) {
                    (Some(first), _) if first.is_empty() => " AND false".to_owned(),
                    (Some(first), Some(key)) => format!(" AND m.{} IN ({})", key.name, first.join(", ")),
                    _ => String::new(),
                };
                format!("(coalesce(c.rev < {before}, true){named})")
            }
        });
        Self { by_spec, changed, row_again, gone_again, chosen, null_key, current }
    }

    /// What a pair is.
    fn kind<W>(&self, delta: &Delta<'_, W>) -> String {
        let Self { changed, row_again, gone_again, null_key, current, .. } = self;
        let known = format!("CASE WHEN c.kind <= {} THEN {} ELSE {} END", entry::SEEN, kind::UPDATED, kind::ADDED);
        let unchanged = format!("c.kind <= {} AND NOT ({changed})", entry::SEEN);
        let whole = format!("c.spec = {current} AND c.rejected_spec IS NULL");
        if let Some(chosen) = &self.chosen {
            let other = if delta.identifies { kind::HIDDEN } else { kind::NOTHING };
            return format!(
                "CASE WHEN m.row IS NULL THEN {other} \
                 WHEN c.born IS NULL AND ({null_key}) THEN {NULL_KEY} \
                 WHEN {chosen} THEN CASE WHEN {row_again} THEN {STILL_REJECTED} ELSE {known} END \
                 WHEN {unchanged} AND {whole} THEN {UNCHANGED} ELSE {other} END",
                NULL_KEY = kind::NULL_KEY,
                STILL_REJECTED = kind::STILL_REJECTED,
                UNCHANGED = kind::UNCHANGED,
            );
        }
        format!(
            "CASE \
             WHEN c.born IS NULL THEN CASE WHEN {null_key} THEN {NULL_KEY} ELSE {ADDED} END \
             WHEN m.row IS NULL THEN CASE \
             WHEN c.kind > {SEEN} AND c.doubt_epoch IS NULL THEN CASE c.kind WHEN {NEVER} THEN {BURIED} ELSE {NOTHING} END \
             WHEN {gone_again} THEN {STILL_REJECTED} ELSE {DELETED} END \
             WHEN {unchanged} THEN CASE WHEN {whole} THEN {UNCHANGED} ELSE {REFRESHED} END \
             WHEN {row_again} THEN {STILL_REJECTED} \
             ELSE {known} END",
            SEEN = entry::SEEN,
            NEVER = entry::NEVER_DELIVERED,
            UNCHANGED = kind::UNCHANGED,
            DELETED = kind::DELETED,
            ADDED = kind::ADDED,
            REFRESHED = kind::REFRESHED,
            BURIED = kind::BURIED,
            STILL_REJECTED = kind::STILL_REJECTED,
            NULL_KEY = kind::NULL_KEY,
            NOTHING = kind::NOTHING,
        )
    }

    /// Why an unchanged row is sent again.
    fn resend<W>(&self, delta: &Delta<'_, W>) -> String {
        let by_spec = &self.by_spec;
        let mut why = String::from("CASE");
        if let Some(chosen) = &self.chosen {
            let _ = write!(why, " WHEN c.born IS NOT NULL AND m.row IS NOT NULL AND {chosen} THEN {}", resend::REPLAY);
        } else {
            if delta.resend {
                let _ = write!(
                    why,
                    " WHEN c.kind <= 1 AND m.row IS NOT NULL AND {by_spec} IS NULL THEN {}",
                    resend::MAPPING_CHANGED
                );
            }
            if delta.resend_below > 0 {
                let _ = write!(
                    why,
                    " WHEN c.kind <= 1 AND c.rev < {} AND {by_spec} = c.hash THEN {}",
                    delta.resend_below,
                    resend::FULL
                );
            }
        }
        if why == "CASE" { "NULL::integer".to_owned() } else { format!("{why} END") }
    }
}

/// What each pair of row (`m`) and entry (`c`) is.
fn judged<W>(delta: &Delta<'_, W>) -> String {
    let judge = Judge::new(delta);
    let hash = "CASE WHEN m.row IS NULL THEN coalesce(c.hash, c.doubt_hash) ELSE m.h0 END";
    let keys: String = key_names(delta.names).map(|name| format!(", coalesce(c.{name}, m.{name}) AS {name}")).collect();
    let columns: String = (1..=delta.row).map(|at| format!(", m.c{at}")).collect();
    let copies = if delta.exact { "m.copies, " } else { "" };
    let mut more = String::new();
    if delta.is_staged() {
        let _ = write!(
            more,
            "c.record AS stands, coalesce(c.rejected_code = '{DUPLICATE}', false) AS was_duplicate, \
             coalesce({gone_again}, false) AS gone_again, \
             CASE WHEN c.born IS NULL THEN {floor} ELSE greatest(c.doubt_epoch, c.rev) END AS other_rev, \
             c.match_key IS NOT NULL OR c.group_key IS NOT NULL AS remembers, coalesce(c.kind = {DELIVERED}, false) AS delivered, ",
            gone_again = judge.gone_again,
            floor = delta.rev_floor,
            DELIVERED = entry::DELIVERED,
        );
    }
    if delta.identifies {
        // Another key wrote its record since. In a Mirror, that one's deletion is a write, too, and leaves nothing.
        let by_another =
            if delta.mirror { "own.epoch IS NULL OR last.epoch > own.epoch" } else { "last.epoch > own.epoch" };
        let _ = write!(
            more,
            "c.kind = {DELIVERED} AND m.row IS NOT NULL AND c.record IS NOT NULL AND ({by_another}) AS overwritten, ",
            DELIVERED = entry::DELIVERED,
        );
    }
    format!(
        "SELECT {kind} AS kind, \
         CASE WHEN m.last THEN m.row END AS rows, {copies}m.row IS NOT NULL AS model, \
         c.born, c.place, c.kind <= 1 AS known, c.kind = 1 AND c.doubt_epoch IS NULL AS unsent, \
         c.rejected_spec IS NOT NULL AS rejected, c.doubt_epoch IS NOT NULL AS doubtful, {more}\
         CASE WHEN c.born IS NULL THEN {floor} WHEN c.doubt_epoch IS NULL THEN c.rev \
         WHEN c.doubt_spec = {current} AND c.doubt_deletion = (m.row IS NULL) AND c.doubt_hash = {hash} \
         AND c.doubt_epoch >= c.rev THEN c.doubt_rev \
         ELSE greatest(c.doubt_epoch, c.rev) END AS rev, {hash} AS hash, {why} AS resend{keys}{columns}",
        kind = judge.kind(delta),
        why = judge.resend(delta),
        current = judge.current,
        floor = delta.rev_floor,
    )
}

/// What of it is kept, with the row only where it is sent, or where the worker has to look at it.
fn kept<W>(delta: &Delta<'_, W>) -> String {
    let keys = prefixed("j", key_names(delta.names));
    // A bucket is chosen by the key alone, so that its rows can be numbered without looking at other buckets.
    let bucket = format!("coalesce(hashtextextended(concat_ws(' ', {keys}), 0) & {}, 0)", BUCKETS - 1);
    let sent = if delta.is_staged() {
        format!("j.model AND j.kind <> {}", kind::NULL_KEY)
    } else {
        format!("j.kind IN ({}, {})", kind::UPDATED, kind::ADDED)
    };
    let mut short = 0;
    let mut size = String::new();
    let mut row = String::new();
    for (at, column) in delta.columns.iter().take(delta.row).enumerate() {
        let raw = format!("j.c{}", at + 1);
        match &column.length {
            Some(length) => {
                let _ = write!(size, " + coalesce({}, 0)::bigint", fill(length, &raw));
            }
            None => short += SHORT,
        }
        let _ = write!(row, ", CASE WHEN {sent} THEN {} END AS p{}", fill(&column.read, &raw), at + 1);
    }
    let more: String =
        if delta.is_staged() { FOUND.iter().map(|name| format!("j.{name}, ")).collect() } else { String::new() };
    format!(
        "SELECT j.kind, j.rows, j.model, j.born, j.place, j.known, j.unsent, j.rejected, j.doubtful, {more}j.rev, j.hash, j.resend, \
         {bucket} AS bucket, CASE WHEN {sent} THEN {short}{size} ELSE 0 END AS size, {keys}{row}"
    )
}

/// Whether a change of this kind is sent.
pub(super) fn sent(pairs: &[(u8, bool)], kind: &str, unsent: &str) -> String {
    if pairs.is_empty() {
        return "false".to_owned();
    }
    let pairs: Vec<String> = pairs.iter().map(|(kind, unsent)| format!("({kind}, {unsent})")).collect();
    format!("({kind}, coalesce({unsent}, false)) IN ({})", pairs.join(", "))
}

/// The columns of the delta, or of what it is made of.
fn numbered<W>(delta: &Delta<'_, W>) -> String {
    let keys = prefixed("x", key_names(delta.names));
    let place = format!("(x.bucket << {NUMBER_BITS}) + row_number() OVER (PARTITION BY x.bucket ORDER BY {keys})");
    let copies = format!("count(*) FILTER (WHERE x.model) OVER (PARTITION BY x.bucket, {keys})");
    let row: String = (1..=delta.row).map(|at| format!(", x.p{at}")).collect();
    let more: String =
        if delta.is_staged() { FOUND.iter().map(|name| format!("x.{name}, ")).collect() } else { String::new() };
    format!(
        "SELECT (CASE WHEN x.model AND x.kind <> {null_key} AND {copies} > 1 THEN {duplicate} ELSE x.kind END)::smallint AS kind, \
         {place} AS place, coalesce(x.born, {epoch}) AS entry_born, coalesce(x.place, {place}) AS entry_place, \
         {spec} AS spec, {sent} AS sent, x.rows, x.model, x.known, x.unsent, x.rejected, x.doubtful, x.rev, x.hash, x.resend, x.size, \
         NULL::text AS record, NULL::text AS match_key, NULL::text AS group_key, NULL::text AS remote_id, \
         false AS duplicate, false AS waits, false AS extra, false AS moved, false AS superseded, {more}{keys}{row}",
        null_key = kind::NULL_KEY,
        duplicate = kind::DUPLICATE_KEY,
        sent = sent(delta.sent, "x.kind", "x.unsent"),
        epoch = delta.epoch,
        spec = delta.specs.first().map_or(0, |(id, _)| *id),
    )
}
