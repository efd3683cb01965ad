//! BM7: mapping alone, on one processor: rows in memory become the text of JSON objects.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use backflow_core::cell::{Cell, Column};
use backflow_core::plan::{Field, FieldSource};
use backflow_core::selection::Operation;
use backflow_tests::webhook::Webhook;

use super::Bench;
use crate::canonical;
use crate::measure::median;
use crate::report::{Line, rounded};

/// Columns of the rows that are mapped.
const COLUMNS: [&str; 7] = ["id", "email", "first_name", "last_name", "plan", "mrr_cents", "active"];

/// Destination fields and the columns that they are made of; the eighth is a constant.
const FIELDS: [(&str, &str); 7] = [
    ("userId", "id"),
    ("traits.email", "email"),
    ("traits.firstName", "first_name"),
    ("traits.lastName", "last_name"),
    ("traits.plan", "plan"),
    ("traits.mrr", "mrr_cents"),
    ("traits.active", "active"),
];

/// Rows that are held in memory and mapped again and again.
const ROWS: u64 = 100_000;

/// Measures the mapping.
///
/// # Errors
/// The Mapping does not compile, or a row is refused.
pub fn run(bench: &Bench) -> anyhow::Result<Line> {
    let mut line = Line::new("BM7", format!("mapping alone, {} records of 8 fields, one processor", bench.rows));
    let rows: Vec<Vec<Cell>> = (1..=ROWS.min(bench.rows)).map(row).collect();
    let column = |name: &&str| Column { name: (*name).to_owned(), kind: "text".into() };
    let columns: Vec<Column> = COLUMNS.iter().map(column).collect();
    let mut mapping = Webhook::new("http://127.0.0.1").mapping;
    mapping.fields = fields();
    let compiled = backflow_mapping::compile(&mapping, &columns, None).map_err(|findings| anyhow!("{findings:?}"))?;
    let renderer = compiled.bind(&columns).map_err(|failure| anyhow!("{failure:?}"))?;
    let ours = |cells: &[Cell]| renderer.render(cells, Operation::Upsert).map_err(|rejection| anyhow!("{rejection:?}"));

    for cells in &rows {
        let (mapped, plain) = (ours(cells)?, by_hand(cells));
        if canonical::hash(&mapped)? != canonical::hash(&plain)? {
            line.wrong(format!("a row is mapped to {mapped} instead of {plain}"));
            break;
        }
    }
    let mut seconds = (Vec::new(), Vec::new());
    for _ in 0..bench.repetitions {
        seconds.0.push(timed(&rows, bench.rows, ours)?);
        seconds.1.push(timed(&rows, bench.rows, |cells| Ok(by_hand(cells)))?);
    }
    let (ours_s, floor_s) = (median(seconds.0.iter().copied()), median(seconds.1.iter().copied()));
    line.set("records", bench.rows);
    line.set("ours_s", rounded(ours_s));
    line.set("floor_s", rounded(floor_s));
    line.set("ratio", rounded(ours_s / floor_s));
    line.set("records_per_s", (bench.rows as f64 / ours_s).round());
    line.set("ours", seconds.0);
    line.set("floor", seconds.1);
    line.note("floor: the same objects written by code that knows them");
    if let Some(peers) = &bench.peers {
        let held = u64::try_from(rows.len())?;
        let (segment, first) = peers.segment(&rows_as_json(held)?, bench.rows, bench.repetitions)?;
        for (cells, theirs) in rows.iter().zip(&first) {
            if canonical::hash(&by_hand(cells))? != canonical::hash(theirs)? {
                line.wrong(format!("Segment maps a row to {theirs}"));
                break;
            }
        }
        let ratio = rounded(median(segment.iter().copied()) / ours_s);
        line.set("segment", segment);
        line.set("segment_ratio", ratio);
        line.goal(format!("at least 10 × as fast as @segment/actions-core (is {ratio})"), ratio >= 10.0);
    }
    Ok(line)
}

fn timed(rows: &[Vec<Cell>], count: u64, map: impl Fn(&[Cell]) -> anyhow::Result<String>) -> anyhow::Result<f64> {
    let since = Instant::now();
    for cells in rows.iter().cycle().take(usize::try_from(count)?) {
        black_box(map(black_box(cells))?);
    }
    Ok(since.elapsed().as_secs_f64())
}

fn fields() -> BTreeMap<String, Field> {
    let mut fields: BTreeMap<String, Field> = FIELDS
        .iter()
        .map(|(path, column)| ((*path).to_owned(), FieldSource::Column((*column).to_owned()).into()))
        .collect();
    fields.insert("source".into(), FieldSource::Value("warehouse".into()).into());
    fields
}

pub(super) fn row(n: u64) -> Vec<Cell> {
    let text = |text: String| Cell::Text(text.into());
    vec![
        Cell::Int(n.cast_signed()),
        text(format!("c{n}@example.com")),
        text(if n.is_multiple_of(10) { format!("Zoë {n}") } else { format!("First {n}") }),
        text(format!("Last {n}")),
        if n.is_multiple_of(4) { Cell::Null } else { text(format!("plan {}", n % 4)) },
        Cell::Int((n * 17 % 100_000).cast_signed()),
        Cell::Bool(n.is_multiple_of(3)),
    ]
}

/// The same object by code that knows nothing else.
pub(super) fn by_hand(cells: &[Cell]) -> String {
    let mut out = String::with_capacity(192);
    let value = |name: &str, cell: &Cell, out: &mut String| {
        out.push_str(name);
        match cell {
            Cell::Text(text) => {
                out.push('"');
                out.push_str(text);
                out.push('"');
            }
            Cell::Int(number) => {
                // Writing to a string cannot fail.
                let _ = write!(out, "{number}");
            }
            Cell::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            _ => out.push_str("null"),
        }
    };
    let names = [
        "{\"source\":\"warehouse\",\"userId\":",
        ",\"traits\":{\"email\":",
        ",\"firstName\":",
        ",\"lastName\":",
        ",\"plan\":",
        ",\"mrr\":",
        ",\"active\":",
    ];
    for (name, cell) in names.iter().zip(cells) {
        value(name, cell, &mut out);
    }
    out.push_str("}}");
    out
}

/// The rows as JSON, for a competitor in another language.
fn rows_as_json(count: u64) -> anyhow::Result<String> {
    let mut out = String::new();
    for n in 1..=count {
        let members = COLUMNS.iter().zip(row(n)).map(|(name, cell)| ((*name).to_owned(), cell.to_json()));
        let object: serde_json::Map<String, serde_json::Value> = members.collect();
        writeln!(out, "{}", serde_json::to_string(&object).context("a row as JSON")?)?;
    }
    Ok(out)
}
