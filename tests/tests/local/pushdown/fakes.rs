//! What the tests of all fakes do.

use backflow_core::cell::Cell;
use backflow_tests::fake_site::FakeSite;
use backflow_tests::oracle::World;

use super::histories::every_history;
use super::*;

/// Delivers everything of a run.
pub(super) async fn deliver(site: &FakeSite, run: &str) -> (Findings, Vec<Seen>) {
    deliver_all(site.open_run(run).await.unwrap()).await
}

/// What a run is refused with.
pub(super) async fn refused(site: &FakeSite, run: &str) -> Failure {
    site.open_run(run).await.err().expect("the run is refused")
}

/// Rows of the model: key, name, plan.
pub(super) fn rows(rows: &[(Option<i64>, &str, Option<&str>)]) -> Vec<Vec<Cell>> {
    let text = |text: &str| Cell::Text(text.into());
    rows.iter()
        .map(|(id, name, plan)| vec![id.map_or(Cell::Null, Cell::Int), text(name), plan.map_or(Cell::Null, text)])
        .collect()
}

/// Rows of these keys, with one name and no plan.
pub(super) fn many(ids: impl IntoIterator<Item = i64>, name: &str) -> Vec<Vec<Cell>> {
    ids.into_iter().map(|id| vec![Cell::Int(id), Cell::Text(name.into()), Cell::Null]).collect()
}

/// Lives a random history, of rows by key or of records that are found by name. One only: each statement takes its time in a fake.
pub(super) fn a_history(by_name: bool, site: impl AsyncFnOnce() -> FakeSite) {
    every_history(1, site, async |site, steps| {
        site.renew();
        World::new(site, by_name).live(steps).await;
    });
}
