//! Random histories against the oracle.

use std::cell::RefCell;

use backflow_core::plan::ModelQuery;
use backflow_tests::oracle::{Step, World, config, steps};
use proptest::test_runner::{Config, TestRunner};

use super::*;

/// Lives random histories, `usual` of them, on what `site` makes.
pub(super) fn every_history<S>(usual: u32, site: impl AsyncFnOnce() -> S, live: impl AsyncFn(&mut S, Vec<Step>)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let site = RefCell::new(runtime.block_on(site()));
    // To make a failing history shorter, each try takes its time, too.
    let config = Config { max_shrink_iters: 300, ..config(usual) };
    TestRunner::new(config)
        .run(&steps(), |steps| {
            runtime.block_on(live(&mut site.borrow_mut(), steps));
            Ok(())
        })
        .unwrap();
}

/// Begins anew. The model is a query of all rows and the table itself by turns: the rows of a table are counted in another way.
fn renew(site: &mut DiffSite) {
    site.renew();
    site.plan.model.query = match site.plan.model.query {
        ModelQuery::Table(_) => ModelQuery::Sql("SELECT * FROM model".into()),
        ModelQuery::Sql(_) => ModelQuery::Table("model".into()),
    };
}

#[test]
fn every_history_ends_with_what_the_model_has() {
    every_history(60, site, async |site, steps| {
        renew(site);
        World::new(site, false).live(steps).await;
    });
}

#[test]
fn every_history_of_records_that_are_found_by_name_ends_so_too() {
    every_history(60, site, async |site, steps| {
        renew(site);
        World::new(site, true).live(steps).await;
    });
}
