//! `backflow authorize` against an authorisation server on this machine, with a definition of the user's own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use backflow_tests::cli::{Desk, Said, manifest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

/// What the server does with a person who comes to its page, and with who comes for a token.
#[derive(Clone, Copy, PartialEq)]
enum Vendor {
    Agrees,
    Denies,
    /// It sends somebody else's answer first.
    IsImpersonated,
    GivesNoRefreshToken,
    RefusesTheCode,
    IsDown,
}

struct Server {
    url: String,
    /// Of this run alone.
    secret: String,
    token: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    challenge: String,
    redirect: String,
    token_requests: Vec<BTreeMap<String, String>>,
}

struct Behind {
    vendor: Vendor,
    secret: String,
    token: String,
    seen: Arc<Mutex<Seen>>,
}

/// As RFC 6749 and RFC 7636 want it; what is wrong with a request is an error of the protocol.
async fn server(vendor: Vendor) -> Server {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let random = || format!("{:032x}", fastrand::u128(..));
    let (secret, token, seen) = (random(), random(), Arc::new(Mutex::new(Seen::default())));
    let behind = Behind { vendor, secret: secret.clone(), token: token.clone(), seen: seen.clone() };
    let router =
        Router::new().route("/authorize", get(page)).route("/token", post(exchange)).with_state(Arc::new(behind));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Server { url, secret, token, seen }
}

async fn page(State(behind): State<Arc<Behind>>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let right = query["response_type"] == "code"
        && query["client_id"] == "app-1"
        && query["code_challenge_method"] == "S256"
        && query["scope"] == "contacts offline"
        && query["prompt"] == "consent";
    if !right {
        return (StatusCode::BAD_REQUEST, "not what the definition says").into_response();
    }
    let (redirect, state) = (query["redirect_uri"].clone(), query["state"].clone());
    *behind.seen.lock().unwrap() =
        Seen { challenge: query["code_challenge"].clone(), redirect: redirect.clone(), token_requests: Vec::new() };
    match behind.vendor {
        Vendor::Denies => {
            let why = "error=access_denied&error_description=The+user+said+no";
            Redirect::to(&format!("{redirect}?{why}&state={state}")).into_response()
        }
        Vendor::IsImpersonated => {
            let foreign = reqwest::get(format!("{redirect}?code=foreign&state=guessed")).await.unwrap();
            assert_eq!(foreign.status(), 400);
            Redirect::to(&format!("{redirect}?code=code-1&state={state}")).into_response()
        }
        _ => Redirect::to(&format!("{redirect}?code=code-1&state={state}")).into_response(),
    }
}

async fn exchange(State(behind): State<Arc<Behind>>, headers: HeaderMap, body: String) -> Response {
    let form = reqwest::Url::parse(&format!("http://form/?{body}")).unwrap();
    let form: BTreeMap<String, String> = form.query_pairs().into_owned().collect();
    let mut seen = behind.seen.lock().unwrap();
    seen.token_requests.push(form.clone());
    let basic = format!("Basic {}", STANDARD.encode(format!("app-1:{}", behind.secret)));
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
    let refused = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response();
    match behind.vendor {
        Vendor::IsDown => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Vendor::RefusesTheCode => refused("invalid_grant"),
        _ if headers["authorization"] != basic.as_str() => refused("invalid_client"),
        _ if form["grant_type"] != "authorization_code" || form["code"] != "code-1" => refused("invalid_grant"),
        _ if challenge != seen.challenge || form["redirect_uri"] != seen.redirect => refused("invalid_grant"),
        Vendor::GivesNoRefreshToken => Json(json!({"access_token": "at", "token_type": "Bearer"})).into_response(),
        _ => Json(json!({"access_token": "at", "refresh_token": behind.token, "expires_in": 3600})).into_response(),
    }
}

/// A tool whose address is a setting.
const DEFINITION: &str = r#"
apiVersion: backflow.dev/v1alpha1
kind: DestinationDefinition
metadata: {name: acme}
spec:
  version: 1
  settings:
    type: object
    required: [url]
    properties:
      url: {type: string, format: url, description: Where it is.}
      clientId: {type: string, description: Of the application.}
      clientSecret: {type: string, x-secret: true, description: Of the application.}
      refreshToken: {type: string, x-secret: true, description: Of the consent.}
  auth:
    choose:
      - id: oauth
        description: With an application of your own.
        type: oauth2
        grant: refreshToken
        tokenUrl: "${settings.url}/token"
        clientId: "${settings.clientId}"
        clientSecret: "${settings.clientSecret}"
        refreshToken: "${settings.refreshToken}"
        consent: {url: "${settings.url}/authorize", scope: contacts offline, params: {prompt: consent}}
      - {id: none, type: none, description: Without.}
  http: {baseUrl: "${settings.url}", hosts: {userDefined: true}}
  limits: {concurrency: {max: 1}}
  actions:
    send:
      title: Send
      description: Sends records.
      syncModes: [Upsert]
      idempotent: true
      fields: {type: object, additionalProperties: true}
      batch: {maxRecords: 10}
      operations:
        - for: [upsert]
          request: {method: POST, path: /records, item: "${f}", body: {records: $items}}
          results: {mode: whole}
