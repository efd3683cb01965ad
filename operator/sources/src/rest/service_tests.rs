//! Requests to a server that misbehaves as its script says.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;

use super::super::body::{Body, Broken};
use super::super::script::{Answer, Script};
use super::*;

/// A token that says how often it was renewed.
#[derive(Default)]
struct Counted(AtomicU32);

#[async_trait]
impl Authorize for Counted {
    async fn bearer(&self, stale: bool) -> Result<Option<SecretString>, Failure> {
        let renewed = self.0.fetch_add(stale.into(), Ordering::Relaxed) + u32::from(stale);
        Ok(Some(format!("token-{renewed}").into()))
    }
}

async fn service(answers: impl IntoIterator<Item = Answer>) -> (Script, Service) {
    let script = Script::start(answers).await;
    let service = Service::new("the service".into(), "example.com", Some(&script.endpoint)).unwrap();
    (script, service)
}

fn call() -> Call {
    Call { again: Some(("retry", "true")), ..Call::post("/a b".into(), Bytes::from_static(b"{}")).with("id", "1&2") }
}

#[tokio::test]
async fn what_passes_is_tried_again_and_says_so() {
    let answers = [
        Answer::text(429, "").with("retry-after", "0"),
        Answer::text(503, "<html>busy</html>"),
        Answer::text(200, "done"),
    ];
    let (script, service) = service(answers).await;
    let response = service.send(&call(), &Counted::default()).await.unwrap();
    assert_eq!(Body::new(response).whole(100).await.unwrap(), b"done");
    let paths: Vec<String> = script.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths, ["/a%20b?id=1%262", "/a%20b?id=1%262&retry=true", "/a%20b?id=1%262&retry=true"]);
    let asked = &script.asked()[0];
    assert_eq!(asked.header("authorization"), Some("Bearer token-0"));
    assert_eq!(asked.header("user-agent"), Some(concat!("backflow/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(asked.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn what_does_not_pass_ends_with_a_code_and_no_words_of_the_server() {
    let (script, service) = service(vec![Answer::text(500, "secret words"); 9]).await;
    let failure = service.send(&call(), &Counted::default()).await.unwrap_err();
    assert_eq!((failure.code, script.asked().len()), (Code::WarehouseUnavailable, 7));
    assert!(!failure.message.contains("secret"), "{failure}");
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let refused = || Answer::text(401, "");
    let (script, service) = service([refused(), Answer::text(200, "")]).await;
    assert_eq!(service.send(&call(), &Counted::default()).await.unwrap().status(), 200);
    assert_eq!(script.asked()[1].header("authorization"), Some("Bearer token-1"));
    let (script, service) = self::service([refused(), refused(), Answer::text(200, "")]).await;
    assert_eq!(service.send(&call(), &Counted::default()).await.unwrap().status(), 401);
    assert_eq!(script.left(), 1);
}

#[tokio::test]
async fn bodies_are_unpacked_bounded_and_whole() {
    let text = "row\n".repeat(100_000);
    let packed = Answer::text(200, text.clone()).gzip();
    let answers = [
        packed.clone(),
        packed.clone(),
        packed.cut(300),
        Answer::text(200, "not gzip").with("content-encoding", "gzip"),
    ];
    let (_script, service) = service(answers).await;
    let body = async || Body::new(service.send(&call(), &Counted::default()).await.unwrap());
    assert_eq!(body().await.whole(text.len()).await.unwrap(), text.as_bytes());
    assert_eq!(body().await.whole(text.len() - 1).await, Err(Broken));
    assert_eq!(body().await.whole(text.len()).await, Err(Broken));
    assert_eq!(body().await.whole(text.len()).await, Err(Broken));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_so() {
    let (script, mut service) = service([]).await;
    drop(script);
    service.base = Url::parse("http://127.0.0.1:1").unwrap();
    let failure = service.send(&call(), &Counted::default()).await.unwrap_err();
    assert_eq!(failure.code, Code::ConnectionFailed);
    assert!(failure.message.contains("127.0.0.1 refuses connections"), "{failure}");
}

#[test]
fn an_endpoint_is_on_this_machine() {
    let code = |endpoint| Service::new("it".into(), "example.com", Some(endpoint)).err().map(|failure| failure.code);
    for endpoint in ["http://127.0.0.1:80", "http://localhost:8080", "http://[::1]:1"] {
        assert_eq!(code(endpoint), None, "{endpoint}");
    }
    for endpoint in [
        "http://example.com",
        "https://127.0.0.1",
        "http://127.0.0.1.example.com",
        "http://u:p@localhost",
        "ftp://localhost",
        "x",
    ] {
        assert_eq!(code(endpoint), Some(Code::PlanInvalid), "{endpoint}");
    }
}

#[test]
fn pauses_grow_and_the_servers_wish_is_bounded() {
    let pauses = Pauses { first: Duration::from_secs(1), longest: Duration::from_secs(5), attempts: 9 };
    for (attempt, most) in [(1, 1), (2, 2), (3, 4), (4, 5), (90, 5)] {
        let pause = pauses.after(attempt, None);
        let most = Duration::from_secs(most);
        assert!(most / 2 <= pause && pause <= most, "{attempt}: {pause:?}");
    }
    assert_eq!(pauses.after(1, Some(Duration::from_secs(7))), Duration::from_secs(7));
    assert_eq!(pauses.after(1, Some(Duration::from_secs(7000))), LONGEST_WISH);
}
