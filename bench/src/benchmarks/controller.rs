//! BM10: the controller with thousands of Mappings, on a real API server.

pub use backflow_bench_controller::Parts;
use backflow_bench_controller::measure;
use serde_json::json;

use crate::report::{Line, rounded};

/// Memory that the design allows.
const MEMORY_MIB: f64 = 100.0;

/// Measures with a tenth of `mappings`, then with all of them.
///
/// # Errors
/// Something did not run at all.
pub async fn run(parts: Parts, mappings: usize) -> anyhow::Result<Line> {
    let few = mappings / 10;
    let mut line = Line::new(
        "BM10",
        format!("controller with {few} and {mappings} Mappings and their finished Syncs, on a real API server"),
    );
    let found = measure(parts, mappings).await?;
    for (when, mib) in &found.resident {
        line.set(&format!("{when}_mib"), rounded(*mib));
    }
    for (due, skew) in &found.skews {
        let [p50, p99, most] = [50, 99, 100].map(|percent| rounded(skew.percentile(percent)));
        line.set(&format!("skew_{due}"), json!({"p50_s": p50, "p99_s": p99, "max_s": most}));
        let (p99, bound) = (skew.percentile(99), if *due <= 100 { 1.0 } else { 10.0 });
        line.goal(format!("p99 of the start skew of {due} is at most {bound} s (is {p99:.2})"), p99 <= bound);
    }
    line.set("peak_mib", rounded(found.peak));
    line.set("rss_mib", line.number("peak_mib"));
    line.at_most("peak_mib", MEMORY_MIB, &format!("at most 100 MiB with {mappings} Mappings, the start included"));
    let growth = found.resident("foreign") - found.resident("restarted");
    line.goal(format!("{mappings} foreign Secrets and Jobs do not make it grow (by {growth:.1} MiB)"), growth < 5.0);
    Ok(line)
}
