//! A service with trouble: each kind has its code, nothing is lost, and no credential is told.

use backflow_core::code::Code;
use backflow_core::plan::ModelQuery;
use backflow_tests::warehouse::Service;
use serde_json::{Value, json};

use super::shop::{READ, Shop};

/// Rows of a page: the model has some.
const PAGE: u32 = 100;

/// A run in this trouble, which it overcomes by itself.
pub(super) async fn overcomes(shop: &mut Shop, name: &str, fault: Value) {
    shop.rename(&[1, 150, 299], name).await;
    shop.fake.fault(fault).await.unwrap();
    let result = shop.succeed(name).await;
    assert_eq!(result.counters.upserted, 3, "{name}");
    assert_eq!(shop.scenario.taken(), shop.customers.upserts([1, 150, 299]), "{name}");
    assert!(shop.fake.struck().await.unwrap().iter().all(|struck| *struck > 0), "{name}: the fault struck nothing");
    shop.fake.calm().await.unwrap();
}

/// A run in this trouble, which ends with this code; the next one, without it, delivers everything.
pub(super) async fn fails(shop: &mut Shop, name: &str, fault: Value, code: Code) {
    shop.fake.fault(fault).await.unwrap();
    refused(shop, name, code).await;
    shop.fake.calm().await.unwrap();
    cured(shop, name).await;
}

/// The same of what the service is set to.
pub(super) async fn fails_with(shop: &mut Shop, name: &str, set: Value, reset: Value, code: Code) {
    shop.fake.settings(set).await.unwrap();
    refused(shop, name, code).await;
    shop.fake.settings(reset).await.unwrap();
    cured(shop, name).await;
}

pub(super) async fn refused(shop: &mut Shop, name: &str, code: Code) {
    shop.rename(&[2, 77], name).await;
    let ended = shop.run(name).await;
    let (_, phase, found) = ended.outcome().unwrap();
    assert_eq!((phase.as_str(), found), ("Failed", Some(code)), "{name}: {}", ended.message);
    assert_eq!(shop.scenario.taken(), [], "{name}");
}

pub(super) async fn cured(shop: &mut Shop, name: &str) {
    shop.succeed(&format!("{name}-cured")).await;
    assert_eq!(shop.scenario.taken(), shop.customers.upserts([2, 77]), "{name}");
}

/// The field `name` of a fault.
fn with(mut fault: Value, name: &str, value: Value) -> Value {
    fault[name] = value;
    fault
}

/// What passes by itself. `submit`: the path of a request that starts a query; `claim`: what the one says that claims the state; `lost`:
/// what one says whose answer may be lost.
async fn what_passes(shop: &mut Shop, submit: &str, claim: &str, lost: &str) {
    shop.succeed("before").await;
    assert_eq!(shop.scenario.taken(), shop.customers.all());
    let post = |kind: &str| json!({"kind": kind, "method": "POST", "path": submit});
    let throttled = with(with(post("throttle"), "retryAfter", json!(1)), "times", json!(2));
    overcomes(shop, "throttled", throttled).await;
    overcomes(shop, "unavailable", post("unavailable")).await;
    overcomes(shop, "gateway-page", post("html")).await;
    overcomes(shop, "refused", post("refuse")).await;
    let loses = |body: &str| with(with(post("reset"), "afterBytes", json!(0)), "body", json!(body));
    overcomes(shop, "lost-answer", loses(lost)).await;
    overcomes(shop, "lost-answer-to-a-claim", loses(claim)).await;

    shop.fake.hold(READ, Some(3)).await.unwrap();
    shop.rename(&[5], "a query that takes long").await;
    shop.succeed("long").await;
    assert_eq!(shop.scenario.taken(), shop.customers.upserts([5]));
    shop.fake.release().await.unwrap();
    shop.left_tidy("after what passes").await;
}

