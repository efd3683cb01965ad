//! The built-in webhook: what its README says goes over the wire, byte by byte.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const SECRETS: &[(&str, &str)] = &[("authToken", "tok3n-canary"), ("signingKey", "key-canary")];

fn plan(url: &str, settings: &[(&str, Value)], secrets: &[&str]) -> DestinationPlan {
    let definition = backflow_definitions::builtin("webhook").expect("built in");
    let names: Vec<(&str, &str)> = secrets.iter().map(|name| (*name, "")).collect();
    let mut plan = destination(definition, url, &names);
    plan.settings.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    plan
}

fn open(plan: &DestinationPlan, secrets: &'static [(&'static str, &'static str)]) -> Result<Arc<dyn Sink>, Failure> {
    crate::open(plan, &mapping(), &Fixed(secrets), None, watch::channel(None).1)
}

fn sent(id: &str, op: Operation, data: &str, key: &str) -> Record {
    Record { id: id.into(), op, memory: Memory::default(), data: data.into(), key: key.into() }
}

#[tokio::test]
async fn a_batch_is_an_array_of_id_op_key_match_group_and_data() {
    let server = always(Answer::status(200)).await;
    let sink = open(&plan(&server.url, &[], &[]), &[]).unwrap();
    let found_by = Memory { match_key: Some("\"é@x\"".into()), group_key: Some("7".into()), remote_id: None };
    let records = [
        sent("7", Operation::Upsert, "{\"a\":1}", "k1"),
        sent("[1,\"x\"]", Operation::Upsert, "{}", "k2"),
        Record {
            memory: found_by,
            ..sent("\"é\"", Operation::Upsert, "{\"b\":null,\"big\":12345678901234567890.10}", "k3")
        },
    ];
    assert_eq!(marks(&sink.deliver(&records).await), "+ + +");
    assert_eq!(
        server.received()[0].text(),
        "[{\"id\":7,\"op\":\"upsert\",\"key\":\"k1\",\"data\":{\"a\":1}},\
         {\"id\":[1,\"x\"],\"op\":\"upsert\",\"key\":\"k2\",\"data\":{}},\
         {\"id\":\"é\",\"op\":\"upsert\",\"key\":\"k3\",\"match\":\"é@x\",\"group\":7,\"data\":{\"b\":null,\"big\":12345678901234567890.10}}]"
    );
    let deletion = [sent("1", Operation::Delete, "{}", "k4")];
    assert_eq!(marks(&sink.deliver(&deletion).await), "+");
    assert_eq!(server.received()[1].text(), "[{\"id\":1,\"op\":\"delete\",\"key\":\"k4\",\"data\":{}}]");
}

#[tokio::test]
async fn requests_carry_method_headers_token_signature_and_key() {
    let server = always(Answer::status(204)).await;
    let settings = [("method", json!("PUT")), ("headers", json!({"X-Team": "growth"}))];
    let url = format!("{}/a?q=query-canary", server.url);
    let sink = open(&plan(&url, &settings, &["authToken", "signingKey"]), SECRETS).unwrap();
    let records = [sent("1", Operation::Upsert, "{}", "a"), sent("2", Operation::Upsert, "{}", "b")];
    let delivery = sink.deliver(&records).await;
    assert_eq!(marks(&delivery), "+ +");
    let request = &server.received()[0];
    assert_eq!((request.method.as_str(), request.target.as_str()), ("PUT", "/a?q=query-canary"));
    assert_eq!((request.header("x-team"), request.header("content-type")), (Some("growth"), Some("application/json")));
    assert_eq!(request.header("authorization"), Some("Bearer tok3n-canary"));
    // printf 'a\nb\n' | sha256sum, as base64url.
    assert_eq!(request.header("idempotency-key"), Some("kRFp3arxRq_1OfWMJsSJrz"));
    let (timestamp, hex) =
        request.header("backflow-signature").unwrap().strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"key-canary");
    let expected = aws_lc_rs::hmac::sign(&key, format!("{timestamp}.{}", request.text()).as_bytes());
    assert_eq!(hex, expected.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
}

#[tokio::test]
async fn without_secrets_and_with_the_scheme_none_there_is_no_token() {
    let server = always(Answer::status(200)).await;
    let mut none = plan(&server.url, &[], &["authToken"]);
    none.auth = "none".into();
    for plan in [plan(&server.url, &[], &[]), none] {
        assert_eq!(marks(&open(&plan, SECRETS).unwrap().deliver(&records(1)).await), "+");
    }
    let requests = server.received();
    assert!(requests.iter().all(|request| request.header("authorization").is_none()));
    assert!(requests.iter().all(|request| request.header("backflow-signature").is_none()));
}

