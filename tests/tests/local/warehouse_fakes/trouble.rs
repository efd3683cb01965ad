//! A service with trouble: each kind has its code, nothing is lost, and no credential is told.

use backflow_core::code::Code;
use backflow_core::plan::ModelQuery;
use backflow_tests::warehouse::Service;
use serde_json::{Value, json};

use super::shop::{READ, Shop};

/// Rows of a page: the model has some.
const PAGE: u32 = 100;

/// A run in this trouble, which it overcomes by itself.
async fn overcomes(shop: &mut Shop, name: &str, fault: Value) {
    shop.rename(&[1, 150, 299], name).await;
    shop.fake.fault(fault).await.unwrap();
    let result = shop.succeed(name).await;
    assert_eq!(result.counters.upserted, 3, "{name}");
    assert_eq!(shop.scenario.taken(), shop.upserts([1, 150, 299]), "{name}");
    assert!(shop.fake.struck().await.unwrap().iter().all(|struck| *struck > 0), "{name}: the fault struck nothing");
    shop.fake.calm().await.unwrap();
}

/// A run in this trouble, which ends with this code; the next one, without it, delivers everything.
async fn fails(shop: &mut Shop, name: &str, fault: Value, code: Code) {
    shop.fake.fault(fault).await.unwrap();
    refused(shop, name, code).await;
    shop.fake.calm().await.unwrap();
    cured(shop, name).await;
}

async fn refused(shop: &mut Shop, name: &str, code: Code) {
    shop.rename(&[2, 77], name).await;
    let ended = shop.run(name).await;
    let (_, phase, found) = ended.outcome().unwrap();
    assert_eq!((phase.as_str(), found), ("Failed", Some(code)), "{name}: {}", ended.message);
    assert_eq!(shop.scenario.taken(), [], "{name}");
}

async fn cured(shop: &mut Shop, name: &str) {
    shop.succeed(&format!("{name}-cured")).await;
    assert_eq!(shop.scenario.taken(), shop.upserts([2, 77]), "{name}");
}

/// The field `name` of a fault.
fn with(mut fault: Value, name: &str, value: Value) -> Value {
    fault[name] = value;
    fault
}

/// What passes by itself. `submit` and `page`: paths of a request that starts a query, and of one that reads a page; `before`: requests
/// of a run with that path before the second page.
async fn what_passes(shop: &mut Shop, submit: &str, page: &str, before: u32) {
    shop.succeed("before").await;
    assert_eq!(shop.scenario.taken(), shop.all());
    let post = |kind: &str| json!({"kind": kind, "method": "POST", "path": submit});
    let read = |kind: &str| json!({"kind": kind, "method": "GET", "path": page, "skip": before, "times": 2, "afterBytes": 300});
    let throttled = with(with(post("throttle"), "retryAfter", json!(1)), "times", json!(2));
    overcomes(shop, "throttled", throttled).await;
    overcomes(shop, "unavailable", post("unavailable")).await;
    overcomes(shop, "gateway-page", post("html")).await;
    overcomes(shop, "refused", post("refuse")).await;
    overcomes(shop, "lost-answer", with(post("reset"), "afterBytes", json!(0))).await;
    let claim = with(with(post("reset"), "afterBytes", json!(0)), "body", json!("BEGIN TRANSACTION|MERGE INTO"));
    overcomes(shop, "lost-answer-to-a-claim", claim).await;
    overcomes(shop, "token-expired", post("unauthorized")).await;
    overcomes(shop, "reset-in-a-page", read("reset")).await;
    overcomes(shop, "truncated-page", read("truncate")).await;

    shop.fake.hold(READ, Some(3)).await.unwrap();
    shop.rename(&[5], "a query that takes long").await;
    shop.succeed("long").await;
    assert_eq!(shop.scenario.taken(), shop.upserts([5]));
    shop.fake.release().await.unwrap();
    shop.left_tidy("after what passes").await;
}

/// What does not, whatever the service. `submit` as there.
async fn what_lasts(shop: &mut Shop, submit: &str) {
    shop.succeed("before").await;
    assert_eq!(shop.scenario.taken(), shop.all());
    let always = |kind: &str| json!({"kind": kind, "method": "POST", "path": submit, "times": null});
    let zero = with(always("throttle"), "retryAfter", json!(0));
    fails(shop, "always-throttled", zero, Code::WarehouseUnavailable).await;
    fails(shop, "revoked", always("unauthorized"), Code::AuthenticationFailed).await;
    fails(shop, "login-page", with(always("html"), "status", json!(200)), Code::ConnectionFailed).await;
}

const SNOWFLAKE: &str = "^/api/v2/statements$";
const BIGQUERY: &str = "/queries$";

