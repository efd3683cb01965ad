//! The worker's program between a fake warehouse and a receiver: what arrives, also after a crash.

use std::collections::BTreeMap;

use backflow_core::result::Phase;
use backflow_tests::customers::deletion;
use backflow_tests::warehouse::Service;
use backflow_tests::worker::{balanced, sorted};

use super::shop::Shop;

const SIGABRT: i32 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn all_then_the_changes_then_nothing_from_snowflake() {
    all_then_the_changes_then_nothing(Service::Snowflake).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_then_the_changes_then_nothing_from_bigquery() {
    all_then_the_changes_then_nothing(Service::BigQuery).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_then_the_changes_then_nothing_from_databricks() {
    all_then_the_changes_then_nothing(Service::Databricks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_then_the_changes_then_nothing_from_clickhouse() {
    all_then_the_changes_then_nothing(Service::ClickHouse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_then_the_changes_then_nothing_from_azure_sql() {
    all_then_the_changes_then_nothing(Service::AzureSql).await;
}

async fn all_then_the_changes_then_nothing(service: Service) {
    let mut shop = Shop::start(service, 300).await;
    let first = shop.succeed("run-1").await;
    assert_eq!(shop.scenario.taken(), shop.customers.all());
    assert_eq!((first.findings.clone().unwrap().added, first.counters.upserted), (300, 300));
    assert!(balanced(&first));
    shop.scenario.requests();

    shop.rename(&[1, 20, 33, 144, 300], "é \"new\" {}").await;
    shop.remove(7, 8).await;
    shop.add(301, 303).await;
    let second = shop.succeed("run-2").await;
    let mut changed = shop.customers.upserts([1, 20, 33, 144, 300, 301, 302, 303]);
    changed.extend([deletion(7), deletion(8)]);
    changed.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(shop.scenario.taken(), changed);
    let found = second.findings.clone().unwrap();
    assert_eq!((found.added, found.updated, found.deleted), (3, 5, 2));
    assert!(balanced(&second));
    shop.scenario.requests();

    let third = shop.succeed("run-3").await;
    assert_eq!((shop.scenario.requests(), third.counters.requests), (0, 0));
    let ledger = shop.scenario.receiver.ledger();
    assert_eq!(ledger.violations, Vec::<String>::new());
    assert_eq!((ledger.summary().repeated, ledger.rows().len()), (0, 301));
    shop.left_tidy("after three runs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_ends_complete_in_snowflake() {
    a_crash_ends_complete(Service::Snowflake).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_ends_complete_in_bigquery() {
    a_crash_ends_complete(Service::BigQuery).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_ends_complete_in_databricks() {
    a_crash_ends_complete(Service::Databricks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_ends_complete_in_clickhouse() {
    a_crash_ends_complete(Service::ClickHouse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_ends_complete_in_azure_sql() {
    a_crash_ends_complete(Service::AzureSql).await;
}

async fn a_crash_ends_complete(service: Service) {
    let mut shop = Shop::start(service, 300).await;
    for failpoint in ["after-send", "inside-commit", "after-commit", "inside-fold"] {
        shop.scenario.sync.mapping.state_key = format!("shop/{failpoint}");
        let died = shop.scenario.pod(failpoint).failpoint(failpoint).start().unwrap().ended().await.unwrap();
        assert_eq!(died.signal, Some(SIGABRT), "{failpoint}: {died:?}");
        let result = shop.succeed(failpoint).await;
        let items = shop.scenario.items();
        let mut keys: BTreeMap<String, &str> = BTreeMap::new();
        for item in &items {
            let key = keys.entry(item.id.to_string()).or_insert(&item.key);
            assert_eq!(*key, item.key, "{failpoint}: sent again with another key");
        }
        let mut once = sorted(&items);
        once.dedup();
        assert_eq!(once, shop.customers.all(), "{failpoint}");
        assert!(balanced(&result) && result.counters.upserted == 300, "{failpoint}: {result:?}");
        shop.scenario.requests();
        shop.succeed(&format!("{failpoint}-after")).await;
        assert_eq!(shop.scenario.requests(), 0, "{failpoint}");
    }
    shop.left_tidy("after crashes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_model_deletes_nothing_until_it_is_approved_in_snowflake() {
    an_emptied_model_deletes_nothing_until_it_is_approved(Service::Snowflake).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_model_deletes_nothing_until_it_is_approved_in_bigquery() {
    an_emptied_model_deletes_nothing_until_it_is_approved(Service::BigQuery).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_model_deletes_nothing_until_it_is_approved_in_databricks() {
    an_emptied_model_deletes_nothing_until_it_is_approved(Service::Databricks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_model_deletes_nothing_until_it_is_approved_in_clickhouse() {
    an_emptied_model_deletes_nothing_until_it_is_approved(Service::ClickHouse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_model_deletes_nothing_until_it_is_approved_in_azure_sql() {
    an_emptied_model_deletes_nothing_until_it_is_approved(Service::AzureSql).await;
}

async fn an_emptied_model_deletes_nothing_until_it_is_approved(service: Service) {
    let mut shop = Shop::start(service, 200).await;
    shop.succeed("run-1").await;
    shop.scenario.taken();
    shop.remove(1, 200).await;
    let result = shop.run("run-2").await.result().unwrap();
    assert_eq!(result.phase, Phase::PartiallySucceeded);
    assert_eq!((result.counters.withheld, result.counters.deleted), (200, 0));
    assert_eq!(shop.scenario.taken(), []);

    shop.scenario.sync.options.approve_deletes = Some(200);
    let result = shop.succeed("run-3").await;
    assert_eq!((result.counters.withheld, result.counters.deleted), (0, 200));
    let mut gone: Vec<_> = (1..=200).map(deletion).collect();
    gone.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(shop.scenario.taken(), gone);
}