/// What passes where a token runs out, and a result is kept as pages. `submit` as there; `page`: the path of a request that reads a page;
/// `before`: requests of a run with that path before the second page.
async fn what_passes_in_pages(shop: &mut Shop, submit: &str, page: &str, before: u32) {
    let read = |kind: &str| json!({"kind": kind, "method": "GET", "path": page, "skip": before, "times": 2, "afterBytes": 300});
    overcomes(shop, "token-expired", json!({"kind": "unauthorized", "method": "POST", "path": submit})).await;
    overcomes(shop, "reset-in-a-page", read("reset")).await;
    overcomes(shop, "truncated-page", read("truncate")).await;
    shop.left_tidy("after what passes in pages").await;
}

/// What does not, whatever the service. `submit` as there.
async fn what_lasts(shop: &mut Shop, submit: &str) {
    shop.succeed("before").await;
    assert_eq!(shop.scenario.taken(), shop.customers.all());
    let always = |kind: &str| json!({"kind": kind, "method": "POST", "path": submit, "times": null});
    let zero = with(always("throttle"), "retryAfter", json!(0));
    fails(shop, "always-throttled", zero, Code::WarehouseUnavailable).await;
    fails(shop, "revoked", always("unauthorized"), Code::AuthenticationFailed).await;
    fails(shop, "login-page", with(always("html"), "status", json!(200)), Code::ConnectionFailed).await;
}

const SNOWFLAKE: &str = "^/api/v2/statements$";
const BIGQUERY: &str = "/queries$";
const CLICKHOUSE: &str = "^/$";
/// How the services claim the state that have transactions.
const TRANSACTION: &str = "BEGIN TRANSACTION";

