//! Rows of past runs: one object each, a line of JSON. The row of the run that is on is in the head.

use backflow_core::code::Failure;
use backflow_core::state::{KEPT_RUNS, RunRow};
use bytes::Bytes;

use super::chain::tidy;
use super::head::{Stored, damaged};
use super::name;
use super::objects::Objects;

fn folder(state_key: &str) -> String {
    format!("{}/runs", name::part(state_key))
}

/// Writes the row of the run in `stored` down, before a head of another run comes after it. The name has the head's number, and a
/// head does not change: whoever does it, and how often, writes the same.
pub(super) async fn archive(objects: &dyn Objects, stored: &Stored, next: &RunRow) -> Result<(), Failure> {
    let Some(run) = stored.run.as_ref().filter(|run| run.name != next.name) else { return Ok(()) };
    let name = format!(
        "{}/{}-{}-{}.json",
        folder(&stored.state_key),
        name::number(run.number),
        name::number(stored.number),
        name::part(&run.name)
    );
    let mut line = serde_json::to_vec(run).map_err(|_| damaged(&format!("the row of run \"{}\"", run.name)))?;
    line.push(b'\n');
    objects.put(&name, Bytes::from(line)).await
}

/// The row of a run of the state whose newest head is `stored`.
pub(super) async fn find(objects: &dyn Objects, stored: &Stored, run: &str) -> Result<Option<RunRow>, Failure> {
    if stored.head.is_none() {
        return Ok(None);
    }
    if let Some(row) = stored.run.as_ref().filter(|row| row.name == run) {
        return Ok(Some(row.clone()));
    }
    let suffix = format!("-{}.json", name::part(run));
    let rows = objects.list(&folder(&stored.state_key)).await?;
    let newest = rows
        .into_iter()
        .filter_map(|row| match name::numbers::<2>(&row.name)? {
            ([_, head], rest) if rest == suffix && head >= stored.since => Some((head, row.name)),
            _ => None,
        })
        .max();
    let Some((_, name)) = newest else { return Ok(None) };
    let Some(bytes) = objects.get(&name).await? else { return Ok(None) };
    let row = serde_json::from_slice::<RunRow>(&bytes).ok().filter(|row| row.name == run);
    row.map(Some)
        .ok_or_else(|| damaged(&format!("{name} in {} is not the row of a run (it may be deleted)", objects.place())))
}

/// Removes the rows that are older than the list is long, and those of a state that was forgotten.
pub(super) async fn prune(objects: &dyn Objects, stored: &Stored, number: u64) {
    let removed = async {
        let rows = objects.list(&folder(&stored.state_key)).await?;
        let old = rows.into_iter().filter(|row| {
            name::numbers::<2>(&row.name)
                .is_some_and(|([run, head], _)| run <= number.saturating_sub(KEPT_RUNS) || head < stored.since)
        });
        objects.remove(old.map(|row| row.name).collect()).await
    };
    tidy(removed.await);
}