"#;

fn desk(url: &str) -> Desk {
    let desk = Desk::empty().unwrap();
    let spec = format!(
        "{{type: acme, settings: {{url: '{url}', clientId: app-1}}, secrets: {{clientSecret: {{secretKeyRef: {{name: acme, key: app}}}}, \
         refreshToken: {{secretKeyRef: {{name: acme, key: token}}}}}}}}"
    );
    desk.write("destination.yaml", &(manifest("Destination", "crm", &spec) + "---" + DEFINITION)).unwrap();
    desk
}

/// Runs the command, and goes to the address that it shows, as a browser does.
async fn authorize(server: &Server, more: &[&str]) -> Said {
    let desk = desk(&server.url);
    let secret = format!("acme/app={}", server.secret);
    let arguments = [&["authorize", "-f", ".", "--no-browser", "--secret", secret.as_str()], more].concat();
    let mut child = desk.start(&arguments).unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    while let Some(line) = errors.next_line().await.unwrap() {
        said += &format!("{line}\n");
        let address = line.trim();
        if address.starts_with(&server.url) {
            assert!(address.contains("/authorize?"), "{address}");
            let page = reqwest::get(address).await.unwrap();
            assert!(page.status().is_success(), "{}", page.text().await.unwrap());
        }
    }
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
    let code = child.wait().await.unwrap().code();
    for secret in [&server.secret, &server.token] {
        assert!(!said.contains(secret.as_str()), "a secret beside the manifest: {said}");
    }
    Said { code, out, err: said }
}

#[tokio::test]
async fn a_consent_becomes_the_secret_that_the_destination_names() {
    for vendor in [Vendor::Agrees, Vendor::IsImpersonated] {
        let server = server(vendor).await;
        let said = authorize(&server, &[]).await;
        assert_eq!(said.code, Some(0), "{}", said.err);
        let secret: Value = serde_saphyr::from_str(&said.out).unwrap();
        let expected = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "acme"},
            "stringData": {"app": server.secret, "token": server.token}});
        assert_eq!(secret, expected);
        assert_eq!(said.err.contains("turned away"), vendor == Vendor::IsImpersonated, "{}", said.err);
        assert_eq!(server.seen.lock().unwrap().token_requests.len(), 1);
    }
}

#[tokio::test]
async fn without_consent_or_token_nothing_is_printed_but_why() {
    for (vendor, words) in [
        (Vendor::Denies, ["access_denied", "The user said no", "did not agree"]),
        (Vendor::GivesNoRefreshToken, ["no refresh_token", "lasting access", "only once"]),
        (Vendor::RefusesTheCode, ["invalid_grant", "the code of the consent", "begin again"]),
        (Vendor::IsDown, ["503", "acme", "begin again later"]),
    ] {
        let server = server(vendor).await;
        let said = authorize(&server, &[]).await;
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{}", said.err);
        for words in words {
            assert!(said.err.contains(words), "{words}: {}", said.err);
        }
    }
}

#[tokio::test]
async fn a_person_who_does_not_come_is_not_waited_for_without_end() {
    let desk = desk("http://127.0.0.1:9");
    let said = desk
        .backflow(&["authorize", "-f", ".", "--no-browser", "--secret", "acme/app=x", "--timeout", "1s"])
        .await
        .unwrap();
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{}", said.err);
    assert!(said.err.contains("nobody agreed within 1s"), "{}", said.err);
}

#[tokio::test]
async fn what_is_missing_is_said_before_anybody_is_asked() {
    let desk = desk("http://127.0.0.1:9");
    let said = desk.backflow(&["authorize", "-f", ".", "--no-browser"]).await.unwrap();
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    assert!(said.err.contains("--secret acme/app=@FILE") && !said.err.contains("/authorize?"), "{}", said.err);

    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let redirect = format!("http://{}/callback", taken.local_addr().unwrap());
    let said = desk.backflow(&["authorize", "-f", ".", "--no-browser", "--redirect-url", &redirect]).await.unwrap();
    assert_eq!(said.code, Some(64));
    assert!(said.err.contains("--redirect-url"), "{}", said.err);

    let none = "{type: acme, auth: none, settings: {url: 'http://127.0.0.1:9'}}";
    desk.write("destination.yaml", &(manifest("Destination", "crm", none) + "---" + DEFINITION)).unwrap();
    let said = desk.backflow(&["authorize", "-f", ".", "--no-browser"]).await.unwrap();
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("set spec.auth to oauth"), "{}", said.err);
    let said = desk.backflow(&["authorize", "-f", ".", "--redirect-url", "http://example.com/callback"]).await.unwrap();
    assert_eq!(said.code, Some(64));
}
