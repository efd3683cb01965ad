//! Random histories against the oracle.

use std::sync::Arc;

use backflow_core::plan::DiffEngine;
use backflow_tests::diff_site::DiffSite;
use backflow_tests::oracle::{World, steps};
use backflow_tests::postgres::PostgresServer;
use proptest::test_runner::{Config, TestRunner};

#[test]
fn every_history_ends_with_what_the_model_has() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (_server, first) = runtime.block_on(async {
        let server = Arc::new(PostgresServer::start().await.unwrap());
        let site = DiffSite::new(&server, DiffEngine::Pushdown).await.unwrap();
        (server, site)
    });
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(60);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    TestRunner::new(config)
        .run(&steps(), |steps| {
            runtime.block_on(async {
                let site = first.beside(DiffEngine::Pushdown).await.unwrap();
                World::new(site).live(steps).await;
            });
            Ok(())
        })
        .unwrap();
}
