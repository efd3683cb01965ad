//! What one run of a Destination tells the next.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use super::*;
use crate::testing::MemoryNotes;

const SECRETS: &[(&str, &str)] = &[("key", "r0-canary"), ("other", "0ther-canary")];

fn keeping(notes: &Arc<MemoryNotes>, cluster: &str) -> Option<Keeping> {
    Some(Keeping { notes: Arc::clone(notes) as _, cluster: cluster.to_owned(), namespace: "shop".to_owned() })
}

const ROTATING: &str = r#"{choose: [{id: it, description: The one., type: oauth2, grant: refreshToken, tokenUrl: "${settings.url}/token",
  clientId: app, clientSecret: "${settings.other}", refreshToken: "${settings.key}", rotates: true}]}"#;

/// A vendor whose refresh tokens work once, and whose access tokens end with the next exchange.
async fn rotating() -> Server {
    let given = AtomicUsize::new(0);
    Server::start(move |_, request| match request.target.as_str() {
        "/token" => {
            let n = given.load(SeqCst);
            let expected = ("refresh_token".to_owned(), format!("r{n}-canary"));
            if !request.form().contains(&expected) {
                return Answer::json(400, &json!({"error": "invalid_grant"}));
            }
            given.store(n + 1, SeqCst);
            let (access, refresh) = (format!("a{}-canary", n + 1), format!("r{}-canary", n + 1));
            Answer::json(200, &json!({"access_token": access, "refresh_token": refresh, "expires_in": 3600}))
        }
        _ if request.header("authorization") == Some(&format!("Bearer a{}-canary", given.load(SeqCst))) => {
            Answer::status(200)
        }
        _ => Answer::status(401),
    })
    .await
}

fn exchanges(server: &Server) -> usize {
    server.received().iter().filter(|request| request.target == "/token").count()
}

#[tokio::test]
async fn runs_of_an_account_whose_refresh_tokens_work_once_go_on_from_each_other() {
    let (server, notes) = (rotating().await, Arc::new(MemoryNotes::default()));
    let made = Made { auth: ROTATING, ..Made::default() };
    let open = || made.try_open_keeping(&server, SECRETS, keeping(&notes, "c")).expect("opens");
    for _ in 0..3 {
        let delivery = open().deliver(&records(2)).await;
        assert_eq!(marks(&delivery), "+ +", "{:?}", delivery.stop);
    }
    assert_eq!(exchanges(&server), 1, "the access token is kept, too");
    // Two at once whose token ends in the middle: as if a person had used it elsewhere.
    let (one, two) = (open(), open());
    assert_eq!(marks(&one.deliver(&records(1)).await), "+");
    assert_eq!(marks(&two.deliver(&records(1)).await), "+");
    assert_eq!(exchanges(&server), 1);
    // Nobody who has no place to keep the next token asks for one.
    let unkept = made.try_open(&server, SECRETS).expect("opens").deliver(&records(1)).await;
    assert_eq!((marks(&unkept).as_str(), code(&unkept)), ("~", Some(Code::DestinationMisconfigured)));
    assert_eq!(exchanges(&server), 1);
}

#[tokio::test]
async fn the_check_of_such_an_account_tries_the_server_and_spends_no_token() {
    let server = rotating().await;
    let made = Made { auth: ROTATING, asked: "check: {request: {method: GET, path: /me}}", ..Made::default() };
    let definition = made.definition();
    let plan = destination(definition, &server.url, SECRETS);
    assert_eq!(crate::check_with(definition, &plan, &Fixed(SECRETS)).await, Ok(server.url.clone()));
    let requests = server.received();
    assert_eq!((requests.len(), requests[0].method.as_str()), (1, "HEAD"));
    assert_eq!(requests[0].header("authorization"), None);
    let gone = destination(definition, "http://127.0.0.1:1", SECRETS);
    let failure = crate::check_with(definition, &gone, &Fixed(SECRETS)).await.unwrap_err();
    assert_eq!(failure.code, Code::DestinationUnreachable);
}

