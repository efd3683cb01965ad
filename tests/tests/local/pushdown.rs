//! The pushdown engine on a real Postgres: random histories, alone and beside the streaming engine, and what only a server can show.

/// A test of each of these functions, on a site of its own.
macro_rules! each_on {
    ($on:ident: $site:path, $of:ident: [$($name:ident),* $(,)?]) => {
        mod $on {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    let site = $site().await;
                    let guard = site.guard();
                    super::super::$of::$name(site).await;
                    assert_eq!(guard.map(|guard| guard.refused()).unwrap_or_default(), Vec::<String>::new());
                }
            )*
        }
    };
}

mod azuresql;
mod bigquery;
mod databricks;
mod fakes;
mod faults;
mod histories;
mod life;
mod records;
mod redshift;
mod snowflake;
mod twins;
mod values;

use std::sync::Arc;

use backflow_core::change::{Change, ChangeKind, Memory};
use backflow_core::code::{Code, Failure};
use backflow_core::encode::EncodedRow;
use backflow_core::extraction::{Ack, Extraction, Findings, Verdict};
use backflow_core::plan::DiffEngine;
use backflow_core::result::{Counters, Phase};
use backflow_tests::diff_site::DiffSite;
use backflow_tests::postgres::PostgresServer;

/// A server, and a site of the pushdown engine on it.
async fn site() -> DiffSite {
    let server = Arc::new(PostgresServer::start().await.unwrap());
    DiffSite::new(&server, DiffEngine::Pushdown).await.unwrap()
}

/// A change, as far as a test looks at it: kind, key as JSON, row as JSON.
type Seen = (ChangeKind, String, Vec<String>);

/// The order of delivery.
const KINDS: [ChangeKind; 3] = [ChangeKind::Deleted, ChangeKind::Updated, ChangeKind::Added];

fn seen(change: &Change) -> Seen {
    let mut key = String::new();
    change.key.write_json(&mut key);
    let json = |cell: &backflow_core::cell::Cell| {
        let mut out = String::new();
        cell.write_json(&mut out);
        out
    };
    (change.kind, key, change.row.cells().iter().map(json).collect())
}

/// The next changes of any kind.
async fn page(extraction: &mut dyn Extraction, max: usize) -> Result<Vec<Change>, Failure> {
    for kind in KINDS {
        let page = extraction.next_page(kind, max).await?;
        if !page.is_empty() {
            return Ok(page);
        }
    }
    Ok(Vec::new())
}

fn delivered(change: Change) -> Ack {
    Ack { change: Change { row: EncodedRow::default(), ..change }, verdict: Verdict::Delivered(Memory::default()) }
}

/// Delivers everything of a run; returns what was found and what was sent, in the order of keys.
async fn deliver(site: &DiffSite, run: &str) -> (Findings, Vec<Seen>) {
    deliver_all(site.open_run(run).await.unwrap()).await
}

/// The same of a run that is open.
async fn deliver_all(mut extraction: Box<dyn Extraction>) -> (Findings, Vec<Seen>) {
    let found = extraction.findings().clone();
    let mut sent = Vec::new();
    loop {
        let changes = page(&mut *extraction, 100).await.unwrap();
        if changes.is_empty() {
            break;
        }
        sent.extend(changes.iter().map(seen));
        extraction.commit(changes.into_iter().map(delivered).collect(), &Counters::default()).await.unwrap();
    }
    extraction.finish(&Counters::default(), Phase::Succeeded).await.unwrap();
    sent.sort();
    (found, sent)
}

/// The code that a run is refused with.
async fn refused(site: &DiffSite, run: &str) -> Failure {
    site.open_run(run).await.err().expect("the run is refused")
}

fn is(failure: &Failure, code: Code, words: &[&str]) {
    assert_eq!(failure.code, code, "{failure}");
    for word in words {
        assert!(failure.message.contains(word), "{failure} says nothing of {word}");
    }
}
