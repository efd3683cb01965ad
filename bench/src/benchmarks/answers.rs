//! BM12: rows of a REST answer decoded: from the bytes of a service's pages to the engine's encoded rows.

pub use backflow_bench_answers::{Args, SERVICES, Service, serve};
use backflow_bench_answers::{COLUMNS, measure};

use super::Bench;
use crate::measure::median;
use crate::report::{Line, rounded};

/// What one processor has to do in a second.
const GOAL: f64 = 300_000.0;

/// Measures one service.
///
/// # Errors
/// Something did not run at all.
pub async fn run(bench: &Bench, service: Service) -> anyhow::Result<Line> {
    let found = measure(service, bench.rows, bench.repetitions).await?;
    let (name, rows) = (service.name(), found.rows);
    let packed = if service.packs() { ", packed" } else { "" };
    let mut line =
        Line::new("BM12", format!("rows of a REST answer decoded, {name}: {rows} rows × {COLUMNS} columns{packed}"));
    if let Some(wrong) = found.wrong {
        line.wrong(wrong);
    }
    let wall_s = median(found.costs.iter().map(|cost| cost.wall_s));
    let cpu_s = median(found.costs.iter().map(|cost| cost.cpu_s));
    line.set("rows", rows);
    line.set("row_bytes", found.row_bytes);
    line.set("ours_s", rounded(wall_s));
    line.set("ours_cpu_s", rounded(cpu_s));
    line.set("rows_per_s", (rows as f64 / wall_s).round());
    let per_processor = (rows as f64 / cpu_s).round();
    line.set("rows_per_cpu_s", per_processor);
    line.set("ours", found.costs.iter().map(|cost| cost.cpu_s).collect::<Vec<_>>());
    line.goal(format!("{name}: at least 300,000 rows/s of one processor (is {per_processor})"), per_processor >= GOAL);
    Ok(line)
}
