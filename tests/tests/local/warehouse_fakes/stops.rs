//! A run that is stopped leaves no query running, and no table that nobody owns.

use backflow_core::code::Code;
use backflow_tests::until;
use backflow_tests::warehouse::Service;

use super::shop::{READ, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_takes_its_query_along_in_snowflake() {
    a_stopped_run_takes_its_query_along(Service::Snowflake).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_takes_its_query_along_in_bigquery() {
    a_stopped_run_takes_its_query_along(Service::BigQuery).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_takes_its_query_along_in_databricks() {
    a_stopped_run_takes_its_query_along(Service::Databricks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_takes_its_query_along_in_clickhouse() {
    a_stopped_run_takes_its_query_along(Service::ClickHouse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_takes_its_query_along_in_azure_sql() {
    a_stopped_run_takes_its_query_along(Service::AzureSql).await;
}

async fn a_stopped_run_takes_its_query_along(service: Service) {
    let shop = Shop::start(service, 50).await;
    shop.fake.hold(READ, None).await.unwrap();
    for (stop, outcome) in [
        ("cancel", (Some(0), "Canceled".to_owned(), Some(Code::Canceled))),
        ("terminate", (Some(143), "Running".to_owned(), Some(Code::Terminated))),
    ] {
        let mut pod = shop.scenario.pod(&format!("run-{stop}")).start().unwrap();
        until("the worker does not read", async || {
            let statements = shop.fake.list("/statements").await.unwrap_or_default();
            statements.iter().any(|statement| statement["held"] == true)
        })
        .await
        .unwrap();
        if stop == "cancel" {
            pod.cancel().await.unwrap();
        } else {
            pod.terminate().unwrap();
        }
        let ended = pod.ended().await.unwrap();
        assert_eq!(ended.outcome().unwrap(), outcome, "{ended:?}");
        shop.clean(&ended);
        shop.left_tidy(stop).await;
    }
    let statements = shop.fake.list("/statements").await.unwrap();
    assert_eq!(statements.iter().filter(|statement| statement["state"] == "CANCELLED").count(), 2);
    assert_eq!(shop.scenario.requests(), 0);

    shop.fake.release().await.unwrap();
    shop.succeed("run-terminate").await;
    assert_eq!(shop.scenario.taken(), shop.customers.all());
}
