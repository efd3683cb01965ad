//! The statement that compares model and entries.

use std::fmt::Write as _;

use super::judge::judged;
use super::{cast, fill, prefixed, same_key, sent};
use crate::diff::pushdown::codes::kind;
use crate::diff::pushdown::dialect::{BUCKET, Delta, Dialect};
use crate::diff::pushdown::statement::Around;
use crate::diff::pushdown::typed::Kind;

/// A column of a row that is no long text is counted as so many bytes.
const SHORT: usize = 8;

/// Columns of a delta beside the key's and the row's, in their order; the row hash has a name of the dialect's.
pub(super) const DELTA: [&str; 25] = [
    "kind",
    "place",
    "entry_born",
    "entry_place",
    "spec",
    "sent",
    "counted",
    "model",
    "known",
    "unsent",
    "rejected",
    "doubtful",
    "rev",
    HASH,
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

/// Stands for the name of the row hash.
pub(super) const HASH: &str = "hash";

/// Columns of what was found that a delta has not.
pub(in super::super) const FOUND: [&str; 6] =
    ["stands", "was_duplicate", "gone_again", "other_rev", "remembers", "delivered"];

/// The whole statement, around the model.
pub(in super::super) fn delta<D: Dialect, W>(dialect: &D, delta: &Delta<'_, W>) -> Around {
    let names = delta.names;
    let same = same_key(names, "c", "m");
    let mut shown = format!("j.kind NOT IN ({}, {})", kind::UNCHANGED, kind::NOTHING);
    if delta.exact {
        shown.push_str(" OR j.copies > 1");
    }
    let mut overwritten = String::new();
    if delta.identifies {
        let _ = write!(shown, " OR {}", dialect.is("j.overwritten"));
        let held = &names.held;
        let _ = write!(
            overwritten,
            "\nLEFT JOIN {held} AS own ON own.born = c.born AND own.place = c.place AND own.record = c.record \
             LEFT JOIN (SELECT record, max(epoch) AS epoch FROM {held} AS h GROUP BY record) AS last ON last.record = c.record"
        );
    }
    let create = dialect.create_as(if delta.is_staged() { &names.found } else { &names.delta });
    let (model, end) = model(dialect, delta);
    let joined = format!(
        "{end}\n) AS m FULL JOIN {} AS c ON {same}{overwritten}\n) AS j WHERE {shown} OR j.counted IS NOT NULL\n) AS x",
        names.entries
    );
    let beside = delta.counts_beside();
    Around {
        before: format!(
            "{create}\n{}\nFROM (\n{}\nFROM (\n{}\nFROM (\n{model}\nFROM ",
            numbered(dialect, delta),
            kept(dialect, delta),
            judged(dialect, delta),
        ),
        between: beside.then(|| format!("{joined}\nUNION ALL\n{}\nFROM ", count(dialect, delta))),
        after: if beside { String::new() } else { joined },
    }
}

/// A row of the delta that says how many rows the model has, and nothing else.
fn count<D: Dialect, W>(dialect: &D, delta: &Delta<'_, W>) -> String {
    let no = dialect.boolean(false);
    let value = |name: &str| match name {
        "place" => "-1".to_owned(),
        "counted" => "count(*)".to_owned(),
        "kind" => cast(dialect, &kind::UNCHANGED.to_string(), Kind::Small),
        "entry_born" | "entry_place" | "spec" | "rev" | "size" => "0".to_owned(),
        HASH | "resend" | "record" | "match_key" | "group_key" | "remote_id" => "NULL".to_owned(),
        _ => no.to_owned(),
    };
    let more: &[&str] = if delta.is_staged() { &FOUND } else { &[] };
    let mut values: Vec<String> = DELTA.into_iter().map(value).collect();
    values.extend(
        more.iter().map(|name| if ["stands", "other_rev"].contains(name) { "NULL".into() } else { value(name) }),
    );
    values.resize(values.len() + delta.names.key_names().count() + delta.row, "NULL".to_owned());
    format!("SELECT {}", values.join(", "))
}

/// The rows of the model with keys and hashes: what stands before its `FROM`, and after all of it.
fn model<D: Dialect, W>(dialect: &D, delta: &Delta<'_, W>) -> (String, String) {
    let raw = |at: usize| format!("_m.{}", dialect.quote(&delta.columns[at].name));
    let mut values = Vec::new();
    for (at, column) in delta.columns.iter().enumerate() {
        let value = if D::READS_EARLY { fill(&column.read, &raw(at)) } else { raw(at) };
        values.push(format!("{value} AS c{}", at + 1));
    }
    let keys: Vec<String> = delta.key.iter().map(|at| fill(&delta.columns[*at].key.expression, &raw(*at))).collect();
    values.extend(keys.iter().zip(&delta.names.keys).map(|(key, column)| format!("{key} AS {}", column.name)));
    for (number, (_, columns)) in delta.specs.iter().enumerate() {
        let hashed: Vec<String> = columns.iter().map(|at| fill(&delta.columns[*at].hash, &raw(*at))).collect();
        values.push(format!("{} AS h{number}", dialect.row_hash(&hashed)));
    }
    let values = values.join(", ");
    // A last row is always in the delta, and says how many there were.
    let counted = |keys: &[String]| {
        if delta.counts_beside() {
            return format!("1 AS nth, {} AS last", dialect.boolean(false));
        }
        let copies = delta.exact.then(|| format!(", count(*) OVER (PARTITION BY {}) AS copies", keys.join(", ")));
        format!("{}{}", dialect.counted(keys), copies.unwrap_or_default())
    };
    match D::APART {
        None => (format!("SELECT {values}, {}", counted(&keys)), String::new()),
        Some(apart) => {
            let keys: Vec<String> = delta.names.key_names().map(|name| format!("w.{name}")).collect();
            (format!("SELECT w.*, {}\nFROM (\nSELECT {values}", counted(&keys)), format!("\n{apart}\n) AS w"))
        }
    }
}

/// What of it is kept, with the row only where it is sent, or where the worker has to look at it.
fn kept<D: Dialect, W>(dialect: &D, delta: &Delta<'_, W>) -> String {
    let keys = prefixed("j", delta.names.key_names());
    // A bucket is chosen by the key alone, so that its rows can be numbered without looking at other buckets.
    let bucket = dialect.bucket(&delta.names.key_names().map(|name| format!("j.{name}")).collect::<Vec<_>>());
    let sent = if delta.is_staged() {
        format!("{} AND j.kind <> {}", dialect.is("j.model"), kind::NULL_KEY)
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
                let _ =
                    write!(size, " + {}", cast(dialect, &format!("coalesce({}, 0)", fill(length, &raw)), Kind::Big));
            }
            None => short += SHORT,
        }
        let value = if D::READS_EARLY { raw } else { fill(&column.read, &raw) };
        let _ = write!(row, ", CASE WHEN {sent} THEN {value} END AS p{}", at + 1);
    }
    let more: String =
        if delta.is_staged() { FOUND.iter().map(|name| format!("j.{name}, ")).collect() } else { String::new() };
    format!(
        "SELECT j.kind, j.counted, j.model, j.born, j.place, j.known, j.unsent, j.rejected, j.doubtful, {more}j.rev, j.{hash}, j.resend, \
         {bucket} AS bucket, CASE WHEN {sent} THEN {short}{size} ELSE 0 END AS size, {keys}{row}",
        hash = D::HASH,
    )
}

