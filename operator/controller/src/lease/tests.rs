use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// One Lease on an API server that can be silent.
#[derive(Default)]
struct Server {
    lease: Mutex<Option<Value>>,
    silent: Mutex<bool>,
}

impl Server {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        if *self.silent.lock().unwrap() {
            std::future::pending::<()>().await;
        }
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut lease = self.lease.lock().unwrap();
        let (code, answer) = match (parts.method, lease.clone()) {
            (Method::GET, Some(present)) => (200, present),
            (Method::POST, None) | (Method::PUT, Some(_)) => {
                let mut written: Value = serde_json::from_slice(&body).unwrap();
                let version =
                    |lease: &Value| lease["metadata"]["resourceVersion"].as_str().map(|v| v.parse::<u64>().unwrap());
                let present = lease.as_ref().and_then(version);
                if present.is_some() && version(&written) != present {
                    (409, json!({"kind": "Status", "code": 409, "reason": "Conflict", "status": "Failure"}))
                } else {
                    written["metadata"]["resourceVersion"] = json!((present.unwrap_or_default() + 1).to_string());
                    *lease = Some(written.clone());
                    (200, written)
                }
            }
            (_, _) => (404, json!({"kind": "Status", "code": 404, "reason": "NotFound", "status": "Failure"})),
        };
        Response::builder().status(code).body(Body::from(serde_json::to_vec(&answer).unwrap())).unwrap()
    }

    fn holder(&self) -> String {
        self.lease.lock().unwrap().as_ref().unwrap()["spec"]["holderIdentity"].as_str().unwrap().to_owned()
    }
}

fn candidate(server: &Arc<Server>, identity: &str) -> Lease {
    let server = server.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let server = server.clone();
        async move { Ok::<_, Infallible>(server.answer(request).await) }
    });
    Lease::new(Api::namespaced(Client::new(service, "ns"), "ns"), "backflow".into(), identity.into())
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_taken_at_the_next_try() {
    let server = Arc::new(Server::default());
    let (one, two) = (candidate(&server, "one"), candidate(&server, "two"));
    let held = one.acquire().await;
    assert_eq!(server.holder(), "one");
    held.release().await;
    let begin = Instant::now();
    two.acquire().await;
    assert!(begin.elapsed() <= RETRY);
    assert_eq!(server.holder(), "two");
}

#[tokio::test(start_paused = true)]
async fn a_silent_leader_is_followed_after_the_duration_that_this_process_saw() {
    let server = Arc::new(Server::default());
    let one = candidate(&server, "one").acquire().await;
    // Its clock is far behind: that must not matter.
    server.lease.lock().unwrap().as_mut().unwrap()["spec"]["renewTime"] = json!("1999-01-01T00:00:00.000000Z");
    let begin = Instant::now();
    let _two = candidate(&server, "two").acquire().await;
    assert!(begin.elapsed() >= DURATION && begin.elapsed() <= DURATION + RETRY * 2, "{:?}", begin.elapsed());
    drop(one);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_renews_keeps_the_lease() {
    let server = Arc::new(Server::default());
    let mut held = candidate(&server, "one").acquire().await;
    let two = candidate(&server, "two");
    tokio::select! {
        () = held.lost() => panic!("lost"),
        _ = two.acquire() => panic!("two leaders"),
        () = sleep(Duration::from_secs(300)) => {}
    }
    assert_eq!(server.holder(), "one");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_before_another_may_begin() {
    let server = Arc::new(Server::default());
    let mut held = candidate(&server, "one").acquire().await;
    *server.silent.lock().unwrap() = true;
    let begin = Instant::now();
    held.lost().await;
    assert!(begin.elapsed() <= RENEW_WITHIN + RETRY && begin.elapsed() < DURATION, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_sees_another_holder_stops_at_once() {
    let server = Arc::new(Server::default());
    let mut held = candidate(&server, "one").acquire().await;
    {
        let mut lease = server.lease.lock().unwrap();
        let lease = lease.as_mut().unwrap();
        lease["spec"]["holderIdentity"] = json!("two");
        lease["metadata"]["resourceVersion"] = json!("9");
    }
    let begin = Instant::now();
    held.lost().await;
    assert!(begin.elapsed() <= RETRY);
    assert_eq!(server.holder(), "two");
}

#[tokio::test(start_paused = true)]
async fn the_same_identity_goes_on_at_once() {
    let server = Arc::new(Server::default());
    drop(candidate(&server, "pod").acquire().await);
    let begin = Instant::now();
    candidate(&server, "pod").acquire().await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
}
