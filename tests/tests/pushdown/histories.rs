//! Random histories against the oracle.

use backflow_tests::oracle::{World, steps};
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::*;

/// How many histories: each takes about a second on a server.
pub(super) fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}

#[test]
fn every_history_ends_with_what_the_model_has() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let first = runtime.block_on(site());
    let config = Config {
        cases: cases(60),
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&steps(), |steps| {
            runtime.block_on(async {
                let site = first.beside(DiffEngine::Pushdown).await.unwrap();
                World::new(site, false).live(steps).await;
            });
            Ok(())
        })
        .unwrap();
}
