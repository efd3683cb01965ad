//! Tokens from a scripted endpoint.

use std::collections::BTreeMap;

use backflow_definitions::Hosts;
use futures::future::join_all;
use serde_json::json;

use super::super::assertion::{Algorithm, SigningKey};
use super::super::token::{Expiry, Token, TokenSource};
use super::*;
use crate::http::{Client, Timeouts};
use crate::testing::{Answer, Received, Server};

/// `access_token` of the answer, and all of it captured.
fn access_token(answer: &RawAnswer) -> Result<Obtained, String> {
    let body: Value = serde_json::from_slice(&answer.body).map_err(|_| "no JSON".to_owned())?;
    let token = body["access_token"].as_str().ok_or("token.access_token is not there")?;
    let captured = body["instance_url"].as_str().unwrap_or_default().to_owned();
    Ok(Obtained {
        value: SecretString::from(token),
        captured: Json::Object(BTreeMap::from([("instanceUrl".to_owned(), Json::Text(captured))])),
        expires_in: expires_in(answer),
    })
}

fn oauth(server: &Server, grant: Grant) -> OAuth {
    OAuth {
        url: format!("{}/oauth/token", server.url).parse().unwrap(),
        grant,
        client: ClientAuth::Basic("app".into(), SecretString::from("s3cret:canary")),
        params: vec![("scope".into(), SecretString::from("write all"))],
        headers: HeaderMap::new(),
        read: Box::new(access_token),
    }
}

fn client() -> Client {
    let hosts = Box::leak(Box::new(Hosts::Allow { names: vec!["127.0.0.1".into()], deny_private_networks: true }));
    let base: Url = "http://127.0.0.1".parse().unwrap();
    let timeouts = Timeouts { connect: Duration::from_secs(5), request: Duration::from_secs(30) };
    Client::new(hosts, Some(&base), true, 4, timeouts).unwrap()
}

fn source(oauth: OAuth) -> TokenSource {
    TokenSource::new(oauth, Expiry { unless_said: None, renew_before: Duration::from_secs(60) })
}

/// Answers each request with a token of its number, valid for an hour.
async fn numbered() -> Server {
    Server::start(|n, _| Answer::json(200, &json!({"access_token": format!("token-{n}"), "expires_in": 3600}))).await
}

fn refresh(token: &str) -> Grant {
    Grant::RefreshToken(Refreshing::InMemory(Mutex::new(SecretString::from(token))))
}

fn pairs(request: &Received) -> BTreeMap<String, String> {
    request.form().into_iter().collect()
}

fn shown(token: &Token) -> &str {
    token.value.expose_secret()
}

async fn failure(source: &TokenSource) -> Failure {
    match source.token(&client()).await {
        Err(TokenError::Stop(failure)) => failure,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("there is a token"),
    }
}

