//! BM9: as many columns and as large records as there may be.

use backflow_core::plan::ModelQuery;
use backflow_core::result::Phase;

use super::Bench;
use crate::data::{Customers, expected};
use crate::ours::Ours;
use crate::report::{Line, rounded};
use crate::taken::compare;

/// Columns of a model at most.
const COLUMNS: u32 = 512;
/// Characters of the one large value: with the others the record is just below 512 KiB.
const LARGE: u32 = 523_000;
/// What a run has by default in a cluster.
const MEMORY: f64 = 128.0;

/// Measures both.
///
/// # Errors
/// Something did not run at all.
pub async fn run(bench: &Bench) -> anyhow::Result<Line> {
    let (wide, large) = (bench.rows / 50, bench.rows / 2000);
    let mut line =
        Line::new("BM9", format!("{wide} rows of {COLUMNS} columns; {large} records of {} KiB", LARGE / 1024));
    Customers::create(&bench.server, "wide", 1).await?;
    let columns: Vec<String> = (2..=COLUMNS).map(|at| format!("'{at}-' || n % 10000 AS column_{at}")).collect();
    // A row of Postgres must fit a page of 8 KiB, short values in it: 15 bytes for each.
    let tables = [
        ("wide", wide, columns.join(", ")),
        ("large", large, format!("repeat(md5(n::text), {LARGE} / 32) AS text, n % 7 AS rest")),
    ];
    let mut most = 0.0_f64;
    for (name, rows, values) in tables {
        let sql = format!(
            "SET ROLE {}; CREATE TABLE {name} AS SELECT n::bigint AS id, {values} FROM generate_series(1, {rows}) AS n",
            crate::data::ROLE
        );
        bench.server.exec("wide", &sql).await?;
        let should = format!("SELECT to_json(id)::text, row_to_json(t)::text FROM {name} AS t");
        let should = expected(&bench.server, "wide", &should, "upsert").await?;
        let key = format!("bench/{name}");
        let mut ours = Ours::new(&bench.operator, &bench.server, "wide", &bench.receiver.url(), &key)?;
        ours.sync.model.query = ModelQuery::Table(name.into());
        let run = ours.next_run();
        let (_, cost) = bench.meter().run(|| ours.start(&run, None)).await?;
        let said = ours.said(&run)?;
        let difference = compare(&should, &bench.receiver.taken().await?);
        if said.result.phase != Phase::Succeeded || !difference.exact() {
            line.wrong(format!("{name}: {:?}, {:?}, {difference}", said.result.phase, said.result.failure));
        }
        line.set(&format!("{name}_s"), rounded(cost.wall_s));
        line.set(&format!("{name}_mib"), rounded(said.rss_mib));
        line.set(&format!("{name}_requests"), cost.requests);
        most = most.max(said.rss_mib);
    }
    line.set("ours_s", rounded(line.number("wide_s") + line.number("large_s")));
    line.set("requests", line.number("wide_requests") + line.number("large_requests"));
    line.set("rss_mib", rounded(most));
    line.at_most("rss_mib", MEMORY, "at most 128 MiB");
    Ok(line)
}
