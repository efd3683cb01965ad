//! Each way to authenticate, and what becomes of a run when credentials end.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;

/// Delivers two records, and gives the request that carried them.
async fn sent(auth: &'static str) -> Received {
    let server = Server::start(|_, request| match request.target.as_str() {
        "/login" => Answer::json(200, &json!({"data": {"session": "sess-canary", "host": "captured"}})),
        "/token" => Answer::json(200, &json!({"access_token": "tok-canary", "expires_in": 3600, "path": "captured"})),
        _ => Answer::status(200),
    })
    .await;
    // The token endpoint is the receiver itself.
    let auth = Box::leak(auth.replace("TOKEN_URL", "${settings.url}/token").into_boxed_str());
    let delivery = Made { auth, ..Made::default() }.deliver(&server, &records(2)).await;
    assert_eq!(marks(&delivery), "+ +", "{:?}", delivery.stop);
    server.received().pop().expect("a request")
}

fn choose(scheme: &str) -> &'static str {
    Box::leak(format!("{{choose: [{{id: it, description: The one., {scheme}}}]}}").into_boxed_str())
}

#[tokio::test]
pub(super) async fn credentials_go_where_the_scheme_says() {
    let bearer = sent(choose(r#"type: bearer, token: "${settings.key}""#)).await;
    assert_eq!(bearer.header("authorization"), Some("Bearer s3cret-canary"));
    let prefixed = sent(choose(r#"type: bearer, prefix: Token, token: "${settings.key}""#)).await;
    assert_eq!(prefixed.header("authorization"), Some("Token s3cret-canary"));
    let basic = sent(choose(r#"type: basic, username: "${settings.user}/token", password: "${settings.key}""#)).await;
    // printf 'ada/token:s3cret-canary' | base64
    assert_eq!(basic.header("authorization"), Some("Basic YWRhL3Rva2VuOnMzY3JldC1jYW5hcnk="));
    let header = sent(choose(r#"type: header, name: X-Api-Key, value: "Key ${settings.key}""#)).await;
    assert_eq!((header.header("x-api-key"), header.header("authorization")), (Some("Key s3cret-canary"), None));
    let query = sent(choose(r#"type: query, name: api_key, value: "${settings.key}""#)).await;
    assert_eq!(query.target, "/records?api_key=s3cret-canary");
    let body = sent(choose(r#"type: body, pointer: /api_key, value: "${settings.key}""#)).await;
    assert_eq!((body.json()["api_key"].as_str(), keys(&body).len()), (Some("s3cret-canary"), 2));
    let none = sent(choose("type: none")).await;
    assert_eq!(none.header("authorization"), None);
}

#[tokio::test]
pub(super) async fn a_url_that_is_the_credential_is_where_requests_go() {
    let server = always(Answer::status(200)).await;
    let made = Made { auth: choose(r#"type: baseUrl, url: "${settings.key}""#), ..Made::default() };
    let hook: &'static str = Box::leak(format!("{}/hook/s3cret-canary", server.url).into_boxed_str());
    let secrets: &'static [(&str, &str)] = Box::leak(Box::new([("key", hook)]));
    let delivery = made.try_open(&server, secrets).expect("opens").deliver(&records(1)).await;
    assert_eq!(marks(&delivery), "+");
    assert_eq!(server.received()[0].target, "/hook/s3cret-canary/records");
}

#[tokio::test]
async fn several_schemes_go_together_and_signatures_are_over_all_of_it() {
    let auth = r#"
  choose: [{id: it, description: Both., type: body, pointer: /api_key, value: "${settings.key}"}]
  always:
    - {type: hmac, algorithm: sha256, key: "${settings.other}", signs: ["${request.timestamp}", ".", "${request.body}"], header: X-Signature,
       format: "t=${request.timestamp},v1=${signature.hex},b=${signature.base64}"}"#;
    let request = sent(auth).await;
    let header = request.header("x-signature").unwrap();
    let (timestamp, rest) = header.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"0ther-canary");
    let expected = aws_lc_rs::hmac::sign(&key, format!("{timestamp}.{}", request.text()).as_bytes());
    let hex: String = expected.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(rest.split_once(",b=").unwrap().0, hex);
    assert!(request.text().starts_with("{\"api_key\":"));
}

#[tokio::test]
pub(super) async fn sha1_signatures_are_what_openssl_makes() {
    let auth = choose(
        r#"type: hmac, algorithm: sha1, key: "${settings.key}", signs: ["${request.method}${request.path}"], header: X-Signature, format: "${signature.hex}""#,
    );
    // printf 'POST/records' | openssl dgst -sha1 -hmac s3cret-canary
    assert_eq!(sent(auth).await.header("x-signature"), Some("0f6e4949258b950b59434b79a5ada2b3e308d522"));
}

#[tokio::test]
pub(super) async fn tokens_are_fetched_placed_and_captured_from() {
    let oauth = sent(choose(
        r#"type: oauth2, grant: clientCredentials, tokenUrl: "TOKEN_URL", clientId: app, clientSecret: "${settings.key}""#,
    ));
    assert_eq!(oauth.await.header("authorization"), Some("Bearer tok-canary"));
    let header = sent(choose(
        r#"type: oauth2, grant: refreshToken, tokenUrl: "TOKEN_URL", clientId: app, refreshToken: "${settings.key}", place: {as: header, name: X-Token}"#,
    ));
    assert_eq!(header.await.header("x-token"), Some("tok-canary"));
    let query = sent(choose(
        r#"type: oauth2, grant: password, tokenUrl: "TOKEN_URL", username: "${settings.user}", password: "${settings.key}", place: {as: query, name: t}"#,
    ));
    assert_eq!(query.await.target, "/records?t=tok-canary");
    let jwt = sent(choose(
        r#"type: oauth2, grant: jwtBearer, tokenUrl: "TOKEN_URL", assertion: {alg: HS256, key: "${settings.key}", ttl: 3m, claims: {iss: "${settings.user}"}}"#,
    ));
    assert_eq!(jwt.await.header("authorization"), Some("Bearer tok-canary"));
    let login = sent(choose(
        r#"type: tokenRequest, request: {method: POST, path: /login, body: {user: "${settings.user}", password: "${settings.key}"}}, token: "${body.data.session}", expiresIn: 1h, place: {as: header, name: X-Session}"#,
    ));
    assert_eq!(login.await.header("x-session"), Some("sess-canary"));
}

const CLIENT: &str = r#"type: oauth2, grant: clientCredentials, tokenUrl: "${settings.url}/token", clientId: app, clientSecret: "${settings.key}""#;

#[tokio::test]
async fn a_token_that_expires_in_the_middle_is_replaced_once() {
    let tokens = AtomicUsize::new(0);
    let server = Server::start(move |n, request| {
        let current = || format!("Bearer tok-{}", tokens.load(SeqCst));
        match request.target.as_str() {
            "/token" => Answer::json(200, &json!({"access_token": format!("tok-{}", tokens.fetch_add(1, SeqCst) + 1)})),
            // Every seventh request finds that the token has ended.
            _ if n % 7 == 0 => {
                tokens.fetch_add(1, SeqCst);
                Answer::status(401)
            }
            _ if request.header("authorization") == Some(&current()) => Answer::status(200),
            _ => Answer::status(401),
        }
    })
    .await;
    let sink = Made { auth: choose(CLIENT), action: "batch: {maxRecords: 1}", ..Made::default() }.open(&server);
    for n in 0..20 {
        assert_eq!(marks(&sink.deliver(&records(n + 1).split_off(n)).await), "+", "{n}");
    }
    let requests = server.received();
    let taken: Vec<u64> = requests.iter().filter(|request| request.target == "/records").flat_map(numbers).collect();
    assert!(taken.len() > 20, "some were refused first");
    assert!(requests.iter().filter(|request| request.target == "/token").count() >= 3);
}

#[tokio::test]
async fn credentials_that_no_token_mends_end_the_run() {
    let server = Server::start(|_, request| match request.target.as_str() {
        "/token" => Answer::json(200, &json!({"access_token": "tok-canary"})),
        _ => Answer::text(401, "canary"),
    })
    .await;
    let delivery = Made { auth: choose(CLIENT), ..Made::default() }.deliver(&server, &records(2)).await;
    assert_eq!((marks(&delivery).as_str(), code(&delivery)), ("~ ~", Some(Code::DestinationUnauthorized)));
    let targets: Vec<String> = server.received().iter().map(|request| request.target.clone()).collect();
    assert_eq!(targets, ["/token", "/records", "/token", "/records"]);
    let refused = Server::start(|_, _| Answer::json(400, &json!({"error": "invalid_client"}))).await;
    let delivery = Made { auth: choose(CLIENT), ..Made::default() }.deliver(&refused, &records(2)).await;
    assert_eq!((code(&delivery), refused.received().len()), (Some(Code::DestinationUnauthorized), 1));
}

#[tokio::test]
async fn unusable_secrets_are_named_and_not_repeated() {
    let server = always(Answer::status(200)).await;
    let made = Made { auth: choose(r#"type: bearer, token: "${settings.key}""#), ..Made::default() };
    let broken = made.try_open(&server, &[("key", "can\r\nary: x")]).err().expect("fails");
    assert_eq!(broken.code, Code::DestinationUnauthorized);
    assert!(broken.message.contains("secret key") && !broken.message.contains("ary: x"), "{broken}");
    assert_eq!(
        made.try_open(&server, &[("key", "")]).err().map(|failure| failure.code),
        Some(Code::DestinationUnauthorized)
    );
    assert!(made.try_open(&server, &[]).is_err(), "a secret that is needed and not given");
}

#[tokio::test]
async fn a_captured_host_is_held_against_the_allowed_ones() {
    let elsewhere = always(Answer::status(200)).await;
    let other = elsewhere.url.replace("127.0.0.1", "localhost");
    let server =
        Server::start(move |_, _| Answer::json(200, &json!({"access_token": "t", "instance_url": other}))).await;
    // As it stands in a definition of a vendor, with this machine in the vendor's place.
    let yaml = include_str!("captured.yaml").replace("TOKEN_URL", &format!("{}/token", server.url));
    let Ok(definition) = load(&yaml) else { panic!("{}", load(&yaml).unwrap_err()) };
    let definition: &'static Definition = Box::leak(Box::new(definition));
    let mut plan = destination(definition, "", &[("key", "k")]);
    plan.settings.clear();
    let open = || open_with(definition, &plan, &mapping(), &Fixed(&[("key", "k")]), None, watch::channel(None).1);
    let delivery = open().unwrap().deliver(&records(1)).await;
    assert_eq!(code(&delivery), Some(Code::AddressForbidden), "{:?}", delivery.stop);
    assert!(elsewhere.received().is_empty());
}

#[tokio::test]
async fn a_check_tries_the_credentials_and_names_the_account() {
    let made = Made { auth: choose(r#"type: bearer, token: "${settings.key}""#), asked: CHECK, ..Made::default() };
    let definition = made.definition();
    let server = Server::start(|_, request| match request.header("authorization") {
        Some("Bearer right") => Answer::json(200, &json!({"portal": 7, "kind": "sandbox"})),
        Some("Bearer other") => Answer::json(200, &json!({"kind": "sandbox"})),
        _ => Answer::text(401, "canary"),
    })
    .await;
    let check = |key: &'static str| {
        let secrets: &'static [(&str, &str)] = Box::leak(Box::new([("key", key)]));
        let plan = destination(definition, &server.url, secrets);
        async move { crate::check_with(definition, &plan, &Fixed(secrets)).await }
    };
    assert_eq!(check("right").await, Ok("portal 7".to_owned()));
    let wrong = check("wrong").await.unwrap_err();
    assert!(wrong.code == Code::DestinationUnauthorized && !wrong.message.contains("canary"), "{wrong}");
    assert_eq!(check("other").await.unwrap_err().code, Code::DestinationMisconfigured, "not what an account answers");
    assert_eq!(server.received()[0].target, "/me");
}

const CHECK: &str = r#"
check: {request: {method: GET, path: /me}, expect: "has(body.portal)", account: "portal ${body.portal}"}
discover:
  - {id: lists, request: {method: GET, path: /lists}, from: "${body.lists}", value: "${it.id}", label: "${it.?name}",
     paginate: {type: cursor, next: "${body.?next}", param: after}}
"#;

#[tokio::test]
async fn choices_are_read_page_by_page() {
    let made = Made { asked: CHECK, ..Made::default() };
    let definition = made.definition();
    let server = Server::start(|_, request| match request.target.as_str() {
        "/lists" => Answer::json(200, &json!({"lists": [{"id": 1, "name": "One"}], "next": "p 2"})),
        "/lists?after=p+2" => Answer::json(200, &json!({"lists": [{"id": "b"}]})),
        _ => Answer::status(404),
    })
    .await;
    let plan = destination(definition, &server.url, &[]);
    let ask = |list: &'static str| crate::discover_with(definition, &plan, &Fixed(&[]), list);
    let choices = ask("lists").await.unwrap();
    let shown: Vec<(&str, Option<&str>)> =
        choices.iter().map(|choice| (choice.value.as_str(), choice.label.as_deref())).collect();
    assert_eq!(shown, [("1", Some("One")), ("b", None)]);
    assert_eq!(ask("objects").await.unwrap_err().code, Code::PlanInvalid);
}

#[tokio::test]
async fn a_secret_is_of_the_form_that_the_definition_demands() {
    let yaml = include_str!("examples/token-request.yaml");
    let yaml = yaml.replace("x-secret: true,", "x-secret: true, pattern: \"^pw-\", enum: [pw-1, pw-2],");
    let definition: &'static Definition =
        Box::leak(Box::new(load(&yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))));
    let mut plan = destination(definition, "http://127.0.0.1:9", &[("password", "")]);
    plan.settings.insert("user".to_owned(), json!("ada"));
    let opened = |secrets: &'static [(&'static str, &'static str)]| {
        open_with(definition, &plan, &mapping(), &Fixed(secrets), None, watch::channel(None).1)
    };
    assert!(opened(&[("password", "pw-1")]).is_ok());
    let failure = opened(&[("password", "canary")]).err().expect("another form");
    assert_eq!(failure.code, Code::DestinationUnauthorized);
    assert!(failure.message.contains("the secret password is not of the form"), "{failure:?}");
    assert!(!failure.message.contains("canary"), "{failure:?}");
}
