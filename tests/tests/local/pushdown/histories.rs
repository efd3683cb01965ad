//! Random histories against the oracle.

use backflow_tests::oracle::{Step, World, config, steps};
use proptest::test_runner::{Config, TestRunner};

use super::*;

/// Lives random histories, `usual` of them: each takes about a second on a server.
pub(super) fn every_history(usual: u32, live: impl AsyncFn(&DiffSite, Vec<Step>)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let first = runtime.block_on(site());
    // To make a failing history shorter, each try takes a second, too.
    let config = Config { max_shrink_iters: 300, ..config(usual) };
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

#[test]
fn every_history_of_records_that_are_found_by_name_ends_so_too() {
    every_history(60, async |first, steps| {
        let site = first.beside(DiffEngine::Pushdown).await.unwrap();
        World::new(site, true).live(steps).await;
    });
}
