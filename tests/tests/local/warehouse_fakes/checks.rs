//! What a check says: the server, or the grant that is missing with the statement that gives it. It changes nothing.

use backflow_core::code::{Code, Failure};
use backflow_core::plan::{BigQuery, Connection, Databricks, DatabricksCredential, Server, Snowflake, SourcePlan};
use backflow_core::secret::{SecretRef, Secrets};
use backflow_sources::warehouse::open;
use backflow_tests::warehouse::{FakeWarehouse, Service};
use secrecy::SecretString;
use serde_json::json;

use super::shop::seeded;

pub(super) async fn check(plan: &SourcePlan, fake: &FakeWarehouse) -> Result<String, Failure> {
    open(plan, fake, "backflow/check").await?.check().await
}

pub(super) async fn refused(plan: &SourcePlan, fake: &FakeWarehouse, code: Code, cure: &[&str]) {
    let failure = check(plan, fake).await.unwrap_err();
    assert_eq!(failure.code, code, "{failure}");
    for text in cure {
        assert!(failure.message.contains(text), "no {text} in: {failure}");
    }
}

pub(super) async fn prepare(plan: &SourcePlan, fake: &FakeWarehouse) {
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

fn databricks(plan: &SourcePlan, change: impl FnOnce(&mut Databricks)) -> SourcePlan {
    let Connection::Databricks(databricks) = &plan.connection else { panic!("it is no Databricks") };
    let mut changed = databricks.clone();
    change(&mut changed);
    SourcePlan { connection: Connection::Databricks(changed), ..plan.clone() }
}

fn clickhouse(plan: &SourcePlan, change: impl FnOnce(&mut Server)) -> SourcePlan {
    let Connection::ClickHouse(server) = &plan.connection else { panic!("it is no ClickHouse") };
    let mut changed = server.clone();
    change(&mut changed);
    SourcePlan { connection: Connection::ClickHouse(changed), ..plan.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn snowflake_says_its_version_or_what_is_missing() {
    let fake = FakeWarehouse::start(Service::Snowflake, &seeded(Service::Snowflake, 3).1).await.unwrap();
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
    let fake = FakeWarehouse::start(Service::BigQuery, &seeded(Service::BigQuery, 3).1).await.unwrap();
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

/// A Secret of any name.
struct Secret(String);

impl Secrets for Secret {
    fn read(&self, _: &SecretRef) -> Result<SecretString, Failure> {
        Ok(self.0.clone().into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn databricks_says_what_it_is_or_what_is_missing() {
    let fake = FakeWarehouse::start(Service::Databricks, &seeded(Service::Databricks, 3).1).await.unwrap();
    let plan = fake.source();
    let resumes = async || {
        let state = fake.control(reqwest::Method::GET, "/state", None).await.unwrap();
        state["warehouse"]["resumes"].as_u64().unwrap()
    };
    assert_eq!(check(&plan, &fake).await.unwrap(), "Databricks SQL");
    assert_eq!(fake.list("/tables").await.unwrap().len(), 1, "a check makes nothing");

    fake.settings(json!({"warehouse": {"running": false}})).await.unwrap();
    assert_eq!(check(&plan, &fake).await.unwrap(), "Databricks SQL, stopped: grants are not checked");
    assert_eq!(resumes().await, 0, "a check wakes no warehouse up");
    let asking = databricks(&plan, |to| to.start_for_checks = true);
    assert_eq!(check(&asking, &fake).await.unwrap(), "Databricks SQL");
    assert_eq!(resumes().await, 1, "unless it is asked to");

    fake.settings(json!({"readOnly": true})).await.unwrap();
    let principal = format!("TO `{}`", fake.told("clientId"));
    let grant = "GRANT USE SCHEMA, CREATE TABLE, SELECT, MODIFY ON SCHEMA `workspace`.`_backflow`";
    let create = format!("CREATE SCHEMA `workspace`.`_backflow`; {grant} {principal}");
    refused(&plan, &fake, Code::StateSchemaMissing, &[&create]).await;
    fake.sql("CREATE SCHEMA _backflow").await.unwrap();
    refused(&plan, &fake, Code::PermissionDenied, &[&format!("{grant} {principal}")]).await;
    fake.settings(json!({"readOnly": false})).await.unwrap();
    prepare(&plan, &fake).await;
    assert_eq!(check(&plan, &fake).await.unwrap(), "Databricks SQL");
    fake.settings(json!({"readOnly": true})).await.unwrap();
    let modify = format!("GRANT MODIFY ON TABLE `workspace`.`_backflow`.`objects` {principal}");
    refused(&plan, &fake, Code::PermissionDenied, &[&modify]).await;
    fake.settings(json!({"readOnly": false})).await.unwrap();

    let warehouse = databricks(&plan, |to| to.warehouse_id = "fedcba9876543210".into());
    refused(&warehouse, &fake, Code::PermissionDenied, &["fedcba9876543210 is not in this workspace", "CAN USE"]).await;
    let catalog = databricks(&plan, |to| to.catalog = Some("nope".into()));
    refused(&catalog, &fake, Code::DatabaseNotFound, &[&format!("GRANT USE CATALOG ON CATALOG `nope` {principal}")])
        .await;
    let schema = databricks(&plan, |to| to.schema = Some("nope".into()));
    refused(&schema, &fake, Code::DatabaseNotFound, &["GRANT USE SCHEMA ON SCHEMA `workspace`.`nope`"]).await;
    let stranger = databricks(&plan, |to| {
        let DatabricksCredential::Client { id, .. } = &mut to.credential else { panic!() };
        *id = "nobody".into();
    });
    refused(&stranger, &fake, Code::AuthenticationFailed, &["nobody", "databricks.clientSecret"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn databricks_takes_three_kinds_of_credentials_and_tells_what_is_wrong_with_each() {
    let fake = FakeWarehouse::start(Service::Databricks, "").await.unwrap();
    let plan = fake.source();
    let Connection::Databricks(service) = &plan.connection else { panic!("it is no Databricks") };
    let DatabricksCredential::Client { id, secret, .. } = &service.credential else { panic!() };
    let with = |credential: DatabricksCredential| databricks(&plan, |to| to.credential = credential);
    let client = |id: &str, tenant: Option<&str>| {
        with(DatabricksCredential::Client { id: id.into(), secret: secret.clone(), tenant: tenant.map(Into::into) })
    };
    let personal = with(DatabricksCredential::AccessToken(secret.clone()));
    let workspace = client(id, None);
    let entra = client(id, Some(fake.told("tenantId")));
    let checked = async |plan: &SourcePlan, value: &str| {
        let found = open(plan, &Secret(value.to_owned()), "backflow/check").await?.check().await;
        if let Err(failure) = &found {
            assert!(value.is_empty() || !failure.message.contains(value), "{failure}");
        }
        found
    };
    for (plan, value) in [(&personal, "token"), (&workspace, "clientSecret"), (&entra, "entraSecret")] {
        let value = fake.told(value);
        assert_eq!(checked(plan, &format!("{value}\n")).await.unwrap(), "Databricks SQL");
    }
    let cases = [
        (&personal, "", "is empty"),
        (&personal, "dapi0000", "expired, revoked, or of another workspace"),
        (&personal, "not\u{7}a token", "characters that no token has"),
        (&workspace, "wrong", "databricks.clientSecret"),
        (&entra, "wrong", "databricks.clientSecret"),
        (&client(id, Some("other.example.com")), fake.told("entraSecret"), "not in tenant other.example.com"),
        (&client("nobody", Some(fake.told("tenantId"))), fake.told("entraSecret"), "nobody is not in tenant"),
    ];
    for (plan, value, said) in cases {
        let failure = checked(plan, value).await.unwrap_err();
        assert_eq!(failure.code, Code::AuthenticationFailed, "{failure}");
        assert!(failure.message.contains(said), "no {said} in: {failure}");
    }

    // A token that is no longer taken is made anew; a personal one cannot be.
    let (long, lost) = (open(&workspace, &fake, "backflow/one").await.unwrap(), fake.told("token"));
    let lost = open(&personal, &Secret(lost.to_owned()), "backflow/two").await.unwrap();
    fake.control(reqwest::Method::POST, "/expire", Some(json!({"what": "tokens"}))).await.unwrap();
    assert_eq!(long.check().await.unwrap(), "Databricks SQL");
    let failure = lost.check().await.unwrap_err();
    assert_eq!(failure.code, Code::AuthenticationFailed, "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clickhouse_says_its_version_or_what_is_missing() {
    let fake = FakeWarehouse::start(Service::ClickHouse, &seeded(Service::ClickHouse, 3).1).await.unwrap();
    let plan = fake.source();
    let server = check(&plan, &fake).await.unwrap();
    assert!(
        server.strip_prefix("ClickHouse ").is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
    );
    assert_eq!(fake.list("/tables").await.unwrap().len(), 1, "a check makes nothing");

    fake.settings(json!({"readOnly": true})).await.unwrap();
    let grant = "GRANT SHOW TABLES, CREATE TABLE, SELECT, INSERT, ALTER DELETE ON `_backflow`.* TO `backflow`";
    refused(&plan, &fake, Code::StateSchemaMissing, &["CREATE DATABASE `_backflow`; ", grant]).await;
    fake.sql("CREATE DATABASE _backflow;").await.unwrap();
    refused(&plan, &fake, Code::PermissionDenied, &[grant]).await;

    fake.settings(json!({"readOnly": false})).await.unwrap();
    prepare(&plan, &fake).await;
    assert_eq!(check(&plan, &fake).await.unwrap(), server);
    fake.settings(json!({"readOnly": true})).await.unwrap();
    refused(&plan, &fake, Code::PermissionDenied, &[grant]).await;
    fake.settings(json!({"readOnly": false, "profile": 1})).await.unwrap();
    refused(&plan, &fake, Code::PermissionDenied, &["ALTER USER `backflow` SETTINGS readonly = 2"]).await;
    fake.settings(json!({"profile": 0})).await.unwrap();

    let user = clickhouse(&plan, |to| to.user = "nobody".into());
    refused(&user, &fake, Code::AuthenticationFailed, &["\"nobody\"", "check user and password"]).await;
    let open = clickhouse(&plan, |to| to.password = None);
    refused(&open, &fake, Code::AuthenticationFailed, &["set password"]).await;
    let database = clickhouse(&plan, |to| to.database = "nowhere".into());
    refused(&database, &fake, Code::DatabaseNotFound, &["no database \"nowhere\""]).await;
}