#[tokio::test]
async fn a_run_knows_what_those_before_it_used_of_a_day() {
    let (server, notes) = (always(Answer::status(200)).await, Arc::new(MemoryNotes::default()));
    let made = Made { limits: "rate: [{id: daily, requests: 3, per: 24h}]", ..Made::default() };
    let open = |cluster: &str| made.try_open_keeping(&server, SECRETS, keeping(&notes, cluster)).expect("opens");
    let first = open("c");
    for _ in 0..2 {
        assert_eq!(marks(&first.deliver(&records(1)).await), "+");
    }
    first.finish().await;
    assert_eq!(first.throttled(), None);
    let second = open("c");
    assert_eq!(marks(&second.deliver(&records(1)).await), "+");
    let delivery = second.deliver(&records(1)).await;
    assert_eq!((marks(&delivery).as_str(), code(&delivery)), ("~", Some(Code::RetriesExhausted)));
    assert!(second.throttled().is_some_and(|wait| wait > Duration::from_secs(23 * 3600)), "a Destination shows it");
    assert_eq!(server.received().len(), 3);
    assert_eq!(marks(&open("another").deliver(&records(1)).await), "+", "another cluster's account");
}

#[tokio::test]
async fn a_run_heeds_the_wait_that_the_one_before_it_was_told() {
    let notes = Arc::new(MemoryNotes::default());
    let server = always(Answer::status(429).header("retry-after", "3600")).await;
    let made = Made { limits: "rate: [{id: daily, requests: 1000, per: 24h}]", ..Made::default() };
    for expected in [1, 1] {
        let sink = made.try_open_keeping(&server, SECRETS, keeping(&notes, "c")).expect("opens");
        let delivery = sink.deliver(&records(1)).await;
        assert_eq!((marks(&delivery).as_str(), code(&delivery)), ("~", Some(Code::RetriesExhausted)));
        assert!(sink.throttled().is_some());
        sink.finish().await;
        assert_eq!(server.received().len(), expected, "an hour is longer than a run waits");
    }
}

#[tokio::test]
async fn a_destination_without_long_rates_asks_nothing_of_the_state() {
    let (server, notes) = (always(Answer::status(200)).await, Arc::new(MemoryNotes::default()));
    let made = Made { limits: "rate: [{id: burst, requests: 100, per: 10s}]", ..Made::default() };
    let sink = made.try_open_keeping(&server, SECRETS, keeping(&notes, "c")).expect("opens");
    assert_eq!(marks(&sink.deliver(&records(1)).await), "+");
    sink.finish().await;
    assert!(notes.notes.lock().unwrap().is_empty());
}

const JOB: &str = r#"
      - for: [upsert]
        request: {method: POST, path: /jobs, body: {object: "${cfg.list}"}}
        job:
          id: "${body.id}"
          upload: {method: PUT, path: "/jobs/${job.id}/rows", item: {key: "${rec.key}"}, body: {records: $items}}
          start: {method: PATCH, path: "/jobs/${job.id}", body: {state: UploadComplete}}
          poll: {request: {method: GET, path: "/jobs/${job.id}"}, every: 5ms, max: 1m, state: "${body.state}"}
          results: [{id: failed, request: {method: GET, path: "/jobs/${job.id}/failed"}}]
          abort: {method: DELETE, path: "/jobs/${job.id}"}
        results: {mode: failedKeys, failed: [{from: "${body.bad}", key: "${it}", recordKey: "${rec.key}", code: BAD}]}
"#;

/// A destination whose jobs are through when they are asked for often enough: `polls` times in all.
async fn slow(polls: usize) -> Server {
    let asked = AtomicUsize::new(0);
    let made = AtomicUsize::new(0);
    Server::start(move |_, request| match (request.method.as_str(), request.target.as_str()) {
        ("POST", _) => Answer::json(200, &json!({"id": format!("j{}", made.fetch_add(1, SeqCst) + 1)})),
        ("GET", target) if target.ends_with("/failed") => {
            Answer::json(200, &json!({"bad": [format!("key-{:018}", 1)]}))
        }
        ("GET", _) => {
            let done = asked.fetch_add(1, SeqCst) + 1 >= polls;
            Answer::json(200, &json!({"state": if done { "done" } else { "running" }}))
        }
        _ => Answer::json(200, &json!({})),
    })
    .await
}

fn count(server: &Server, method: &str) -> usize {
    server.received().iter().filter(|request| request.method == method).count()
}