#[tokio::test(flavor = "multi_thread")]
async fn trouble_of_snowflake_that_passes() {
    let mut shop = Shop::start(Service::Snowflake, 3 * PAGE).await;
    shop.fake.settings(json!({"partitionRows": PAGE})).await.unwrap();
    what_passes(&mut shop, SNOWFLAKE, "^/api/v2/statements/", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_of_bigquery_that_passes() {
    let mut shop = Shop::start(Service::BigQuery, 3 * PAGE).await;
    shop.fake.settings(json!({"pageRows": PAGE})).await.unwrap();
    what_passes(&mut shop, BIGQUERY, "/queries/", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_of_snowflake_that_lasts() {
    let mut shop = Shop::start(Service::Snowflake, 3 * PAGE).await;
    shop.fake.settings(json!({"partitionRows": PAGE})).await.unwrap();
    what_lasts(&mut shop, SNOWFLAKE).await;

    shop.fake.settings(json!({"warehouse": {"running": false, "autoResume": false}})).await.unwrap();
    refused(&mut shop, "suspended", Code::PermissionDenied).await;
    shop.fake.settings(json!({"warehouse": {"autoResume": true}})).await.unwrap();
    cured(&mut shop, "suspended").await;
    shop.fake.settings(json!({"deny": ["SHOP.PUBLIC.CUSTOMERS"]})).await.unwrap();
    refused(&mut shop, "denied", Code::TableNotFound).await;
    shop.fake.settings(json!({"deny": []})).await.unwrap();
    cured(&mut shop, "denied").await;
    // A page that has a row less than its result told.
    shop.fake.settings(json!({"shortPartition": 1})).await.unwrap();
    refused(&mut shop, "short-page", Code::ConnectionFailed).await;
    shop.fake.settings(json!({"shortPartition": null})).await.unwrap();
    cured(&mut shop, "short-page").await;
    shop.left_tidy("after what lasts").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_of_bigquery_that_lasts() {
    let mut shop = Shop::start(Service::BigQuery, PAGE).await;
    what_lasts(&mut shop, BIGQUERY).await;

    shop.fake.settings(json!({"deny": ["shop.customers"]})).await.unwrap();
    refused(&mut shop, "denied", Code::PermissionDenied).await;
    shop.fake.settings(json!({"deny": []})).await.unwrap();
    cured(&mut shop, "denied").await;
    shop.left_tidy("after what lasts").await;
}

const DATABRICKS: &str = "^/api/2.0/sql/statements/?$";

#[tokio::test(flavor = "multi_thread")]
async fn trouble_of_databricks_that_passes() {
    let mut shop = Shop::start(Service::Databricks, 3 * PAGE).await;
    shop.fake.settings(json!({"chunkRows": PAGE})).await.unwrap();
    // The pages are behind links.
    what_passes(&mut shop, DATABRICKS, "^/bucket/", 1).await;
    let chunk = json!({"kind": "unavailable", "method": "GET", "path": "/result/chunks/", "times": 2});
    overcomes(&mut shop, "chunk-unavailable", chunk).await;
    shop.fake.hold(READ, Some(2)).await.unwrap();
    let look = json!({"kind": "truncate", "method": "GET", "path": "/statements/[^/]+$", "afterBytes": 20, "times": 2});
    overcomes(&mut shop, "look-broken", look).await;
    shop.fake.release().await.unwrap();

    // A run wakes the warehouse up.
    shop.fake.settings(json!({"warehouse": {"running": false}})).await.unwrap();
    shop.rename(&[1, 150, 299], "awake").await;
    shop.succeed("stopped").await;
    assert_eq!(shop.scenario.taken(), shop.upserts([1, 150, 299]));
    shop.left_tidy("after what passes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_of_databricks_that_lasts() {
    let mut shop = Shop::start(Service::Databricks, 3 * PAGE).await;
    shop.fake.settings(json!({"chunkRows": PAGE})).await.unwrap();
    what_lasts(&mut shop, DATABRICKS).await;
    let stored = json!({"kind": "html", "path": "^/bucket/", "status": 403, "times": null});
    fails(&mut shop, "storage-forbidden", stored, Code::ConnectionFailed).await;

    for (name, code, trouble, none) in [
        ("denied", Code::PermissionDenied, json!({"deny": ["workspace.shop.customers"]}), json!({"deny": []})),
        ("state-denied", Code::PermissionDenied, json!({"deny": ["workspace._backflow.objects"]}), json!({"deny": []})),
        ("truncated", Code::LimitExceeded, json!({"truncateRows": 50}), json!({"truncateRows": null})),
    ] {
        shop.fake.settings(trouble).await.unwrap();
        refused(&mut shop, name, code).await;
        shop.fake.settings(none).await.unwrap();
        cured(&mut shop, name).await;
    }
    shop.scenario.sync.model.query = ModelQuery::Sql("SELECT id, name, plan, score FROM customers".into());
    shop.fake.sql("ALTER TABLE customers RENAME COLUMN plan TO tier").await.unwrap();
    refused(&mut shop, "renamed", Code::ColumnNotFound).await;
    shop.fake.sql("ALTER TABLE customers RENAME COLUMN tier TO plan").await.unwrap();
    cured(&mut shop, "renamed").await;
    shop.left_tidy("after what lasts").await;

    shop.fake.sql("DROP TABLE _backflow.objects").await.unwrap();
    shop.succeed("state-dropped").await;
    assert_eq!(shop.scenario.taken(), shop.all(), "a state that is gone is made again, and everything is sent");
}
