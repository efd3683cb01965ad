//! Who may come in, and what a check says.

use super::*;

#[tokio::test]
async fn what_is_wrong_with_host_token_and_warehouse_is_told() {
    let cases = [
        (vec![refused(403, "403", "Invalid access token.")], Code::AuthenticationFailed, "databricks.accessToken"),
        (vec![refused(401, "401", "x"), refused(401, "401", "x")], Code::AuthenticationFailed, "expired, revoked"),
        (
            vec![refused(403, "403", "Source IP address: 1.2.3.4 is blocked by Databricks IP ACL")],
            Code::PermissionDenied,
            "IP access list",
        ),
        (vec![refused(403, "PERMISSION_DENIED", "no")], Code::PermissionDenied, "CAN USE"),
        (
            vec![refused(404, "RESOURCE_DOES_NOT_EXIST", "no")],
            Code::PermissionDenied,
            "0123456789abcdef is not in this workspace",
        ),
        (vec![warehouse("DELETED")], Code::PermissionDenied, "httpPath"),
        (vec![refused(404, "ENDPOINT_NOT_FOUND", "no")], Code::ConnectionFailed, "check its name"),
        (vec![Answer::text(200, "<html>login</html>")], Code::ConnectionFailed, "check its name"),
        (vec![Answer::text(303, "")], Code::ConnectionFailed, "check its name"),
        (vec![Answer::text(503, ""); 7], Code::WarehouseUnavailable, "HTTP 503"),
    ];
    for (answers, code, said) in cases {
        let (script, failure) = unopened(plan, answers).await;
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(said), "no {said} in: {failure}");
        assert_eq!(script.left(), 0, "{failure}");
    }
}