/// Delivers in a pod of its own, which is taken away (`Some`: it is asked to go, and why) when the destination was asked for a job.
async fn interrupted(made: &Made, server: &Server, notes: &Arc<MemoryNotes>, asked_to_go: Option<Code>) {
    let definition = made.definition();
    let plan = destination(definition, &server.url, SECRETS);
    let (stop, asked) = watch::channel(None);
    let sink = open_with(definition, &plan, &mapping(), &Fixed(SECRETS), keeping(notes, "c"), asked).expect("opens");
    let task = tokio::spawn(async move { sink.deliver(&records(3)).await });
    let polls = count(server, "GET");
    while count(server, "GET") == polls {
        tokio::task::yield_now().await;
    }
    match asked_to_go {
        Some(code) => {
            stop.send_replace(Some(Failure::new(code, "the pod goes")));
            assert_eq!(marks(&task.await.expect("ends")), "~ ~ ~");
        }
        None => task.abort(),
    }
}

#[tokio::test]
async fn a_pod_asks_for_the_jobs_of_the_one_before_it() {
    for how in [None, Some(Code::Terminated), Some(Code::DeadlineExceeded)] {
        let (server, notes) = (slow(1_000_000).await, Arc::new(MemoryNotes::default()));
        let made = Made { operations: JOB, ..Made::default() };
        interrupted(&made, &server, &notes, how).await;
        assert_eq!((count(&server, "POST"), count(&server, "DELETE")), (1, 0), "{how:?}");
        // The job ends while no pod is there; what is known of it is in the state.
        let done = slow(0).await;
        let next = made.try_open_keeping(&done, SECRETS, keeping(&notes, "c")).expect("opens");
        let unfinished = next.unfinished().await;
        assert_eq!(unfinished, [["key-0000", "key-0000", "key-0000"]]);
        assert_eq!(marks(&next.deliver(&records(3)).await), "+ !BAD +");
        assert_eq!((count(&done, "POST"), count(&done, "PUT")), (0, 0), "nothing is sent again");
        assert_eq!(done.received()[0].target, "/jobs/j1");
        next.finish().await;
        let third = made.try_open_keeping(&done, SECRETS, keeping(&notes, "c")).expect("opens");
        assert!(third.unfinished().await.is_empty(), "it is through");
    }
}

#[tokio::test]
async fn other_records_are_no_job_of_an_earlier_pod() {
    let (server, notes) = (slow(1_000_000).await, Arc::new(MemoryNotes::default()));
    let made = Made { operations: JOB, ..Made::default() };
    interrupted(&made, &server, &notes, None).await;
    let done = slow(0).await;
    let next = made.try_open_keeping(&done, SECRETS, keeping(&notes, "c")).expect("opens");
    assert_eq!(marks(&next.deliver(&records(2)).await), "+ !BAD");
    assert_eq!(count(&done, "POST"), 1);
}

#[tokio::test]
async fn a_job_that_a_person_cancels_is_ended() {
    let (server, notes) = (slow(1_000_000).await, Arc::new(MemoryNotes::default()));
    let made = Made { operations: JOB, ..Made::default() };
    interrupted(&made, &server, &notes, Some(Code::Canceled)).await;
    assert_eq!(count(&server, "DELETE"), 1);
}

#[tokio::test]
async fn a_job_that_came_to_nothing_is_begun_anew() {
    let (server, notes) = (slow(1_000_000).await, Arc::new(MemoryNotes::default()));
    let made = Made { operations: JOB, ..Made::default() };
    interrupted(&made, &server, &notes, None).await;
    let gone = Server::start(|_, request| match (request.method.as_str(), request.target.as_str()) {
        ("GET", target) if target.starts_with("/jobs/j1") => Answer::status(404),
        ("POST", _) => Answer::json(200, &json!({"id": "j9"})),
        ("GET", target) if target.ends_with("/failed") => Answer::json(200, &json!({"bad": []})),
        _ => Answer::json(200, &json!({"state": "done"})),
    })
    .await;
    let next = made.try_open_keeping(&gone, SECRETS, keeping(&notes, "c")).expect("opens");
    assert_eq!(marks(&next.deliver(&records(3)).await), "+ + +");
    assert_eq!((count(&gone, "POST"), count(&gone, "PUT")), (1, 1));
}
