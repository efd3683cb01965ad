//! What each pair of row and entry is.

use std::fmt::Write as _;

use super::cast;
use crate::diff::matches::DUPLICATE;
use crate::diff::pushdown::codes::{entry, kind, resend};
use crate::diff::pushdown::dialect::{Chosen, Delta, Dialect};
use crate::diff::pushdown::typed::Kind;

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
    fn new<D: Dialect, W>(dialect: &D, delta: &Delta<'_, W>) -> Self {
        let hash = D::HASH;
        let current = delta.specs.first().map_or(0, |(id, _)| *id);
        let mut by_spec = String::from("CASE c.spec");
        for (number, (id, _)) in delta.specs.iter().enumerate() {
            let _ = write!(by_spec, " WHEN {id} THEN m.h{number}");
        }
        by_spec.push_str(" END");
        let mut changed = format!("{} OR c.doubt_epoch IS NOT NULL", dialect.distinct(&by_spec, &format!("c.{hash}")));
        if delta.resend_below > 0 {
            let _ = write!(changed, " OR c.rev < {}", delta.resend_below);
        }
        if delta.identifies {
            let _ = write!(changed, " OR {}", was_duplicate(dialect));
        }
        let (gone_again, row_again) = if delta.retry_rejected {
            let never = dialect.is(dialect.boolean(false));
            (never.clone(), never)
        } else {
            let deletion = dialect.is("c.rejected_deletion");
            (
                format!("c.rejected_spec = {current} AND {deletion}"),
                format!("c.rejected_spec = {current} AND NOT {deletion} AND c.rejected_hash = m.h0"),
            )
        };
        let null_key = delta.names.key_names().map(|name| format!("m.{name} IS NULL")).collect::<Vec<_>>().join(" OR ");
        let chosen = delta.chosen.as_ref().map(|chosen| match chosen {
            Chosen::Claims(first, last) => dialect.or(&format!("c.rev BETWEEN {first} AND {last}"), false),
            Chosen::Keys { before, first } => {
                let named = match (first, delta.names.keys.first()) {
                    (Some(first), _) if first.is_empty() => format!(" AND {}", dialect.is(dialect.boolean(false))),
                    (Some(first), Some(key)) => format!(" AND m.{} IN ({})", key.name, first.join(", ")),
                    _ => String::new(),
                };
                format!("({}{named})", dialect.or(&format!("c.rev < {before}"), true))
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
                "CASE WHEN m.nth IS NULL THEN {other} \
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
             WHEN m.nth IS NULL THEN CASE \
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
    fn resend<D: Dialect, W>(&self, dialect: &D, delta: &Delta<'_, W>) -> String {
        let by_spec = &self.by_spec;
        let mut why = String::from("CASE");
        if let Some(chosen) = &self.chosen {
            let _ = write!(why, " WHEN c.born IS NOT NULL AND m.nth IS NOT NULL AND {chosen} THEN {}", resend::REPLAY);
        } else {
            if delta.resend {
                let _ = write!(
                    why,
                    " WHEN c.kind <= 1 AND m.nth IS NOT NULL AND {by_spec} IS NULL THEN {}",
                    resend::MAPPING_CHANGED
                );
            }
            if delta.resend_below > 0 {
                let _ = write!(
                    why,
                    " WHEN c.kind <= 1 AND c.rev < {} AND {by_spec} = c.{} THEN {}",
                    delta.resend_below,
                    D::HASH,
                    resend::FULL
                );
            }
        }
        if why == "CASE" { cast(dialect, "NULL", Kind::Integer) } else { format!("{why} END") }
    }
}

/// The row was refused because another one stands for its record.
fn was_duplicate<D: Dialect>(dialect: &D) -> String {
    dialect.or(&format!("c.rejected_code = '{DUPLICATE}'"), false)
}

/// The columns of each pair of row (`m`) and entry (`c`), up to `FROM`.
pub(super) fn judged<D: Dialect, W>(dialect: &D, delta: &Delta<'_, W>) -> String {
    let judge = Judge::new(dialect, delta);
    let hash = format!("CASE WHEN m.nth IS NULL THEN coalesce(c.{}, c.doubt_hash) ELSE m.h0 END", D::HASH);
    let keys: String =
        delta.names.key_names().map(|name| format!(", coalesce(c.{name}, m.{name}) AS {name}")).collect();
    let columns: String = (1..=delta.row).map(|at| format!(", m.c{at}")).collect();
    let copies = if delta.exact { "m.copies, " } else { "" };
    let mut more = String::new();
    if delta.is_staged() {
        let _ = write!(
            more,
            "c.record AS stands, {} AS was_duplicate, {} AS gone_again, \
             CASE WHEN c.born IS NULL THEN {floor} ELSE {} END AS other_rev, {} AS remembers, {} AS delivered, ",
            dialect.truth(&was_duplicate(dialect)),
            dialect.truth(&dialect.or(&judge.gone_again, false)),
            dialect.greatest("coalesce(c.doubt_epoch, c.rev)", "c.rev"),
            dialect.truth("c.match_key IS NOT NULL OR c.group_key IS NOT NULL"),
            dialect.truth(&dialect.or(&format!("c.kind = {}", entry::DELIVERED), false)),
            floor = delta.rev_floor,
        );
    }
    if delta.identifies {
        // Another key wrote its record since. In a Mirror, that one's deletion is a write, too, and leaves nothing.
        let by_another =
            if delta.mirror { "own.epoch IS NULL OR last.epoch > own.epoch" } else { "last.epoch > own.epoch" };
        let overwritten =
            format!("c.kind = {} AND m.nth IS NOT NULL AND c.record IS NOT NULL AND ({by_another})", entry::DELIVERED);
        let _ = write!(more, "{} AS overwritten, ", dialect.truth(&overwritten));
    }
    format!(
        "SELECT {kind} AS kind, \
         CASE WHEN {last} THEN m.nth END AS counted, {copies}{model} AS model, \
         c.born, c.place, {known} AS known, {unsent} AS unsent, {rejected} AS rejected, {doubtful} AS doubtful, {more}\
         CASE WHEN c.born IS NULL THEN {floor} WHEN c.doubt_epoch IS NULL THEN c.rev \
         WHEN c.doubt_spec = {current} AND c.doubt_deletion = {gone} AND c.doubt_hash = {hash} \
         AND c.doubt_epoch >= c.rev THEN c.doubt_rev \
         ELSE {later} END AS rev, {hash} AS {hash_name}, {why} AS resend{keys}{columns}",
        kind = judge.kind(delta),
        why = judge.resend(dialect, delta),
        current = judge.current,
        floor = delta.rev_floor,
        hash_name = D::HASH,
        last = dialect.is("m.last"),
        model = dialect.truth("m.nth IS NOT NULL"),
        known = dialect.truth("c.kind <= 1"),
        unsent = dialect.truth("c.kind = 1 AND c.doubt_epoch IS NULL"),
        rejected = dialect.truth("c.rejected_spec IS NOT NULL"),
        doubtful = dialect.truth("c.doubt_epoch IS NOT NULL"),
        gone = dialect.truth("(m.nth IS NULL)"),
        later = dialect.greatest("c.doubt_epoch", "c.rev"),
    )
}
