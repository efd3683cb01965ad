//! State in a table of the warehouse: the conformance of every store.

use backflow_sources::warehouse::open;
use backflow_tests::state_conformance;
use backflow_tests::warehouse::{FakeWarehouse, Service};

#[tokio::test(flavor = "multi_thread")]
async fn state_conforms_in_snowflake() {
    state_conforms(Service::Snowflake).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_conforms_in_bigquery() {
    state_conforms(Service::BigQuery).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_conforms_in_databricks() {
    state_conforms(Service::Databricks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_conforms_in_clickhouse() {
    state_conforms(Service::ClickHouse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_conforms_in_azure_sql() {
    state_conforms(Service::AzureSql).await;
}

async fn state_conforms(service: Service) {
    let fake = FakeWarehouse::start(service, "").await.unwrap();
    let plan = fake.source();
    let one = open(&plan, &fake, "backflow/one").await.unwrap();
    let other = open(&plan, &fake, "backflow/other").await.unwrap();
    state_conformance::check(one.state(), other.state()).await;
    assert_eq!(fake.running().await.unwrap(), Vec::<String>::new());
    let tables = 1 + usize::from(fake.has_turns());
    assert_eq!(fake.list("/tables").await.unwrap().len(), tables, "objects, and turns if it has them");
}
