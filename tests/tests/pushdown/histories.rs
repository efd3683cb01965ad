//! Random histories against the oracle.

use backflow_tests::oracle::{Step, World, steps};
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::*;

/// Lives random histories, the same ones in every run: `usual` of them, or as many as `PROPTEST_CASES` says, for each takes about a
/// second on a server.
pub(super) fn every_history(usual: u32, live: impl AsyncFn(&DiffSite, Vec<Step>)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let first = runtime.block_on(site());
    let config = Config {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual),
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&steps(), |steps| {
            runtime.block_on(live(&first, steps));
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_history_ends_with_what_the_model_has() {
    every_history(60, async |first, steps| {
        let site = first.beside(DiffEngine::Pushdown).await.unwrap();
        World::new(site, false).live(steps).await;
    });
}