/// The columns of the delta, or of what it is made of.
fn numbered<D: Dialect, W>(dialect: &D, delta: &Delta<'_, W>) -> String {
    let keys = prefixed("x", delta.names.key_names());
    let bucket = dialect.big(BUCKET);
    let place = format!("x.bucket * {bucket} + row_number() OVER (PARTITION BY x.bucket ORDER BY {keys})");
    let of_model = dialect.is("x.model");
    let copies = format!("{} OVER (PARTITION BY x.bucket, {keys})", dialect.count_if(&of_model));
    let row: String = (1..=delta.row).map(|at| format!(", x.p{at}")).collect();
    let more: String =
        if delta.is_staged() { FOUND.iter().map(|name| format!("x.{name}, ")).collect() } else { String::new() };
    let kind = format!(
        "CASE WHEN {of_model} AND x.kind <> {null_key} AND {copies} > 1 THEN {duplicate} ELSE x.kind END",
        null_key = kind::NULL_KEY,
        duplicate = kind::DUPLICATE_KEY,
    );
    let text = cast(dialect, "NULL", Kind::Text);
    format!(
        "SELECT {kind} AS kind, \
         {place} AS place, coalesce(x.born, {epoch}) AS entry_born, coalesce(x.place, {place}) AS entry_place, \
         {spec} AS spec, {sent} AS sent, x.counted, x.model, x.known, x.unsent, x.rejected, x.doubtful, x.rev, x.{hash}, x.resend, x.size, \
         {text} AS record, {text} AS match_key, {text} AS group_key, {text} AS remote_id, \
         {no} AS duplicate, {no} AS waits, {no} AS extra, {no} AS moved, {no} AS superseded, {more}{keys}{row}",
        kind = cast(dialect, &kind, Kind::Small),
        sent = dialect.truth(&sent(dialect, delta.sent, "x.kind", "x.unsent")),
        no = dialect.boolean(false),
        epoch = delta.epoch,
        spec = delta.specs.first().map_or(0, |(id, _)| *id),
        hash = D::HASH,
    )
}
