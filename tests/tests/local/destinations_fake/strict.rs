//! The fakes themselves: what they refuse, and that they say so.

use backflow_tests::destinations::{Account, Fakes, Fault, Script, definitions};
use reqwest::{Certificate, Client, Proxy, StatusCode};
use serde_json::{Value, json};

async fn started(definition: &str) -> (Fakes, Client) {
    let fakes = Fakes::of(definition).await.unwrap();
    let authority = Certificate::from_pem(&std::fs::read(fakes.authority()).unwrap()).unwrap();
    let proxy = Proxy::https(fakes.url()).unwrap();
    let client = Client::builder().proxy(proxy).tls_certs_only([authority]).build().unwrap();
    (fakes, client)
}

fn account(fakes: &Fakes) -> Account {
    fakes.ledger().vendors["hubspot"].clone()
}

fn contacts(emails: &[&str]) -> Value {
    let input = |email| json!({"idProperty": "email", "id": email, "properties": {"email": email}, "objectWriteTraceId": email});
    json!({"inputs": emails.iter().map(input).collect::<Vec<_>>()})
}

async fn upsert(fakes: &Fakes, client: &Client, body: &Value) -> (StatusCode, Value) {
    let token = fakes.credentials()["hubspot"]["accessToken"].clone();
    let request = client.post("https://api.hubapi.com/crm/v3/objects/contacts/batch/upsert").bearer_auth(token);
    let answer = request.json(body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_right_request_is_taken_and_booked() {
    let (fakes, client) = started("hubspot").await;
    let (status, answer) = upsert(&fakes, &client, &contacts(&["a@example.com", "b@example.com"])).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["results"][1]["id"], "1002");
    let account = account(&fakes);
    assert_eq!(account.violations, Vec::<String>::new());
    assert_eq!(account.records["a@example.com"].ended, "upsert");
    assert_eq!(account.repeated, 0);
    upsert(&fakes, &client, &contacts(&["a@example.com"])).await;
    assert_eq!(self::account(&fakes).repeated, 1, "the same record came again, unchanged");
}

#[tokio::test]
async fn a_wrong_credential_is_refused_in_the_vendors_words_and_is_a_violation() {
    let (fakes, client) = started("hubspot").await;
    let request = client.post("https://api.hubapi.com/crm/v3/objects/contacts/batch/upsert").bearer_auth("guessed");
    let answer = request.json(&contacts(&["a@example.com"])).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(answer.json::<Value>().await.unwrap()["category"], "INVALID_AUTHENTICATION");
    let violations = account(&fakes).violations;
    assert!(violations.len() == 1 && violations[0].contains("credential"), "{violations:?}");
    assert!(!violations[0].contains(&fakes.credentials()["hubspot"]["accessToken"]));
}

#[tokio::test]
async fn a_check_of_another_path_or_header_is_refused() {
    let (fakes, client) = started("klaviyo").await;
    let key = format!("Klaviyo-API-Key {}", fakes.credentials()["klaviyo"]["apiKey"]);
    let get = |path: &str, revision: &str| {
        let request = client.get(format!("https://a.klaviyo.com{path}")).header("authorization", &key);
        request.header("accept", "application/vnd.api+json").header("revision", revision).send()
    };
    assert_eq!(get("/api/accounts", "2026-07-15").await.unwrap().status(), StatusCode::OK);
    assert_eq!(get("/api/accounts", "2020-01-01").await.unwrap().status(), StatusCode::BAD_REQUEST);
    assert_eq!(get("/api/account", "2026-07-15").await.unwrap().status(), StatusCode::NOT_FOUND);
    let ledger = fakes.ledger();
    let violations = &ledger.vendors["klaviyo"].violations;
    assert!(violations.len() == 1 && violations[0].contains("the header revision"), "{violations:?}");
    assert!(ledger.violations.len() == 1 && ledger.violations[0].contains("/api/account"), "{ledger:?}");
    let script = Script { check: Some("forbidden".into()), ..Script::default() };
    fakes.script("klaviyo", script);
    assert_eq!(get("/api/accounts", "2026-07-15").await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_body_that_breaks_the_schema_or_a_limit_is_refused() {
    let (fakes, client) = started("hubspot").await;
    let (status, answer) = upsert(&fakes, &client, &json!({"inputs": [{"id": 7}]})).await;
    assert_eq!((status, &answer["category"]), (StatusCode::BAD_REQUEST, &json!("VALIDATION_ERROR")));
    let emails: Vec<String> = (0..101).map(|n| format!("{n}@example.com")).collect();
    let (status, _) = upsert(&fakes, &client, &contacts(&emails.iter().map(String::as_str).collect::<Vec<_>>())).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let account = account(&fakes);
    assert_eq!(account.violations.len(), 2, "{:?}", account.violations);
    assert!(account.records.is_empty(), "nothing was taken");
}

#[tokio::test]
async fn other_hosts_and_other_paths_are_refused() {
    let (fakes, client) = started("hubspot").await;
    assert!(client.get("https://example.org/").send().await.is_err());
    let answer = client.get("https://api.hubapi.com/crm/v3/secrets").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(fakes.ledger().violations.len(), 2);
}

#[tokio::test]
async fn lookups_find_what_was_written_and_not_deleted() {
    let (fakes, client) = started("hubspot").await;
    upsert(&fakes, &client, &contacts(&["a@example.com"])).await;
    let token = fakes.credentials()["hubspot"]["accessToken"].clone();
    let call = async |what: &str, body: Value| {
        let url = format!("https://api.hubapi.com/crm/v3/objects/contacts/batch/{what}");
        client.post(url).bearer_auth(&token).json(&body).send().await.unwrap()
    };
    let read = json!({"idProperty": "email", "properties": ["email"], "propertiesWithHistory": [], "inputs": [{"id": "a@example.com"}, {"id": "b@example.com"}]});
    let found: Value = call("read", read.clone()).await.json().await.unwrap();
    assert_eq!(found["results"].as_array().unwrap().len(), 1, "{found}");
    let id = found["results"][0]["id"].clone();
    assert_eq!(call("archive", json!({"inputs": [{"id": id}]})).await.status(), StatusCode::NO_CONTENT);
    let found: Value = call("read", read).await.json().await.unwrap();
    assert_eq!(found["results"], json!([]), "{found}");
    let account = account(&fakes);
    assert_eq!(account.violations, Vec::<String>::new());
    assert_eq!(account.records["a@example.com"].ended, "delete", "the id stands for its record");
}

#[tokio::test]
async fn faults_come_in_their_order_and_hints_can_be_shortened() {
    let (fakes, client) = started("hubspot").await;
    fakes.script(
        "hubspot",
        Script::next([Fault::Throttled { after: Some(3) }, Fault::Unavailable, Fault::Reset, Fault::Html]),
    );
    let token = fakes.credentials()["hubspot"]["accessToken"].clone();
    let send = async || {
        let url = "https://api.hubapi.com/crm/v3/objects/contacts/batch/upsert";
        client.post(url).bearer_auth(&token).json(&contacts(&["a@example.com"])).send().await
    };
    let throttled = send().await.unwrap();
    assert_eq!(
        (throttled.status(), throttled.headers()["retry-after"].to_str().unwrap()),
        (StatusCode::TOO_MANY_REQUESTS, "3")
    );
    assert_eq!(send().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(send().await.is_err(), "the connection breaks");
    assert_eq!(send().await.unwrap().headers()["content-type"], "text/html; charset=utf-8");
    assert!(account(&fakes).records.is_empty());
    assert_eq!(send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(account(&fakes).violations, Vec::<String>::new());
}

#[tokio::test]
async fn tokens_are_issued_rotated_and_end() {
    let (fakes, client) = started("google-sheets").await;
    fakes.script("google-sheets", Script { rotate: true, ..Script::next([Fault::ExpireTokens]) });
    let account = fakes.credentials()["google-sheets"].clone();
    let ask = async |refresh: &str| {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", "client.apps.googleusercontent.com"),
            ("client_secret", &account["clientSecret"]),
            ("refresh_token", refresh),
        ];
        let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = client.post("https://oauth2.googleapis.com/token");
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let first = ask(&account["refreshToken"]).await;
    let get = async |token: &Value| {
        let url = "https://sheets.googleapis.com/v4/spreadsheets/s-1/values/Orders";
        client.get(url).bearer_auth(token.as_str().unwrap()).send().await.unwrap().status()
    };
    assert_eq!(get(&first["access_token"]).await, StatusCode::UNAUTHORIZED, "the script ends it");
    assert_eq!(get(&first["access_token"]).await, StatusCode::UNAUTHORIZED, "it has ended");
    assert_eq!(fakes.ledger().vendors["google-sheets"].violations, Vec::<String>::new(), "nobody could know that");
    assert_eq!(ask(&account["refreshToken"]).await["error"], "invalid_grant", "the refresh token was replaced");
    let second = ask(first["refresh_token"].as_str().unwrap()).await;
    assert_eq!(get(&second["access_token"]).await, StatusCode::OK);
    assert_eq!(fakes.ledger().violations.len(), 1, "a token request with a wrong refresh token is nobody's");
    assert_eq!(fakes.ledger().vendors["google-sheets"].tokens, 2);
}

#[tokio::test]
async fn every_fixture_is_read_and_a_person_can_look() {
    let fakes = Fakes::start().await.unwrap();
    // A native sink's server is no vendor that speaks HTTP.
    let speaks_http = |id: &&str| definitions().join(id).join("fixtures").exists();
    let names: Vec<&str> = backflow_definitions::builtin_ids().filter(speaks_http).collect();
    assert_eq!(fakes.credentials().keys().map(String::as_str).collect::<Vec<_>>(), names);
    let ledger: Value = reqwest::get(format!("{}/ledger", fakes.url())).await.unwrap().json().await.unwrap();
    assert_eq!(ledger, json!({"vendors": {}, "violations": []}));
    let script = json!({"next": ["reset", {"throttled": {"after": 1}}], "reject": ["ada@example.com"]});
    let post = async |path: &str| {
        Client::new().post(format!("{}/{path}", fakes.url())).json(&script).send().await.unwrap().status()
    };
    assert_eq!(post("script/hubspot").await, StatusCode::NO_CONTENT);
    assert_eq!(post("script/hubspott").await, StatusCode::NOT_FOUND);
    assert_eq!(post("clear/hubspot").await, StatusCode::NO_CONTENT);
}