#[tokio::test]
async fn each_grant_asks_in_its_own_words() {
    let server = numbered().await;
    let key = SigningKey::read(Algorithm::Hs256, &SecretString::from("shared")).unwrap();
    let assertion = Assertion {
        algorithm: Algorithm::Hs256,
        key,
        key_id: None,
        ttl: Duration::from_secs(60),
        claims: serde_json::Map::new(),
    };
    let password = Grant::Password("ada".into(), SecretString::from("pw"));
    for grant in [Grant::ClientCredentials, refresh("r1"), Grant::JwtBearer(Box::new(assertion)), password] {
        assert!(source(oauth(&server, grant)).token(&client()).await.is_ok());
    }
    let requests = server.received();
    let forms: Vec<BTreeMap<String, String>> = requests.iter().map(pairs).collect();
    let types: Vec<&str> = forms.iter().map(|form| form["grant_type"].as_str()).collect();
    assert_eq!(
        types,
        ["client_credentials", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer", "password"]
    );
    assert_eq!(forms[1]["refresh_token"], "r1");
    assert_eq!(forms[2]["assertion"].split('.').count(), 3);
    assert_eq!((forms[3]["username"].as_str(), forms[3]["password"].as_str()), ("ada", "pw"));
    for (request, form) in requests.iter().zip(&forms) {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/oauth/token"));
        assert_eq!(form["scope"], "write all");
        // printf 'app:s3cret%3Acanary' | base64
        assert_eq!(request.header("authorization"), Some("Basic YXBwOnMzY3JldCUzQWNhbmFyeQ=="));
    }
}

#[tokio::test]
async fn a_client_may_prove_itself_in_the_body_or_not_at_all() {
    let server = numbered().await;
    for client_auth in [
        ClientAuth::Body("app".into(), Some(SecretString::from("s"))),
        ClientAuth::Body("app".into(), None),
        ClientAuth::None,
    ] {
        let oauth = OAuth { client: client_auth, ..oauth(&server, Grant::ClientCredentials) };
        assert!(source(oauth).token(&client()).await.is_ok());
    }
    let forms: Vec<BTreeMap<String, String>> = server.received().iter().map(pairs).collect();
    let get = |at: usize, name: &str| forms[at].get(name).map(String::as_str);
    assert_eq!((get(0, "client_id"), get(0, "client_secret")), (Some("app"), Some("s")));
    assert_eq!((get(1, "client_id"), get(1, "client_secret")), (Some("app"), None));
    assert_eq!((get(2, "client_id"), get(2, "client_secret")), (None, None));
    assert!(server.received().iter().all(|request| request.header("authorization").is_none()));
}

#[tokio::test]
async fn many_requests_at_once_share_one_token() {
    let server = numbered().await;
    let source = source(oauth(&server, Grant::ClientCredentials));
    let client = client();
    let tokens = join_all((0..20).map(|_| source.token(&client))).await;
    assert!(tokens.iter().all(|token| token.as_ref().is_ok_and(|token| shown(token) == "token-1")));
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires() {
    let server = numbered().await;
    let source = source(oauth(&server, Grant::ClientCredentials));
    let client = client();
    assert_eq!(shown(&source.token(&client).await.unwrap()), "token-1");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3600 - 61)).await;
    assert_eq!(shown(&source.token(&client).await.unwrap()), "token-1");
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    assert_eq!(shown(&source.token(&client).await.unwrap()), "token-2");
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_for_all_and_a_second_refusal_is_the_end() {
    let server = numbered().await;
    let source = source(oauth(&server, Grant::ClientCredentials));
    let client = client();
    let first = source.token(&client).await.unwrap();
    assert!(source.refused(&first).await);
    assert!(source.refused(&first).await, "another request with the same token");
    let second = source.token(&client).await.unwrap();
    assert_eq!((shown(&second), server.received().len()), ("token-2", 2));
    assert!(source.refused(&first).await, "a late one: there is a newer token");
    assert!(!source.refused(&second).await, "it is not the token");
    second.accepted();
    assert!(source.refused(&second).await, "it went well before, so it has expired");
    assert_eq!(shown(&source.token(&client).await.unwrap()), "token-3");
}

#[tokio::test]
async fn a_refresh_token_that_comes_in_place_of_another_is_used_from_then_on() {
    let server = Server::start(|n, request| {
        assert_eq!(pairs(request)["refresh_token"], format!("r{n}"));
        Answer::json(200, &json!({"access_token": format!("token-{n}"), "refresh_token": format!("r{}", n + 1)}))
    })
    .await;
    let source = source(oauth(&server, refresh("r1")));
    let client = client();
    for n in 1..=3 {
        let token = source.token(&client).await.unwrap();
        assert_eq!(shown(&token), format!("token-{n}"));
        token.accepted();
        assert!(source.refused(&token).await);
    }
}

#[tokio::test]
async fn refusals_are_explained_without_a_word_of_the_answer() {
    for (status, body, code, says) in [
        (
            400,
            json!({"error": "invalid_grant", "error_description": "canary"}),
            Code::DestinationUnauthorized,
            "invalid_grant",
        ),
        (401, json!({"error": "invalid_client"}), Code::DestinationUnauthorized, "id and secret"),
        (400, json!({"error": "canary", "message": "canary"}), Code::DestinationUnauthorized, "authorize again"),
        (403, json!("canary"), Code::DestinationUnauthorized, "answers 403"),
        (302, json!({}), Code::DestinationMisconfigured, "redirect"),
        (404, json!({}), Code::DestinationMisconfigured, "404"),
        (200, json!({"token": "canary"}), Code::DestinationMisconfigured, "token.access_token"),
        (200, json!({"error": {"code": "canary"}}), Code::DestinationMisconfigured, "token.access_token"),
        (200, json!({"error": "invalid_client"}), Code::DestinationUnauthorized, "answers 200 (invalid_client)"),
        (200, json!({"error": "canary"}), Code::DestinationUnauthorized, "authorize again"),
    ] {
        let server = Server::start(move |_, _| Answer::json(status, &body)).await;
        let failure = failure(&source(oauth(&server, refresh("canary-r")))).await;
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(says) && !failure.message.contains("canary"), "{failure}");
    }
    let page = Server::start(|_, _| Answer::text(200, "<html>Log in, canary")).await;
    assert_eq!(failure(&source(oauth(&page, refresh("r")))).await.code, Code::DestinationMisconfigured);
}

#[tokio::test]
async fn a_busy_token_endpoint_is_asked_again_later() {
    let server = Server::start(|_, _| Answer::status(503).header("retry-after", "7")).await;
    let source = source(oauth(&server, Grant::ClientCredentials));
    let error = source.token(&client()).await.err().unwrap();
    assert!(matches!(error, TokenError::Later(503, Some(wait)) if wait == Duration::from_secs(7)));
    drop(server);
    tokio::task::yield_now().await;
    assert!(matches!(source.token(&client()).await, Err(TokenError::Trouble(_))));
}

#[tokio::test]
async fn a_token_url_outside_the_definitions_hosts_is_never_called() {
    let server = numbered().await;
    let mut other = oauth(&server, Grant::ClientCredentials);
    other.url = other.url.as_str().replace("127.0.0.1", "localhost").parse().unwrap();
    let error = source(other).token(&client()).await.err().unwrap();
    assert!(
        matches!(error, TokenError::Trouble(trouble) if trouble.fatal && trouble.failure.code == Code::AddressForbidden)
    );
    assert!(server.received().is_empty());
}
