//! What is of Azure SQL alone: who is let in and how, its products, and trouble by the numbers of its errors.

use backflow_core::code::Code;
use backflow_core::plan::{
    AzureSql, AzureSqlCredential, Connection, DirectoryState, ModelPlan, ModelQuery, SourcePlan, StateLocation,
    StateStorePlan, TlsMode,
};
use backflow_core::result::Phase;
use backflow_core::secret::SecretRef;
use backflow_sources::warehouse::{Query, open};
use backflow_tests::state_conformance;
use backflow_tests::warehouse::{FakeWarehouse, Service};
use futures::TryStreamExt as _;
use serde_json::{Value, json};

use super::checks::{check, prepare, refused};
use super::shop::{READ, Shop, seeded};
use super::trouble::{fails, fails_with, overcomes};

fn changed(plan: &SourcePlan, change: impl FnOnce(&mut AzureSql)) -> SourcePlan {
    let Connection::AzureSql(azure) = &plan.connection else { panic!("it is no Azure SQL") };
    let mut changed = azure.clone();
    change(&mut changed);
    SourcePlan { connection: Connection::AzureSql(changed), ..plan.clone() }
}

/// As an application with this key of the Secret.
fn application(plan: &SourcePlan, fake: &FakeWarehouse, key: &str) -> SourcePlan {
    changed(plan, |to| {
        to.credential = AzureSqlCredential::Entra {
            tenant_id: Some(fake.told("tenantId").to_owned()),
            client_id: Some(fake.told("clientId").to_owned()),
            client_secret: Some(SecretRef { name: "warehouse".into(), key: key.into() }),
        };
    })
}

