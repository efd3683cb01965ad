//! What a check says: the server, or the grant that is missing with the statement that gives it. It changes nothing.

use backflow_core::code::{Code, Failure};
use backflow_core::plan::{BigQuery, Connection, Snowflake, SourcePlan};
use backflow_sources::warehouse::open;
use backflow_tests::warehouse::{FakeWarehouse, Service};
use serde_json::json;

use super::shop::customers;

async fn check(plan: &SourcePlan, fake: &FakeWarehouse) -> Result<String, Failure> {
    open(plan, fake, "backflow/check").await?.check().await
}

async fn refused(plan: &SourcePlan, fake: &FakeWarehouse, code: Code, cure: &[&str]) {
    let failure = check(plan, fake).await.unwrap_err();
    assert_eq!(failure.code, code, "{failure}");
    for text in cure {
        assert!(failure.message.contains(text), "no {text} in: {failure}");
    }
}

async fn prepare(plan: &SourcePlan, fake: &FakeWarehouse) {
    open(plan, fake, "backflow/run").await.unwrap().state().prepare().await.unwrap();
}

fn snowflake(plan: &SourcePlan, change: impl FnOnce(&mut Snowflake)) -> SourcePlan {
    let Connection::Snowflake(snowflake) = &plan.connection else { panic!("it is no Snowflake") };
    let mut changed = snowflake.clone();
    change(&mut changed);
    SourcePlan { connection: Connection::Snowflake(changed), ..plan.clone() }
}

fn bigquery(plan: &SourcePlan, change: impl FnOnce(&mut BigQuery)) -> SourcePlan {
    let Connection::BigQuery(bigquery) = &plan.connection else { panic!("it is no BigQuery") };
    let mut changed = bigquery.clone();
    change(&mut changed);
    SourcePlan { connection: Connection::BigQuery(changed), ..plan.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn snowflake_says_its_version_or_what_is_missing() {
    let fake = FakeWarehouse::start(Service::Snowflake, &customers(Service::Snowflake, 3)).await.unwrap();
    let plan = fake.source();
    fake.settings(json!({"warehouse": {"running": false}})).await.unwrap();
    let server = check(&plan, &fake).await.unwrap();
    assert!(server.strip_prefix("Snowflake ").is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit())));
    assert_eq!(fake.list("/tables").await.unwrap().len(), 1, "a check makes nothing");

    fake.settings(json!({"readOnly": true})).await.unwrap();
    let create = "CREATE SCHEMA \"SHOP\".\"_BACKFLOW\"; GRANT USAGE, CREATE TABLE ON SCHEMA \"SHOP\".\"_BACKFLOW\" TO ROLE \"BACKFLOW_ROLE\"";
    refused(&plan, &fake, Code::StateSchemaMissing, &[create]).await;
    fake.sql("CREATE SCHEMA _BACKFLOW").await.unwrap();
    let grant = "GRANT USAGE, CREATE TABLE ON SCHEMA \"SHOP\".\"_BACKFLOW\" TO ROLE \"BACKFLOW_ROLE\"";
    refused(&plan, &fake, Code::PermissionDenied, &[grant]).await;
    let resumed = |state: &serde_json::Value| state["warehouse"]["resumes"].as_u64();
    let state = fake.control(reqwest::Method::GET, "/state", None).await.unwrap();
    assert_eq!(resumed(&state), Some(0), "a check wakes no warehouse up");

    fake.settings(json!({"readOnly": false})).await.unwrap();
    prepare(&plan, &fake).await;
    assert_eq!(check(&plan, &fake).await.unwrap(), server);
    fake.settings(json!({"readOnly": true})).await.unwrap();
    refused(&plan, &fake, Code::PermissionDenied, &["GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA"])
        .await;

    let role = snowflake(&plan, |to| to.role = Some("NOBODY".into()));
    refused(&role, &fake, Code::PermissionDenied, &["GRANT ROLE \"NOBODY\" TO USER \"BACKFLOW\""]).await;
    let warehouse = snowflake(&plan, |to| to.warehouse = "NO_WH".into());
    refused(
        &warehouse,
        &fake,
        Code::PermissionDenied,
        &["GRANT USAGE ON WAREHOUSE \"NO_WH\" TO ROLE \"BACKFLOW_ROLE\""],
    )
    .await;
    let database = snowflake(&plan, |to| to.database = "NO_DB".into());
    refused(&database, &fake, Code::DatabaseNotFound, &["GRANT USAGE ON DATABASE \"NO_DB\" TO ROLE \"BACKFLOW_ROLE\""])
        .await;
    let user = snowflake(&plan, |to| to.user = "NOBODY".into());
    refused(&user, &fake, Code::AuthenticationFailed, &["RSA_PUBLIC_KEY_FP SHA256:"]).await;
    let account = snowflake(&plan, |to| to.account = "ACME-OTHER".into());
    refused(&account, &fake, Code::AuthenticationFailed, &["check account and user"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bigquery_says_where_it_is_or_what_is_missing() {
    let fake = FakeWarehouse::start(Service::BigQuery, &customers(Service::BigQuery, 3)).await.unwrap();
    let plan = fake.source();
    assert_eq!(check(&plan, &fake).await.unwrap(), "BigQuery in EU");
    assert_eq!(fake.list("/tables").await.unwrap().len(), 1, "a check makes nothing");

    fake.settings(json!({"readOnly": true})).await.unwrap();
    let create = "CREATE SCHEMA `acme-test`.`_backflow` OPTIONS (location = 'EU'); GRANT `roles/bigquery.dataEditor` ON SCHEMA \
                  `acme-test`.`_backflow` TO \"serviceAccount:backflow@acme-test.iam.gserviceaccount.com\"";
    refused(&plan, &fake, Code::StateSchemaMissing, &[create]).await;
    fake.sql("CREATE SCHEMA _backflow").await.unwrap();
    let grant = "GRANT `roles/bigquery.dataEditor` ON SCHEMA `acme-test`.`_backflow` TO";
    refused(&plan, &fake, Code::PermissionDenied, &[grant]).await;

    fake.settings(json!({"readOnly": false})).await.unwrap();
    prepare(&plan, &fake).await;
    assert_eq!(check(&plan, &fake).await.unwrap(), "BigQuery in EU");
    fake.settings(json!({"readOnly": true})).await.unwrap();
    refused(&plan, &fake, Code::PermissionDenied, &[grant]).await;
    fake.settings(json!({"readOnly": false})).await.unwrap();

    let impersonating = bigquery(&plan, |to| to.impersonate = Some(fake.told("impersonate").to_owned()));
    assert_eq!(check(&impersonating, &fake).await.unwrap(), "BigQuery in EU");
    let stranger = bigquery(&plan, |to| to.impersonate = Some("stranger@acme-test.iam.gserviceaccount.com".into()));
    let role = "grant it roles/iam.serviceAccountTokenCreator";
    refused(&stranger, &fake, Code::AuthenticationFailed, &["stranger@", role]).await;
    let identity = bigquery(&plan, |to| to.service_account_key = None);
    assert_eq!(check(&identity, &fake).await.unwrap(), "BigQuery in EU", "as a pod with workload identity");
    let project = bigquery(&plan, |to| to.project = "acme-other".into());
    refused(&project, &fake, Code::PermissionDenied, &["acme-other", "roles/bigquery.jobUser"]).await;
}
