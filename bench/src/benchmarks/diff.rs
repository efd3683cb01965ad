//! BM8: finding the changes, and nothing else.
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
use crate::report::{Line, rounded};
use crate::taken::compare;

const SIGABRT: i32 = 6;

/// Measures the diff of one per cent.
///
/// # Errors
/// Something did not run at all.
pub async fn run(bench: &Bench) -> anyhow::Result<Line> {
    let mut line = Line::new("BM8", format!("the diff alone: 1 % of {} rows changed", bench.rows));
    let mut customers = Customers::create(&bench.server, "diff", bench.rows).await?;
    let mut ours = Ours::new(&bench.operator, &bench.server, "diff", &bench.receiver.url(), "bench/diff")?;
    let run = ours.next_run();
    let (ended, _) = bench.meter().run(|| ours.start(&run, None)).await?;
    ensure!(ended.status.success(), "the first sync failed: {:?}", ours.said(&run)?.result.failure);
    keep_hashes(bench).await?;
    let dbt = bench.peers.as_ref().map(|peers| peers.dbt(&bench.server, "diff")).transpose()?;
    let first_snapshot = dbt.as_ref().map(Dbt::snapshot).transpose()?;
    let expected = customers.change(ONE_PERCENT).await?;

    let mut streaming = Vec::new();
    let mut join = Vec::new();
    for _ in 0..bench.repetitions {
        let run = ours.next_run();
        let (ended, cost) = bench.meter().run(|| ours.start(&run, Some("after-extract"))).await?;
        ensure!(ended.status.signal() == Some(SIGABRT), "the run did not reach its failpoint: {ended:?}");
        streaming.push(cost);
        join.push(full_join(bench, expected.len()).await?);
    }
    let run = ours.next_run();
    let (_, _) = bench.meter().run(|| ours.start(&run, None)).await?;
    let difference = compare(&expected, &bench.receiver.taken().await?);
    if ours.said(&run)?.result.phase != Phase::Succeeded || !difference.exact() {
        line.wrong(format!("backflow found other changes: {difference}"));
    }
    let seconds = |costs: &[Cost]| median(costs.iter().map(|cost| cost.wall_s));
    let join_s = median(join.iter().copied());
    line.set("rows", bench.rows);
    line.set("ours_s", rounded(seconds(&streaming)));
    line.set("floor_s", rounded(join_s));
    line.set("ratio", rounded(seconds(&streaming) / join_s));
    line.set("streaming", serde_json::to_value(&streaming)?);
    line.set("full_join_s", join.iter().map(|s| rounded(*s)).collect::<Vec<_>>());
    if let (Some(dbt), Some(first)) = (dbt, first_snapshot) {
        let second = dbt.snapshot()?;
        line.set("dbt_snapshot_s", vec![rounded(first), rounded(second)]);
        line.note(format!(
            "dbt snapshot: {first:.1} s for the first, {second:.1} s for the changes (its start included)"
        ));
    }
    line.note("ours: the Streaming engine, process start and claim included; floor: a FULL JOIN with 64-bit row hashes in Postgres");
    Ok(line)
}

fn row_hash() -> String {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    format!("hash_record_extended(ROW({}), 0)", names.join(", "))
}

/// The state of the plain SQL: a hash for each key.
async fn keep_hashes(bench: &Bench) -> anyhow::Result<()> {
    let sql = format!(
        "CREATE TABLE known WITH (autovacuum_enabled = off) AS SELECT id, {} AS hash FROM {TABLE}; \
         ALTER TABLE known ADD PRIMARY KEY (id)",
        row_hash()
    );
    bench.server.exec("diff", &sql).await?;
    bench.server.exec("diff", "VACUUM (ANALYZE) known").await
}

/// The diff in plain SQL: keys and what became of them. Returns its seconds.
async fn full_join(bench: &Bench, changes: usize) -> anyhow::Result<f64> {
    let sql = format!(
        "CREATE TABLE delta AS SELECT coalesce(now.id, known.id) AS id, now.hash, known.hash AS before \
         FROM (SELECT id, {} AS hash FROM {TABLE}) AS now FULL JOIN known ON known.id = now.id \
         WHERE now.hash IS DISTINCT FROM known.hash",
        row_hash()
    );
    let since = Instant::now();
    bench.server.exec("diff", &sql).await?;
    let seconds = since.elapsed().as_secs_f64();
    let found = bench.server.query("diff", "SELECT count(*)::text FROM delta").await?;
    ensure!(found == [[Some(changes.to_string())]], "the FULL JOIN finds {found:?} of {changes} changes");
    bench.server.exec("diff", "DROP TABLE delta").await?;
    Ok(seconds)
}