async fn nothing_was_wrong(fake: &FakeWarehouse) {
    let state = fake.control(reqwest::Method::GET, "/state", None).await.unwrap();
    assert_eq!(state["violations"], json!([]), "every byte is as the specification has it");
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_sql_says_its_version_or_what_is_missing() {
    let fake = FakeWarehouse::start(Service::AzureSql, &seeded(Service::AzureSql, 3).1).await.unwrap();
    let plan = fake.source();
    let server = "Azure SQL Database 12.0.2000.8";
    assert_eq!(check(&plan, &fake).await.unwrap(), server);
    assert_eq!(fake.list("/tables").await.unwrap().len(), 1, "a check makes nothing");

    fake.settings(json!({"readOnly": true})).await.unwrap();
    let grant = "GRANT CREATE TABLE TO [backflow]; GRANT ALTER, SELECT, INSERT, UPDATE, DELETE ON SCHEMA::[_backflow] TO [backflow]";
    refused(&plan, &fake, Code::StateSchemaMissing, &["CREATE SCHEMA [_backflow], and then: ", grant]).await;
    fake.sql("CREATE SCHEMA [_backflow]").await.unwrap();
    refused(&plan, &fake, Code::PermissionDenied, &[grant]).await;
    fake.settings(json!({"readOnly": false})).await.unwrap();
    prepare(&plan, &fake).await;
    assert_eq!(check(&plan, &fake).await.unwrap(), server);
    fake.settings(json!({"readOnly": true})).await.unwrap();
    refused(&plan, &fake, Code::PermissionDenied, &[grant]).await;
    fake.settings(json!({"readOnly": false})).await.unwrap();

    let user = |name: &str| {
        changed(&plan, |to| {
            let password = SecretRef { name: "warehouse".into(), key: "credential".into() };
            to.credential = AzureSqlCredential::Login { user: name.into(), password };
        })
    };
    refused(&user("nobody"), &fake, Code::AuthenticationFailed, &["\"nobody\"", "check user and password"]).await;
    let database = changed(&plan, |to| to.database = "nowhere".into());
    refused(&database, &fake, Code::DatabaseNotFound, &["no database \"nowhere\""]).await;
    nothing_was_wrong(&fake).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_sql_takes_applications_and_is_reached_by_way_of_another_server() {
    let fake = FakeWarehouse::start(Service::AzureSql, &seeded(Service::AzureSql, 3).1).await.unwrap();
    let plan = fake.source();
    let server = check(&plan, &fake).await.unwrap();
    let entra = application(&plan, &fake, "client-secret");
    assert_eq!(check(&entra, &fake).await.unwrap(), server);
    let wrong = application(&plan, &fake, "wrong");
    refused(&wrong, &fake, Code::AuthenticationFailed, &["AADSTS7000215", "not its id"]).await;

    fake.settings(json!({"route": true})).await.unwrap();
    assert_eq!(check(&entra, &fake).await.unwrap(), server);
    assert_eq!(check(&plan, &fake).await.unwrap(), server);
    fake.settings(json!({"route": false, "tls": "1.3"})).await.unwrap();
    assert_eq!(check(&plan, &fake).await.unwrap(), server);

    // A connection goes on when its token is revoked, and the next one is made with another.
    let opened = open(&entra, &fake, "backflow/check").await.unwrap();
    fake.control(reqwest::Method::POST, "/expire", Some(json!({"what": "tokens"}))).await.unwrap();
    assert_eq!(opened.check().await.unwrap(), server);
    fake.fault(batch("refuse", "^SELECT 1$", json!({}))).await.unwrap();
    assert_eq!(opened.check().await.unwrap(), server);
    assert_eq!(fake.struck().await.unwrap(), [1]);
    nothing_was_wrong(&fake).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_must_want_the_same_of_encryption() {
    let fake = FakeWarehouse::start(Service::AzureSql, &seeded(Service::AzureSql, 3).1).await.unwrap();
    let plan = fake.source();
    let clear = changed(&plan, |to| (to.tls.mode, to.tls.ca) = (TlsMode::Disable, None));
    assert!(check(&clear, &fake).await.is_ok());
    let unproven = changed(&plan, |to| (to.tls.mode, to.tls.ca) = (TlsMode::Require, None));
    assert!(check(&unproven, &fake).await.is_ok());
    let unknown = changed(&plan, |to| to.tls.ca = None);
    refused(&unknown, &fake, Code::TlsFailed, &["unknown authority"]).await;
    let address = changed(&plan, |to| to.host = "127.0.0.1".into());
    assert!(check(&address, &fake).await.is_ok());
    let nowhere = changed(&plan, |to| to.host = "nowhere.invalid".into());
    refused(&nowhere, &fake, Code::HostNotFound, &["nowhere.invalid"]).await;

    fake.settings(json!({"encryption": "required"})).await.unwrap();
    refused(&clear, &fake, Code::TlsFailed, &["lets nobody in unencrypted"]).await;
    assert!(check(&plan, &fake).await.is_ok());
    fake.settings(json!({"encryption": "off"})).await.unwrap();
    refused(&plan, &fake, Code::TlsFailed, &["does not offer TLS, and tls.mode is VerifyFull"]).await;
    nothing_was_wrong(&fake).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_conforms_in_a_pool_and_in_fabric() {
    for (edition, name) in [("pool", "Synapse dedicated SQL pool"), ("fabric", "Fabric warehouse")] {
        let fake = FakeWarehouse::start(Service::AzureSql, "").await.unwrap();
        fake.settings(json!({"edition": edition})).await.unwrap();
        let plan = match edition {
            "fabric" => application(&fake.source(), &fake, "client-secret"),
            _ => fake.source(),
        };
        let one = open(&plan, &fake, "backflow/one").await.unwrap();
        let other = open(&plan, &fake, "backflow/other").await.unwrap();
        assert!(one.check().await.unwrap().starts_with(name));
        state_conformance::check(one.state(), other.state()).await;
        assert_eq!(fake.running().await.unwrap(), Vec::<String>::new());
        nothing_was_wrong(&fake).await;
    }
}

/// A run whose only credential is the token that the cluster lends to the pod, and whose user may write nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_an_application_that_only_reads() {
    let mut shop = Shop::start(Service::AzureSql, 200).await;
    shop.fake.settings(json!({"readOnly": true})).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let state = DirectoryState { path: folder.path().join("state").to_string_lossy().into_owned(), claim: None };
    let token = folder.path().join("token");
    std::fs::write(&token, shop.fake.told("podToken")).unwrap();
    let mut plan = changed(&shop.fake.source(), |to| {
        to.credential = AzureSqlCredential::Entra { tenant_id: None, client_id: None, client_secret: None };
    });
    plan.state = StateLocation::Store(StateStorePlan::Directory(state));
    shop.scenario.sync.source = plan;
    let run = async |shop: &Shop, run: &str| {
        let pod = shop.scenario.pod(run).variable("AZURE_FEDERATED_TOKEN_FILE", &token.to_string_lossy());
        let pod = pod.variable("AZURE_TENANT_ID", shop.fake.told("tenantId"));
        let ended = pod.variable("AZURE_CLIENT_ID", shop.fake.told("clientId")).start().unwrap().ended().await.unwrap();
        shop.clean(&ended);
        ended.result().unwrap()
    };
    assert_eq!(run(&shop, "run-1").await.phase, Phase::Succeeded);
    assert_eq!(shop.scenario.taken(), shop.customers.all());
    shop.rename(&[1, 100], "é").await;
    assert_eq!(run(&shop, "run-2").await.phase, Phase::Succeeded);
    assert_eq!(shop.scenario.taken(), shop.customers.upserts([1, 100]));
    assert_eq!(shop.fake.list("/tables").await.unwrap().len(), 1, "nothing was made in the database");
    nothing_was_wrong(&shop.fake).await;

    let ended = shop.run("run-3").await;
    assert_eq!(ended.outcome().unwrap().2, Some(Code::AuthenticationFailed));
    assert!(ended.message.contains("azure.workload.identity/use"), "{}", ended.message);
}

/// What a model may be, and what is read of it: `(id, name)`.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_a_table_or_a_select_with_or_without_with() {
    let fake = FakeWarehouse::start(Service::AzureSql, &seeded(Service::AzureSql, 9).1).await.unwrap();
    let warehouse = open(&fake.source(), &fake, "backflow/models").await.unwrap();
    let sql = |sql: &str| ModelQuery::Sql(sql.into());
    for query in [
        ModelQuery::Table("customers".into()),
        ModelQuery::Table("[dbo].[customers]".into()),
        sql("SELECT * FROM dbo.customers -- all of them"),
        sql(
            "/* ( */ WITH a AS (SELECT * FROM customers), [b)] (id, name) AS (SELECT id, name FROM a)\nSELECT id, name FROM [b)]",
        ),
        sql("SELECT id, name FROM customers WHERE id < 5 UNION ALL SELECT id, name FROM customers WHERE id >= 5"),
    ] {
        let model = ModelPlan { name: "some".into(), query, primary_key: vec!["id".into()] };
        let read = async |filter: Option<&str>, limit| {
            let columns = vec!["name".to_owned(), "id".to_owned()];
            let query = Query { model: model.clone(), columns, filter: filter.map(Into::into), limit };
            let batches: Vec<_> = warehouse.rows(query).await.unwrap().try_collect().await.unwrap();
            let mut rows: Vec<Vec<Value>> =
                batches.into_iter().flatten().map(|row| row.iter().map(|cell| cell.to_json()).collect()).collect();
            rows.sort_by_key(|row| row[1].as_u64());
            rows
        };
        assert_eq!(read(None, None).await.len(), 9, "{model:?}");
        assert_eq!(read(None, Some(4)).await.len(), 4, "{model:?}");
        assert_eq!(read(Some("id > 8 -- the last"), Some(4)).await, [[json!("name 9"), json!(9)]], "{model:?}");
        assert!(read(Some("id > 9"), None).await.is_empty(), "{model:?}");
    }
    for (query, code, said) in [
        (sql("SELECT id FROM customers ORDER BY id"), Code::SqlError, "ORDER BY"),
        (sql("SELECT id, COUNT(*) FROM customers GROUP BY id"), Code::SqlError, "AS behind it"),
        (sql("SELECT id, name AS id FROM customers"), Code::DuplicateColumn, "id"),
        (sql("SELECT id\nFROM customer"), Code::TableNotFound, "customer does not exist (line 2)"),
        (sql("WITH a AS (SELECT 1 AS id)\nDELETE FROM customers SELECT 1 AS id"), Code::SqlError, "syntax error"),
        (sql("SELECT id FROM customers; DROP TABLE customers"), Code::MultipleStatements, "line 1"),
        (sql("DELETE FROM customers"), Code::SqlError, "only reads"),
    ] {
        let model = ModelPlan { name: "wrong".into(), query, primary_key: vec!["id".into()] };
        let failure = warehouse.describe(&model).await.unwrap_err();
        assert!(failure.code == code && failure.message.contains(said), "{model:?}: {failure:?}");
    }
    assert_eq!(fake.running().await.unwrap(), Vec::<String>::new());
    nothing_was_wrong(&fake).await;
}

fn batch(kind: &str, body: &str, more: Value) -> Value {
    let mut fault = json!({"kind": kind, "method": "BATCH", "body": body});
    fault.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fault
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_of_azure_sql_that_passes() {
    let mut shop = Shop::start(Service::AzureSql, 300).await;
    shop.succeed("before").await;
    assert_eq!(shop.scenario.taken(), shop.customers.all());
    let claim = "^BEGIN TRANSACTION";
    overcomes(&mut shop, "deadlock", batch("error", claim, json!({"number": 1205, "times": 2}))).await;
    overcomes(&mut shop, "lost-answer-to-a-claim", batch("reset", claim, json!({"afterBytes": 0}))).await;
    overcomes(&mut shop, "refused", batch("refuse", "objects", json!({}))).await;
    overcomes(&mut shop, "half-an-answer", batch("truncate", "^SELECT writing", json!({"afterBytes": 60}))).await;
    overcomes(&mut shop, "slow", batch("slow", READ, json!({"bytesPerSecond": 100_000}))).await;
    shop.fake.sql("DROP TABLE [_backflow].[objects];\nDROP TABLE [_backflow].[turns]").await.unwrap();
    assert_eq!(shop.succeed("dropped-state").await.findings.unwrap().added, 300);
    shop.left_tidy("after what passes").await;
    nothing_was_wrong(&shop.fake).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_of_azure_sql_that_lasts() {
    let mut shop = Shop::start(Service::AzureSql, 300).await;
    shop.succeed("before").await;
    assert_eq!(shop.scenario.taken(), shop.customers.all());
    for (name, number, code) in [
        ("password-changed", 18_456, Code::AuthenticationFailed),
        ("firewall", 40_615, Code::ConnectionFailed),
        ("paused", 42_108, Code::WarehouseUnavailable),
        ("resuming", 40_613, Code::WarehouseUnavailable),
        ("throttled", 49_918, Code::WarehouseUnavailable),
    ] {
        let fault = json!({"kind": "error", "method": "LOGIN", "number": number, "times": null});
        fails(&mut shop, name, fault, code).await;
    }
    for (name, number, code) in [
        ("deadlock", 1205, Code::WarehouseUnavailable),
        ("no-column", 207, Code::ColumnNotFound),
        ("zero", 8134, Code::SqlError),
    ] {
        fails(&mut shop, name, batch("error", READ, json!({"number": number})), code).await;
    }
    for kind in ["reset", "truncate"] {
        fails(&mut shop, kind, batch(kind, READ, json!({"afterBytes": 900})), Code::ConnectionFailed).await;
    }
    let fail = |number: u32| json!({"fail": {"rows": 100, "number": number}});
    for (name, set, reset, code) in [
        ("zero-in-a-row", fail(8134), json!({"fail": null}), Code::SqlError),
        ("moved", fail(40_197), json!({"fail": null}), Code::WarehouseUnavailable),
        ("denied", json!({"deny": ["dbo.customers"]}), json!({"deny": []}), Code::PermissionDenied),
        ("no-tls", json!({"encryption": "off"}), json!({"encryption": "on"}), Code::TlsFailed),
    ] {
        fails_with(&mut shop, name, set, reset, code).await;
    }
    shop.left_tidy("after what lasts").await;
    nothing_was_wrong(&shop.fake).await;
}