#[tokio::test]
async fn unusable_secrets_are_named_and_not_repeated() {
    let open = |names: &[&str], secrets| open(&plan("http://localhost/", &[], names), secrets).err().expect("fails");
    let broken = open(&["authToken"], &[("authToken", "can\r\nary: x")]);
    assert_eq!(broken.code, Code::DestinationUnauthorized);
    assert!(broken.message.contains("authToken") && !broken.message.contains("ary: x"), "{broken}");
    assert_eq!(open(&["signingKey"], &[("signingKey", "")]).code, Code::DestinationUnauthorized);
    assert_eq!(open(&["authToken"], &[]).code, Code::SecretKeyNotFound);
    let injected = plan("http://localhost/", &[("headers", json!({"X-A": "a\r\nAuthorization: Bearer b"}))], &[]);
    assert_eq!(super::webhook::open(&injected, &[]).err().expect("fails").code, Code::PlanInvalid);
}

/// Accepts one connection, reads what comes first, and answers with `answer` (or never).
async fn raw(answer: Option<&'static str>) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}/hook?token=query-canary", listener.local_addr().expect("address"));
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        let mut head = vec![0; 4096];
        let n = stream.read(&mut head).await.expect("reads");
        match answer {
            Some(answer) => {
                stream.write_all(answer.as_bytes()).await.expect("writes");
                stream.shutdown().await.expect("closes");
            }
            None => {
                // Nothing else happens, so paused time jumps to the client's timeout.
                tokio::time::pause();
                std::future::pending::<()>().await;
            }
        }
        String::from_utf8_lossy(&head[..n]).into_owned()
    });
    (url, task)
}

async fn check(url: &str, names: &[&str]) -> Result<String, Failure> {
    crate::check(&plan(url, &[], names), &Fixed(SECRETS)).await
}

#[tokio::test]
async fn a_check_asks_for_options_and_takes_what_receivers_of_post_say() {
    for answer in [
        "204 No Content",
        "404 Not Found",
        "405 Method Not Allowed",
        "403 Forbidden",
        "501 Not Implemented",
        "500 Oops",
    ] {
        let (url, task) =
            raw(Some(Box::leak(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").into_boxed_str()))).await;
        let account = check(&url, &["authToken"]).await.expect(answer);
        assert!(account.starts_with("http://127.0.0.1:") && !account.contains("hook"), "{account}");
        let head = task.await.expect("served");
        assert!(head.starts_with("OPTIONS /hook?token=query-canary HTTP/1.1"), "{head}");
        assert!(head.contains("authorization: Bearer tok3n-canary"));
    }
}

#[tokio::test]
async fn a_check_says_what_is_wrong_without_secrets() {
    let answers = [
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 3\r\n\r\nbad", Code::DestinationUnauthorized),
        (
            "HTTP/1.1 308 Permanent Redirect\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n",
            Code::DestinationMisconfigured,
        ),
        ("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n", Code::DestinationMisconfigured),
        ("220 smtp.example.com ESMTP\r\n", Code::DestinationUnreachable),
    ];
    for (answer, code) in answers {
        for names in [&[][..], &["authToken", "signingKey"]] {
            let (url, _task) = raw(Some(answer)).await;
            let failure = check(&url, names).await.expect_err(answer);
            assert_eq!(failure.code, code, "{failure}");
            assert!(!failure.message.contains("canary"), "{failure}");
        }
    }
    let (url, task) = raw(None).await;
    task.abort();
    let _ = task.await;
    let refused = check(&url, &[]).await.expect_err("nobody listens");
    assert_eq!(refused.code, Code::DestinationUnreachable);
    assert!(refused.message.contains("refuses connections") && !refused.message.contains("canary"), "{refused}");
    let unknown = check("http://no-such-host.invalid/?a=query-canary", &[]).await.expect_err("no such host");
    assert_eq!(unknown.code, Code::DestinationUnreachable);
    assert!(!unknown.message.contains("canary"), "{unknown}");
    let (url, _task) = raw(Some("HTTP/1.1 400 Bad Request\r\n\r\n")).await;
    let plain = check(&url.replace("http:", "https:"), &[]).await.expect_err("no TLS there");
    assert_eq!(plain.code, Code::TlsFailed, "{plain}");
}

#[tokio::test]
async fn a_silent_receiver_is_given_up_on() {
    let (url, _task) = raw(None).await;
    let failure = check(&url, &[]).await.expect_err("no answer");
    assert_eq!(failure.code, Code::DestinationUnreachable);
    assert!(failure.message.ends_with(" did not answer within 30 s") && !failure.message.contains("hook"), "{failure}");
}

#[tokio::test]
async fn names_of_forbidden_addresses_are_refused_when_they_are_resolved() {
    for url in ["http://localhost:9/", "http://LOCALHOST:9/"] {
        let mut plan = plan(url, &[], &[]);
        plan.allow_loopback = false;
        let failure = crate::check(&plan, &Fixed(&[])).await.expect_err(url);
        assert_eq!(failure.code, Code::AddressForbidden, "{url}");
    }
    for url in ["http://127.0.0.1/", "http://2130706433/", "http://[::1]:80/", "http://169.254.169.254/latest"] {
        let mut plan = plan(url, &[], &[]);
        plan.allow_loopback = false;
        assert_eq!(open(&plan, &[]).err().map(|failure| failure.code), Some(Code::AddressForbidden), "{url}");
    }
}