#[tokio::test(flavor = "multi_thread")]
async fn trouble_of_snowflake_that_passes() {
    let mut shop = Shop::start(Service::Snowflake, 3 * PAGE).await;
    shop.fake.settings(json!({"partitionRows": PAGE})).await.unwrap();
    what_passes(&mut shop, SNOWFLAKE, TRANSACTION, "").await;
    what_passes_in_pages(&mut shop, SNOWFLAKE, "^/api/v2/statements/", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_of_bigquery_that_passes() {
    let mut shop = Shop::start(Service::BigQuery, 3 * PAGE).await;
    shop.fake.settings(json!({"pageRows": PAGE})).await.unwrap();
    what_passes(&mut shop, BIGQUERY, TRANSACTION, "").await;
    what_passes_in_pages(&mut shop, BIGQUERY, "/queries/", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_of_snowflake_that_lasts() {
    let mut shop = Shop::start(Service::Snowflake, 3 * PAGE).await;
    shop.fake.settings(json!({"partitionRows": PAGE})).await.unwrap();
    what_lasts(&mut shop, SNOWFLAKE).await;

    let (set, reset) =
        (json!({"warehouse": {"running": false, "autoResume": false}}), json!({"warehouse": {"autoResume": true}}));
    fails_with(&mut shop, "suspended", set, reset, Code::PermissionDenied).await;
    let (set, reset) = (json!({"deny": ["SHOP.PUBLIC.CUSTOMERS"]}), json!({"deny": []}));
    fails_with(&mut shop, "denied", set, reset, Code::TableNotFound).await;
    // A page that has a row less than its result told.
    let (set, reset) = (json!({"shortPartition": 1}), json!({"shortPartition": null}));
    fails_with(&mut shop, "short-page", set, reset, Code::ConnectionFailed).await;
    shop.left_tidy("after what lasts").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_of_bigquery_that_lasts() {
    let mut shop = Shop::start(Service::BigQuery, PAGE).await;
    what_lasts(&mut shop, BIGQUERY).await;

    let (set, reset) = (json!({"deny": ["shop.customers"]}), json!({"deny": []}));
    fails_with(&mut shop, "denied", set, reset, Code::PermissionDenied).await;
    shop.left_tidy("after what lasts").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_of_clickhouse_that_passes() {
    let mut shop = Shop::start(Service::ClickHouse, 3 * PAGE).await;
    // A claim that is done already is not done twice.
    what_passes(&mut shop, CLICKHOUSE, "^INSERT INTO .*/head/", READ).await;

    // Another type is another value.
    let score = "ALTER TABLE shop.customers MODIFY COLUMN score Nullable(String) SETTINGS mutations_sync = 1;";
    shop.fake.sql(score).await.unwrap();
    assert!(shop.succeed("another-type").await.findings.unwrap().updated > 2 * u64::from(PAGE));
    shop.scenario.taken();
    // A state that somebody dropped is begun anew.
    shop.fake.sql("DROP DATABASE _backflow;").await.unwrap();
    assert_eq!(shop.succeed("dropped-state").await.findings.unwrap().added, u64::from(3 * PAGE));
    shop.left_tidy("after a dropped state").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_of_clickhouse_that_lasts() {
    let mut shop = Shop::start(Service::ClickHouse, 3 * PAGE).await;
    what_lasts(&mut shop, CLICKHOUSE).await;

    // Rows are not kept: what breaks off within them is for the next attempt.
    for kind in ["reset", "truncate"] {
        let fault = json!({"kind": kind, "method": "POST", "body": READ, "afterBytes": 900});
        fails(&mut shop, kind, fault, Code::ConnectionFailed).await;
    }
    for (form, code, found) in [
        ("text", 241, Code::WarehouseUnavailable),
        ("member", 395, Code::SqlError),
        ("tagged", 159, Code::WarehouseUnavailable),
    ] {
        let fail = json!({"rows": PAGE, "code": code, "form": form});
        fails_with(&mut shop, form, json!({"fail": fail}), json!({"fail": null}), found).await;
    }
    let (denied, none) = (json!({"deny": ["shop.customers"]}), json!({"deny": []}));
    fails_with(&mut shop, "denied", denied, none, Code::PermissionDenied).await;
    for (name, profile) in [("no-formats", 1), ("only-reads", 2)] {
        let (set, reset) = (json!({"profile": profile}), json!({"profile": 0}));
        fails_with(&mut shop, name, set, reset, Code::PermissionDenied).await;
    }
    shop.fake.sql("RENAME TABLE shop.customers TO shop.clients;").await.unwrap();
    let ended = shop.run("no-table").await;
    assert_eq!(ended.outcome().unwrap().2, Some(Code::TableNotFound), "{}", ended.message);
    shop.fake.sql("RENAME TABLE shop.clients TO shop.customers;").await.unwrap();
    shop.left_tidy("after what lasts").await;
}

const DATABRICKS: &str = "^/api/2.0/sql/statements/?$";

#[tokio::test(flavor = "multi_thread")]
async fn trouble_of_databricks_that_passes() {
    let mut shop = Shop::start(Service::Databricks, 3 * PAGE).await;
    shop.fake.settings(json!({"chunkRows": PAGE})).await.unwrap();
    what_passes(&mut shop, DATABRICKS, "MERGE INTO", "").await;
    // The pages are behind links.
    what_passes_in_pages(&mut shop, DATABRICKS, "^/bucket/", 1).await;
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
    assert_eq!(shop.scenario.taken(), shop.customers.upserts([1, 150, 299]));
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
        fails_with(&mut shop, name, trouble, none, code).await;
    }
    shop.scenario.sync.model.query = ModelQuery::Sql("SELECT id, name, plan, score FROM customers".into());
    shop.fake.sql("ALTER TABLE customers RENAME COLUMN plan TO tier").await.unwrap();
    refused(&mut shop, "renamed", Code::ColumnNotFound).await;
    shop.fake.sql("ALTER TABLE customers RENAME COLUMN tier TO plan").await.unwrap();
    cured(&mut shop, "renamed").await;
    shop.left_tidy("after what lasts").await;

    shop.fake.sql("DROP TABLE _backflow.objects").await.unwrap();
    shop.succeed("state-dropped").await;
    assert_eq!(
        shop.scenario.taken(),
        shop.customers.all(),
        "a state that is gone is made again, and everything is sent"
    );
}
