//! Scenarios of the REST API, each against a script of answers.

use backflow_core::cell::Cell;
use backflow_core::code::Code;
use backflow_core::plan::{DiffEngine, ModelQuery};
use backflow_core::secret::SecretRef;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt as _;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;
use crate::rest::keys;
use crate::rest::script::{Answer, Script};

/// Every secret is this service account's key.
struct Key;

impl Secrets for Key {
    fn read(&self, _: &SecretRef) -> Result<SecretString, Failure> {
        let pem = keys::rsa();
        let key = json!({"type": "service_account", "client_email": "bf@p.iam.gserviceaccount.com", "private_key_id": "k1", "private_key": pem});
        Ok(key.to_string().into())
    }
}

/// Every secret is this text.
struct Text(&'static str);

impl Secrets for Text {
    fn read(&self, _: &SecretRef) -> Result<SecretString, Failure> {
        Ok(self.0.into())
    }
}

fn plan(endpoint: &str) -> BigQuery {
    BigQuery {
        project: "my-project".into(),
        location: "EU".into(),
        dataset: Some("marts".into()),
        service_account_key: Some(SecretRef { name: "bigquery".into(), key: "key".into() }),
        impersonate: None,
        maximum_bytes_billed: Some(1_000_000_000),
        endpoint: Some(endpoint.into()),
    }
}

fn result(columns: &[(&str, &str)], rows: &[&[Option<&str>]], next: Option<&str>) -> Answer {
    let fields: Vec<Value> =
        columns.iter().map(|(name, kind)| json!({"name": name, "type": kind, "mode": "NULLABLE"})).collect();
    let row = |row: &&[Option<&str>]| json!({"f": row.iter().map(|value| json!({"v": value})).collect::<Vec<_>>()});
    let mut body = json!({
        "kind": "bigquery#queryResponse", "jobComplete": true, "schema": {"fields": fields},
        "jobReference": {"projectId": "my-project", "jobId": "job_1-a", "location": "EU"},
        "rows": rows.iter().map(row).collect::<Vec<_>>(), "totalRows": "5",
    });
    if let Some(next) = next {
        body["pageToken"] = next.into();
    }
    Answer::json(200, &body)
}

/// A result before its rows: of a dry run, or of a query without rows.
fn described() -> Answer {
    result(&[("id", "INTEGER"), ("email", "STRING")], &[], None)
}

fn pending() -> Answer {
    Answer::json(200, &json!({"jobComplete": false, "jobReference": {"jobId": "job_1-a", "location": "EU"}}))
}

fn refused(status: u16, reason: &str, message: &str) -> Answer {
    let error = json!({"code": status, "message": message, "status": "X", "errors": [{"reason": reason, "message": message, "domain": "global"}]});
    Answer::json(status, &json!({ "error": error }))
}

fn model() -> ModelPlan {
    ModelPlan {
        name: "customers".into(),
        query: ModelQuery::Sql("select *\nfrom c".into()),
        primary_key: vec!["id".into()],
    }
}

async fn open(answers: impl IntoIterator<Item = Answer>) -> (Script, BigQueryWarehouse) {
    let script = Script::start(std::iter::once(described()).chain(answers)).await;
    let warehouse =
        BigQueryWarehouse::open(&plan(&script.endpoint), "_backflow", DiffEngine::Streaming, &Key, "backflow/Run.1")
            .await
            .unwrap();
    (script, warehouse)
}

fn query(filter: Option<&str>) -> Query {
    Query { model: model(), columns: vec!["email".into(), "id".into()], filter: filter.map(Into::into), limit: None }
}

async fn read(warehouse: &BigQueryWarehouse, filter: Option<&str>) -> Result<Vec<Vec<Cell>>, Failure> {
    let mut rows = warehouse.rows(query(filter)).await?;
    let mut all = Vec::new();
    while let Some(batch) = rows.next().await {
        all.extend(batch?);
    }
    Ok(all)
}

fn row(email: Option<&str>, id: i64) -> Vec<Cell> {
    vec![email.map_or(Cell::Null, |email| Cell::Text(email.into())), Cell::Int(id)]
}

#[tokio::test]
async fn a_query_says_who_where_and_how() {
    let (script, warehouse) = open([described()]).await;
    assert_eq!(warehouse.server().await.unwrap(), "BigQuery in EU");
    warehouse.describe(&model()).await.unwrap();
    let asked = &script.asked()[1];
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/bigquery/v2/projects/my-project/queries"));
    let mut body = asked.body.clone();
    assert_eq!(body["requestId"].take().as_str().unwrap().len(), 36);
    let expected = json!({
        "query": "SELECT _m.* FROM (\nselect *\nfrom c\n) AS _m LIMIT 0", "useLegacySql": false, "location": "EU", "timeoutMs": 10000,
        "maxResults": 20000, "formatOptions": {"useInt64Timestamp": true}, "labels": {"backflow": "backflow_run_1"}, "requestId": null,
        "defaultDataset": {"projectId": "my-project", "datasetId": "marts"}, "maximumBytesBilled": "1000000000", "dryRun": true,
    });
    assert_eq!(body, expected);
    let token = asked.header("authorization").unwrap().strip_prefix("Bearer ").unwrap();
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap();
    assert_eq!(
        (&claims["iss"], &claims["sub"]),
        (&json!("bf@p.iam.gserviceaccount.com"), &json!("bf@p.iam.gserviceaccount.com"))
    );
    assert_eq!(claims["aud"], "https://bigquery.googleapis.com/");
}

#[tokio::test]
async fn rows_arrive_over_pages_pending_answers_and_breaks() {
    let columns = [("a", "STRING"), ("b", "INTEGER")];
    let second = result(&columns, &[&[Some("b"), Some("2")], &[None, Some("3")]], Some("t2"));
    let answers = [
        described(),
        pending(),
        pending(),
        result(&columns, &[&[Some("a"), Some("1")]], Some("t1")),
        second.clone().cut(60),
        Answer::text(503, ""),
        refused(403, "rateLimitExceeded", "slow down"),
        second.gzip(),
        result(&columns, &[&[Some("é"), Some("5")]], None),
    ];
    let (script, warehouse) = open(answers).await;
    let rows = read(&warehouse, Some("id > 0")).await.unwrap();
    assert_eq!(rows, [row(Some("a"), 1), row(Some("b"), 2), row(None, 3), row(Some("é"), 5)]);
    assert_eq!(script.left(), 0);
    let paths: Vec<String> = script.asked().into_iter().skip(2).map(|asked| asked.path).collect();
    let results = "/bigquery/v2/projects/my-project/queries/job_1-a?location=EU&maxResults=20000&timeoutMs=10000&formatOptions.useInt64Timestamp=true";
    let page = |token: &str| format!("{results}&pageToken={token}");
    let expected = [
        "/bigquery/v2/projects/my-project/queries".to_owned(),
        results.to_owned(),
        results.to_owned(),
        page("t1"),
        page("t1"),
        page("t1"),
        page("t1"),
        page("t2"),
    ];
    assert_eq!(paths, expected);
    let statement = "SELECT _m.`email`, _m.`id` FROM (\nselect *\nfrom c\n) AS _m WHERE (\nid > 0\n)";
    assert_eq!(script.asked()[2].body["query"], statement);
}

#[tokio::test]
async fn errors_of_the_users_sql_name_his_own_lines_and_words() {
    let cases = [
        (
            404,
            "notFound",
            "Not found: Table my-project:marts.c was not found in location EU",
            Code::TableNotFound,
            "my-project:marts.c was not found in location EU",
        ),
        (
            400,
            "invalidQuery",
            "Unrecognized name: emial; Did you mean email? at [2:8]",
            Code::ColumnNotFound,
            "column emial does not exist (line 1)",
        ),
        (
            400,
            "invalidQuery",
            "Syntax error: Unexpected string literal 's3cr3t' at [3:1]",
            Code::SqlError,
            "syntax error (line 2)",
        ),
        (
            403,
            "accessDenied",
            "Access Denied: Table my-project:marts.c: User does not have permission",
            Code::PermissionDenied,
            "roles/bigquery.dataViewer",
        ),
        (
            403,
            "accessDenied",
            "Access Denied: Project my-project: User does not have bigquery.jobs.create permission",
            Code::PermissionDenied,
            "roles/bigquery.jobUser",
        ),
        (403, "quotaExceeded", "Quota exceeded s3cr3t", Code::WarehouseUnavailable, "quota"),
        (400, "bytesBilledLimitExceeded", "Query exceeded limit", Code::LimitExceeded, "maximumBytesBilled"),
        (400, "invalidQuery", "Bad int64 value: s3cr3t", Code::SqlError, "the SQL failed"),
        (401, "authError", "s3cr3t", Code::AuthenticationFailed, "bf@p.iam.gserviceaccount.com are refused"),
    ];
    for (status, reason, message, code, said) in cases {
        let twice = if status == 401 { 2 } else { 1 };
        let (_script, warehouse) = open(vec![refused(status, reason, message); twice]).await;
        let failure = warehouse.describe(&model()).await.unwrap_err();
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(said), "{failure}");
        assert!(!failure.message.contains("s3cr3t"), "{failure}");
    }
}

