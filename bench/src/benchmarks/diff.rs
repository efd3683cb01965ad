//! BM8: finding the changes, and nothing else, by both engines.
//!
//! The worker dies at its failpoint `after-extract`: the model is read and compared, nothing is sent, nothing is acknowledged. So each
//! repetition finds the same changes, and a last run that is left alive shows that they are the right ones.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Instant;

use anyhow::ensure;
use backflow_core::result::Phase;

use super::Bench;
use crate::data::{COLUMNS, Customers, ONE_PERCENT, TABLE};
use crate::measure::{Cost, median};
use crate::ours::Ours;
use crate::peers::Dbt;
use crate::place::{Engine, Place, Store};
use crate::report::{Line, rounded};
use crate::taken::compare;

const SIGABRT: i32 = 6;
/// What the goal allows to Pushdown.
const JOIN: f64 = 1.2;

/// What one engine took.
struct Measured {
    engine: Engine,
    costs: Vec<Cost>,
}

/// Measures the diff of one per cent.
///
/// # Errors
/// Something did not run at all.
pub async fn run(bench: &Bench) -> anyhow::Result<Line> {
    let mut line = Line::new("BM8", format!("the diff alone: 1 % of {} rows changed", bench.rows));
    let mut customers = Customers::create(&bench.server, "diff", bench.rows).await?;
    let mut engines = [Engine::Streaming, Engine::Pushdown].map(|engine| Measured { engine, costs: Vec::new() });
    let mut ours = Vec::new();
    for Measured { engine, .. } in &engines {
        let place = Place { engine: *engine, store: Store::Schema };
        let key = format!("bench/diff-{}", place.tag());
        let mut one = Ours::new(&bench.operator, &bench.server, "diff", &bench.receiver.url(), &key)?;
        one.sync.source.diff = place.diff();
        let run = one.next_run();
        let (ended, _) = bench.meter().run(|| one.start(&run, None)).await?;
        ensure!(ended.status.success(), "the first sync failed: {:?}", one.said(&run)?.result.failure);
        ours.push(one);
    }
    keep_hashes(bench).await?;
    let dbt = bench.peers.as_ref().map(|peers| peers.dbt(&bench.server, "diff")).transpose()?;
    let first_snapshot = dbt.as_ref().map(Dbt::snapshot).transpose()?;
    let expected = customers.change(ONE_PERCENT).await?;

    let (mut short, mut join) = (Vec::new(), Vec::new());
    for _ in 0..bench.repetitions {
        for (one, measured) in ours.iter_mut().zip(&mut engines) {
            let run = one.next_run();
            let (ended, cost) = bench.meter().run(|| one.start(&run, Some("after-extract"))).await?;
            ensure!(ended.status.signal() == Some(SIGABRT), "the run did not reach its failpoint: {ended:?}");
            measured.costs.push(cost);
        }
        short.push(full_join(bench, Hash::Short, expected.len()).await?);
        join.push(full_join(bench, Hash::Long, expected.len()).await?);
    }
    for (one, Measured { engine, .. }) in ours.iter_mut().zip(&engines) {
        let run = one.next_run();
        let (_, _) = bench.meter().run(|| one.start(&run, None)).await?;
        let difference = compare(&expected, &bench.receiver.taken().await?);
        if one.said(&run)?.result.phase != Phase::Succeeded || !difference.exact() {
            line.wrong(format!("{engine:?} found other changes: {difference}"));
        }
    }
    let join_s = median(join.iter().copied());
    line.set("rows", bench.rows);
    line.set("floor_s", rounded(join_s));
    line.set("full_join_s", join.iter().map(|s| rounded(*s)).collect::<Vec<_>>());
    line.set("short_hash_join_s", short.iter().map(|s| rounded(*s)).collect::<Vec<_>>());
    for Measured { engine, costs } in &engines {
        let seconds = median(costs.iter().map(|cost| cost.wall_s));
        let (name, ratio) = (format!("{engine:?}").to_lowercase(), rounded(seconds / join_s));
        line.set(&name, serde_json::to_value(costs)?);
        line.set(&format!("{name}_s"), rounded(seconds));
        line.set(&format!("{name}_ratio"), ratio);
        if *engine == Engine::Pushdown {
            line.set("ours_s", rounded(seconds));
            line.set("ratio", ratio);
            line.goal(format!("Pushdown is at most {JOIN} x FULL JOIN (is {ratio})"), seconds <= JOIN * join_s);
        }
    }
    if let (Some(dbt), Some(first)) = (dbt, first_snapshot) {
        let second = dbt.snapshot()?;
        line.set("dbt_snapshot_s", vec![rounded(first), rounded(second)]);
        line.note(format!(
            "dbt snapshot: {first:.1} s for the first, {second:.1} s for the changes (its start included)"
        ));
    }
    line.note("ours: process start and claim included; floor: a FULL JOIN with row hashes of SHA-256 in Postgres, as Pushdown's are");
    Ok(line)
}

/// A row hash of plain SQL.
#[derive(Clone, Copy)]
enum Hash {
    /// The fastest there is; it is not the same on every version of Postgres, and does not know every type.
    Short,
    /// As Pushdown's.
    Long,
}

impl Hash {
    /// The table with the hash of each key.
    const fn table(self) -> &'static str {
        match self {
            Self::Short => "known_short",
            Self::Long => "known_long",
        }
    }

    fn sql(self) -> String {
        let row = COLUMNS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        match self {
            Self::Short => format!("hash_record_extended(ROW({row}), 0)"),
            Self::Long => format!("substring(sha256(record_send(ROW({row}))) FROM 1 FOR 16)"),
        }
    }
}

/// The state of the plain SQL.
async fn keep_hashes(bench: &Bench) -> anyhow::Result<()> {
    for hash in [Hash::Short, Hash::Long] {
        let (table, sql) = (hash.table(), hash.sql());
        let sql = format!(
            "CREATE TABLE {table} WITH (autovacuum_enabled = off) AS SELECT id, {sql} AS hash FROM {TABLE}; \
             ALTER TABLE {table} ADD PRIMARY KEY (id)"
        );
        bench.server.exec("diff", &sql).await?;
        bench.server.exec("diff", &format!("VACUUM (ANALYZE) {table}")).await?;
    }
    Ok(())
}

/// The diff in plain SQL: keys and what became of them. Returns its seconds.
async fn full_join(bench: &Bench, hash: Hash, changes: usize) -> anyhow::Result<f64> {
    let (table, sql) = (hash.table(), hash.sql());
    let sql = format!(
        "CREATE TABLE delta AS SELECT coalesce(now.id, known.id) AS id, now.hash, known.hash AS before \
         FROM (SELECT id, {sql} AS hash FROM {TABLE}) AS now FULL JOIN {table} AS known ON known.id = now.id \
         WHERE now.hash IS DISTINCT FROM known.hash"
    );
    let since = Instant::now();
    bench.server.exec("diff", &sql).await?;
    let seconds = since.elapsed().as_secs_f64();
    let found = bench.server.query("diff", "SELECT count(*)::text FROM delta").await?;
    ensure!(found == [[Some(changes.to_string())]], "the FULL JOIN finds {found:?} of {changes} changes");
    bench.server.exec("diff", "DROP TABLE delta").await?;
    Ok(seconds)
}