#[tokio::test]
async fn a_service_principal_gets_its_tokens_where_it_lives() {
    let token =
        |text: &str| Answer::json(200, &json!({"access_token": text, "expires_in": 3600, "token_type": "Bearer"}));
    let answers = [token("one"), warehouse("RUNNING"), refused(401, "401", "x"), token("two"), described()];
    let script = Script::start(answers).await;
    let workspace = Databricks { credential: client(None), ..plan(&script.endpoint) };
    let opened = DatabricksWarehouse::open(&workspace, "_backflow", &Names, "x").await.unwrap();
    opened.describe(&model()).await.unwrap();
    let asked = script.asked();
    assert_eq!(asked[0].path, "/oidc/v1/token");
    assert_eq!(asked[0].header("authorization"), Some("Basic YXBwLTE6czNjcjN0"));
    assert_eq!(asked[0].header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(asked[0].text, "grant_type=client_credentials&scope=all-apis");
    let bearers: Vec<_> = asked.iter().map(|asked| asked.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(bearers[1..], ["Bearer one", "Bearer one", "Basic YXBwLTE6czNjcjN0", "Bearer two"]);

    let script = Script::start([token("three"), warehouse("RUNNING")]).await;
    let entra = Databricks { credential: client(Some("contoso.com")), ..plan(&script.endpoint) };
    DatabricksWarehouse::open(&entra, "_backflow", &Names, "x").await.unwrap();
    let asked = script.asked();
    assert_eq!((asked[0].path.as_str(), asked[0].header("authorization")), ("/contoso.com/oauth2/v2.0/token", None));
    assert_eq!(
        asked[0].text,
        "grant_type=client_credentials&client_id=app-1&client_secret=s3cr3t&scope=2ff814a6-3304-4ab8-85cb-cd0e6f879c1d%2F.default"
    );
}

#[tokio::test]
async fn a_refused_service_principal_is_told() {
    let oauth = |status, error: &str| Answer::json(status, &json!({"error": error, "error_description": "s3cr3t"}));
    let cases = [
        (None, oauth(401, "invalid_client"), "databricks.clientSecret"),
        (None, oauth(400, "invalid_scope"), "databricks.host and clientId"),
        (Some("t"), oauth(401, "invalid_client"), "databricks.clientSecret"),
        (Some("t"), oauth(400, "unauthorized_client"), "not in tenant t"),
        (Some("t"), oauth(400, "invalid_request"), "tenantId"),
    ];
    for (tenant, answer, said) in cases {
        let credential = client(tenant);
        let (_, failure) = unopened(|endpoint| Databricks { credential, ..plan(endpoint) }, vec![answer; 2]).await;
        assert_eq!(failure.code, Code::AuthenticationFailed, "{failure}");
        assert!(failure.message.contains(said) && failure.message.contains("app-1"), "{failure}");
    }
    let page = vec![Answer::text(404, "<html>")];
    let (_, failure) = unopened(|endpoint| Databricks { credential: client(None), ..plan(endpoint) }, page).await;
    assert_eq!(failure.code, Code::ConnectionFailed, "{failure}");
}

#[tokio::test]
async fn a_check_starts_no_warehouse_unless_it_is_asked_to() {
    let script = Script::start(vec![warehouse("STOPPED"); 2]).await;
    let stopped = plan(&script.endpoint);
    let opened = DatabricksWarehouse::open(&stopped, "_backflow", &Names, "x").await.unwrap();
    assert_eq!(opened.check().await.unwrap(), "Databricks SQL, stopped: grants are not checked");
    assert!(script.asked().iter().all(|asked| asked.method == "GET"), "no statement");

    let used = [warehouse("STOPPED"), warehouse("STOPPED"), described(), described(), described()];
    let script = Script::start(used).await;
    let asking = Databricks { start_for_checks: true, ..plan(&script.endpoint) };
    let opened = DatabricksWarehouse::open(&asking, "_backflow", &Names, "x").await.unwrap();
    assert_eq!(opened.check().await.unwrap(), "Databricks SQL");
    assert_eq!(script.left(), 0);
}

#[tokio::test]
async fn a_check_says_what_is_missing() {
    let missing = || failed("BAD_REQUEST", "42P01", "[TABLE_OR_VIEW_NOT_FOUND] The table or view x cannot be found.");
    let denied = || {
        let message = "[INSUFFICIENT_PERMISSIONS] User does not have MODIFY on Table `main`.`_backflow`.`objects`.";
        failed("BAD_REQUEST", "42501", message)
    };
    let counts = |there: u64, mine: u64| {
        let first = json!({"chunk_index": 0, "row_count": 1, "data_array": [[there.to_string(), mine.to_string()]]});
        succeeded(&[("a", "BIGINT"), ("b", "BIGINT")], 1, 1, &first)
    };
    let cases = [
        (vec![described(), described()], None),
        (
            vec![described(), denied()],
            Some((Code::PermissionDenied, "GRANT MODIFY ON TABLE `main`.`_backflow`.`objects` TO")),
        ),
        (vec![missing(), counts(1, 0), counts(1, 1)], None),
        (vec![missing(), counts(1, 1), counts(0, 0)], None),
        (
            vec![missing(), counts(1, 0), counts(1, 0)],
            Some((Code::PermissionDenied, "CREATE TABLE, SELECT, MODIFY ON SCHEMA `main`.`_backflow`")),
        ),
        (vec![missing(), counts(0, 0), counts(1, 0), counts(2, 1)], None),
        (
            vec![missing(), counts(0, 0), counts(1, 0), counts(1, 0)],
            Some((Code::StateSchemaMissing, "CREATE SCHEMA `main`.`_backflow`; GRANT")),
        ),
        (vec![missing(), missing()], None),
    ];
    for (answers, expected) in cases {
        let (script, warehouse) = open([self::warehouse("RUNNING"), described()].into_iter().chain(answers)).await;
        let checked = warehouse.check().await;
        assert_eq!(script.left(), 0, "{checked:?}");
        match (checked, expected) {
            (Ok(server), None) => assert_eq!(server, "Databricks SQL"),
            (Err(failure), Some((code, said))) => {
                assert_eq!(failure.code, code, "{failure}");
                assert!(failure.message.contains(said), "{failure}");
            }
            (checked, expected) => panic!("{checked:?}, not {expected:?}"),
        }
    }
}

#[tokio::test]
async fn a_check_tells_a_catalog_or_schema_that_is_not_there() {
    let cases = [
        ("[NO_SUCH_CATALOG_EXCEPTION] Catalog 'main' was not found.", "GRANT USE CATALOG ON CATALOG `main` TO"),
        ("[SCHEMA_NOT_FOUND] The schema `marts` cannot be found.", "GRANT USE SCHEMA ON SCHEMA `main`.`marts` TO"),
    ];
    for (message, said) in cases {
        let (_script, warehouse) = open([warehouse("RUNNING"), failed("BAD_REQUEST", "42704", message)]).await;
        let failure = warehouse.check().await.unwrap_err();
        assert_eq!(failure.code, Code::DatabaseNotFound, "{failure}");
        assert!(failure.message.contains(said), "{failure}");
    }
}

#[tokio::test]
async fn a_catalog_is_asked_for_by_its_own_name() {
    let counts = |mine: &str| {
        let first = json!({"chunk_index": 0, "row_count": 1, "data_array": [["1", mine]]});
        succeeded(&[("a", "BIGINT"), ("b", "BIGINT")], 1, 1, &first)
    };
    let none = json!({"chunk_index": 0, "row_count": 1, "data_array": [["0", "0"]]});
    let none = succeeded(&[("a", "BIGINT"), ("b", "BIGINT")], 1, 1, &none);
    let missing = failed("BAD_REQUEST", "42P01", "[TABLE_OR_VIEW_NOT_FOUND] The table or view x cannot be found.");
    let answers = [warehouse("RUNNING"), warehouse("RUNNING"), described(), missing, none, counts("0"), counts("1")];
    let script = Script::start(answers).await;
    let plan = Databricks { catalog: Some("Main".into()), ..plan(&script.endpoint) };
    let opened = DatabricksWarehouse::open(&plan, "_Backflow", &Names, "x").await.unwrap();
    opened.check().await.unwrap();
    let bound = |name: &str, value: &str| json!([{"name": name, "value": value, "type": "STRING"}]);
    let asked: Vec<Value> = script.asked()[4..].iter().map(|asked| asked.body["parameters"].clone()).collect();
    assert_eq!(asked, [bound("schema", "_backflow"), bound("catalog", "main"), bound("catalog", "main")]);
}