#[tokio::test]
async fn web_pages_and_other_projects_are_told() {
    for (answer, code) in [
        (Answer::text(404, "<html>s3cr3t</html>"), Code::ConnectionFailed),
        (refused(404, "notFound", "Not found: Project my-project"), Code::DatabaseNotFound),
        (refused(403, "accessNotConfigured", "s3cr3t"), Code::PermissionDenied),
    ] {
        let script = Script::start([answer]).await;
        let failure = BigQueryWarehouse::open(&plan(&script.endpoint), "_backflow", DiffEngine::Streaming, &Key, "x")
            .await
            .err()
            .unwrap();
        assert_eq!(failure.code, code, "{failure}");
        assert!(!failure.message.contains("s3cr3t"), "{failure}");
    }
}

#[tokio::test]
async fn keys_of_another_form_are_told_with_their_cure() {
    for (text, said) in [
        ("{", "no JSON key"),
        (r#"{"type": "external_account"}"#, "is not service_account"),
        (r#"{"type": "service_account", "client_email": "a"}"#, "no private_key"),
        (r#"{"type": "service_account", "client_email": "a", "private_key": "s3cr3t"}"#, "no PEM"),
    ] {
        let failure =
            BigQueryWarehouse::open(&plan("http://127.0.0.1:1"), "d", DiffEngine::Streaming, &Text(text), "x")
                .await
                .err()
                .unwrap();
        assert_eq!(failure.code, Code::AuthenticationFailed);
        assert!(failure.message.contains(said) && !failure.message.contains("s3cr3t"), "{failure}");
    }
}

#[tokio::test]
async fn the_machines_identity_is_lent_and_acts_as_another() {
    let lent = Answer::json(200, &json!({"access_token": "lent", "expires_in": 3599, "token_type": "Bearer"}));
    let made = Answer::json(200, &json!({"accessToken": "made", "expireTime": "2030-01-01T00:00:00Z"}));
    let script = Script::start([lent.clone(), described(), lent, made, described(), Answer::text(404, "no")]).await;
    let own = BigQuery { service_account_key: None, ..plan(&script.endpoint) };
    BigQueryWarehouse::open(&own, "_backflow", DiffEngine::Streaming, &Key, "x").await.unwrap();
    let other = BigQuery { impersonate: Some("etl@p.iam.gserviceaccount.com".into()), ..own.clone() };
    BigQueryWarehouse::open(&other, "_backflow", DiffEngine::Streaming, &Key, "x").await.unwrap();
    let failure = BigQueryWarehouse::open(&own, "_backflow", DiffEngine::Streaming, &Key, "x").await.err().unwrap();
    assert_eq!(failure.code, Code::AuthenticationFailed);
    assert!(failure.message.contains("worker.serviceAccountName"), "{failure}");
    let asked = script.asked();
    assert_eq!(asked[0].header("metadata-flavor"), Some("Google"));
    assert_eq!(asked[0].header("authorization"), None);
    assert_eq!(asked[1].header("authorization"), Some("Bearer lent"));
    assert_eq!(asked[3].path, "/v1/projects/-/serviceAccounts/etl@p.iam.gserviceaccount.com:generateAccessToken");
    assert_eq!(asked[3].header("authorization"), Some("Bearer lent"));
    assert_eq!(asked[4].header("authorization"), Some("Bearer made"));
}

#[tokio::test]
async fn a_read_that_nobody_waits_for_is_cancelled() {
    let answers = std::iter::once(described())
        .chain(vec![pending(); 3])
        .chain([Answer::json(200, &json!({"kind": "bigquery#jobCancelResponse"}))]);
    let (script, warehouse) = open(answers).await;
    drop(warehouse.rows(query(None)).await.unwrap());
    warehouse.idle().await;
    let last = script.asked().pop().unwrap();
    assert_eq!(
        (last.method.as_str(), last.path.as_str()),
        ("POST", "/bigquery/v2/projects/my-project/jobs/job_1-a/cancel?location=EU")
    );
}

#[tokio::test]
async fn a_check_says_what_is_missing() {
    let gone = |what: &str| refused(404, "notFound", &format!("Not found: {what} my-project:_backflow was not found"));
    let denied = || refused(403, "accessDenied", "Access Denied: Dataset my-project:_backflow");
    let cases = [
        (vec![described(), described()], None),
        (vec![described(), denied()], Some((Code::PermissionDenied, "roles/bigquery.dataEditor"))),
        (vec![gone("Table"), described()], None),
        (vec![gone("Dataset"), gone("Dataset"), described()], None),
        (
            vec![gone("Dataset"), gone("Dataset"), denied()],
            Some((Code::StateSchemaMissing, "CREATE SCHEMA `my-project`.`_backflow` OPTIONS")),
        ),
    ];
    for (answers, expected) in cases {
        let (script, warehouse) = open(answers).await;
        let checked = warehouse.check().await;
        assert_eq!(script.left(), 0);
        assert!(script.asked().iter().all(|asked| asked.body["dryRun"] == true), "nothing is run");
        match (checked, expected) {
            (Ok(server), None) => assert_eq!(server, "BigQuery in EU"),
            (Err(failure), Some((code, said))) => {
                assert_eq!(failure.code, code);
                assert!(failure.message.contains(said), "{failure}");
            }
            (checked, expected) => panic!("{checked:?}, not {expected:?}"),
        }
    }
}
