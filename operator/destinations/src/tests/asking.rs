//! Requests around the write: lookups, things that must exist, jobs.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::requests::with;
use super::*;

const LOOKUP: &str = r#"
      - for: [upsert, delete]
        lookup:
          request: {method: POST, path: /search, item: "${rec.id}", body: {ids: $items}}
          match: {from: "${body.found}", key: "${it.key}", equals: "${rec.id}", store: {remoteId: "${it.id}", etag: "${it.?etag}"}}
          onMissing: insert
          onMany: reject
        request: {method: POST, path: /update, item: {key: "${rec.key}", id: "${rec.remoteId}", etag: "${rec.found.?etag}", data: "${f}"}, body: {records: $items}}
        results: {mode: whole}
      - for: [insert]
        request: {method: POST, path: /insert, item: {key: "${rec.key}", data: "${f}"}, body: {records: $items}}
        results: {mode: whole}
"#;

/// Knows record 0 as `r0`, record 1 twice, and no other.
async fn searched() -> Server {
    let found =
        json!({"found": [{"key": 0, "id": "r0", "etag": "e"}, {"key": "1", "id": "r1"}, {"key": "1", "id": "r2"}]});
    Server::start(move |_, request| match request.target.as_str() {
        search if search.starts_with("/search") => Answer::json(200, &found),
        _ => Answer::status(200),
    })
    .await
}

#[tokio::test]
async fn what_is_found_is_updated_and_what_is_not_is_inserted() {
    let made = with(LOOKUP);
    let server = searched().await;
    let mut batch = records(4);
    batch[3].memory.remote_id = Some("\"known\"".into());
    let delivery = made.deliver(&server, &batch).await;
    assert_eq!(marks(&delivery), "+ !AMBIGUOUS + +");
    let requests = server.received();
    let paths: Vec<&str> = requests.iter().map(|request| request.target.as_str()).collect();
    assert_eq!(paths, ["/search", "/update", "/insert"]);
    assert_eq!(requests[0].json(), json!({"ids": [0, 1, 2]}), "known ones are not asked for");
    let updated = requests[1].json();
    let ids: Vec<&Value> = updated["records"].as_array().unwrap().iter().map(|item| &item["id"]).collect();
    assert_eq!(ids, [&json!("r0"), &json!("known")]);
    assert_eq!(updated["records"][0]["etag"], json!("e"));
    assert_eq!(numbers(&requests[2]), [2]);
}

#[tokio::test]
async fn what_reads_a_lookups_answer_sees_its_items_and_its_batch() {
    let made = with(
        r#"
      - for: [upsert]
        lookup:
          request: {method: POST, path: /search, item: "${rec.id}", body: {ids: $items}}
          match: {from: "${items.filter(id, id != 1)}", key: "${it}", equals: "${rec.id}", store: {remoteId: "${batch.op + string(it) + string(size(items))}"}}
          onMissing: reject
        request: {method: POST, path: /update, item: {key: "${rec.key}", id: "${rec.remoteId}"}, body: {records: $items}}
        results: {mode: whole}
"#,
    );
    let server = always(Answer::json(200, &json!({}))).await;
    assert_eq!(marks(&made.deliver(&server, &records(3)).await), "+ !NOT_FOUND +");
    let updated = server.received().pop().expect("an update").json();
    let ids: Vec<&Value> = updated["records"].as_array().unwrap().iter().map(|item| &item["id"]).collect();
    assert_eq!(ids, [&json!("upsert03"), &json!("upsert23")]);
}

#[tokio::test]
async fn each_half_of_a_refused_write_is_looked_up_again() {
    let server = Server::start(|_, request| match request.target.as_str() {
        "/search" => Answer::json(200, &json!({"found": [{"key": 0, "id": "r0"}, {"key": 1, "id": "r1"}]})),
        _ if numbers(request).contains(&1) => Answer::status(400),
        _ => Answer::status(200),
    })
    .await;
    assert_eq!(marks(&with(LOOKUP).deliver(&server, &records(2)).await), "+ !HTTP_400");
    let paths: Vec<String> = server.received().iter().map(|request| request.target.clone()).collect();
    assert_eq!(paths, ["/search", "/update", "/search", "/update", "/search", "/update"]);
}

#[tokio::test]
async fn what_is_not_there_is_deleted_already() {
    let made = with(
        r#"
      - for: [delete]
        lookup:
          request: {method: GET, path: /search, query: {id: "${rec.id}"}}
          maxRecords: 1
          match: {from: "${body.found}", key: "${it.key}", equals: "${rec.id}", store: {remoteId: "${it.id}"}}
          onMissing: succeed
          onMany: first
        request: {method: POST, path: /archive, item: {id: "${rec.remoteId}"}, body: {inputs: $items}}
        results: {mode: whole}
"#,
    );
    let made = Made { action: "batch: {maxRecords: 1}", ..made };
    let server = searched().await;
    for n in 0..3 {
        assert_eq!(marks(&made.deliver(&server, &[record(n, Operation::Delete, &json!({}))]).await), "+");
    }
    let targets: Vec<(String, String)> =
        server.received().iter().map(|request| (request.target.clone(), request.text())).collect();
    let expected = [
        ("/search?id=0", ""),
        ("/archive", r#"{"inputs":[{"id":"r0"}]}"#),
        ("/search?id=1", ""),
        ("/archive", r#"{"inputs":[{"id":"r1"}]}"#),
        ("/search?id=2", ""),
    ];
    assert_eq!(targets, expected.map(|(target, body)| (target.to_owned(), body.to_owned())));
}

#[tokio::test]
async fn what_must_exist_is_made_once_in_a_run() {
    let made = with(
        r#"
      - for: [upsert]
        ensure:
          - id: segment
            lookup: {request: {method: GET, path: /segments, query: {name: "${cfg.list}"}}, from: "${body.?id}"}
            create: {request: {method: POST, path: /segments, body: {name: "${cfg.list}"}}, from: "${headers['x-id']}"}
        request: {method: POST, path: "/segments/${ensure.segment}", item: {key: "${rec.key}", data: "${f}"}, body: {records: $items}}
        results: {mode: whole}
"#,
    );
    let server = Server::start(|_, request| match (request.method.as_str(), request.target.as_str()) {
        ("GET", _) => Answer::json(200, &json!({})),
        (_, "/segments") => Answer::status(201).header("x-id", "s 7"),
        _ => Answer::status(200),
    })
    .await;
    let sink = made.open(&server);
    let batches = [records(2), records(2), records(2)];
    let deliveries = futures::future::join_all(batches.iter().map(|batch| sink.deliver(batch))).await;
    assert!(deliveries.iter().all(|delivery| marks(delivery) == "+ +"));
    let targets: Vec<String> = server.received().iter().map(|request| request.target.clone()).collect();
    assert_eq!(targets[..2], ["/segments?name=main", "/segments"]);
    assert_eq!(targets[2..], ["/segments/s%207", "/segments/s%207", "/segments/s%207"]);
}

#[tokio::test]
async fn what_must_exist_is_looked_for_again_when_its_time_is_over() {
    let made = with(
        r#"
      - for: [upsert]
        ensure:
          - {id: segment, cache: 1ms, lookup: {request: {method: GET, path: /segments}, from: "${body.id}"}}
        request: {method: POST, path: "/segments/${ensure.segment}", item: "${f}", body: {records: $items}}
        results: {mode: whole}
"#,
    );
    let server = always(Answer::json(200, &json!({"id": 7}))).await;
    let sink = made.open(&server);
    let looked = || server.received().iter().filter(|request| request.target == "/segments").count();
    for _ in 0..10_000 {
        assert_eq!(marks(&sink.deliver(&records(1)).await), "+");
        if looked() > 1 {
            return;
        }
    }
    panic!("it is taken to exist for ever");
}

#[tokio::test]
async fn a_check_judges_bodies_by_its_own_rules_alone() {
    let rule =
        r#"check: {request: {method: GET, path: /me}, errors: [{when: "body.state == 'closed'", class: config}]}"#;
    let definition = Made { asked: rule, ..Made::default() }.definition();
    for (state, taken) in [("open", true), ("closed", false)] {
        let server = always(Answer::json(200, &json!({"state": state}))).await;
        let checked = crate::check_with(definition, &destination(definition, &server.url, &[]), &Fixed(&[])).await;
        assert_eq!(checked.is_ok(), taken, "{state}: {checked:?}");
    }
}

#[tokio::test]
async fn a_job_is_begun_filled_started_followed_and_read() {
    let made = with(
        r#"
      - for: [upsert]
        request: {method: POST, path: /jobs, body: {object: "${cfg.list}"}}
        job:
          id: "${body.id}"
          capture: {url: "${body.contentUrl}"}
          upload: {method: PUT, path: "/${job.url}", encoding: csv, item: {num: "${f.?n}"}}
          start: {method: PATCH, path: "/jobs/${job.id}", body: {state: UploadComplete}}
          poll: {request: {method: GET, path: "/jobs/${job.id}"}, every: 5ms, max: 1m, state: "${body.state}"}
          results:
            - {id: failed, request: {method: GET, path: "/jobs/${job.id}/failed"}, decode: csv, paginate: {type: cursor, next: "${headers[?'x-next']}", param: page}}
            - {id: rest, request: {method: GET, path: "/jobs/${job.id}/rest"}, decode: csv}
        results:
          mode: failedKeys
          failed:
            - {from: "${body}", key: "${it.n}", recordKey: "${f.?n.orValue('')}", code: "${it.error}"}
            - {of: rest, from: "${body}", key: "${it.n}", recordKey: "${f.?n.orValue('')}", class: retry}
"#,
    );
    let polls = AtomicUsize::new(0);
    let rest = AtomicUsize::new(0);
    let server = Server::start(move |_, request| match (request.method.as_str(), request.target.as_str()) {
        ("POST", _) => Answer::json(200, &json!({"id": "j1", "contentUrl": "upload"})),
        ("GET", "/jobs/j1") => match polls.fetch_add(1, SeqCst) {
            0 => Answer::json(200, &json!({"state": "running"})),
            1 => Answer::status(503),
            _ => Answer::json(200, &json!({"state": "done"})),
        },
        ("GET", "/jobs/j1/failed") if rest.load(SeqCst) == 0 => {
            Answer::text(200, "n,error\n1,BAD_EMAIL\n").header("x-next", "2")
        }
        ("GET", "/jobs/j1/failed?page=2") => Answer::text(200, "n,error\n3,DUPLICATE\n"),
        ("GET", "/jobs/j1/failed") => Answer::text(200, "n,error\n"),
        ("GET", "/jobs/j1/rest") => Answer::text(200, if rest.fetch_add(1, SeqCst) == 0 { "n\n2\n" } else { "n\n" }),
        _ => Answer::status(200),
    })
    .await;
    let delivery = made.deliver(&server, &records(4)).await;
    assert_eq!(marks(&delivery), "+ !BAD_EMAIL + !DUPLICATE");
    let requests = server.received();
    let uploads: Vec<String> = requests.iter().filter(|request| request.method == "PUT").map(Received::text).collect();
    assert_eq!(uploads, ["num\n0\n1\n2\n3\n", "num\n2\n"], "what was not processed goes again, alone");
    assert!(
        requests
            .iter()
            .any(|request| request.method == "PATCH" && request.json() == json!({"state": "UploadComplete"}))
    );
}

#[tokio::test]
async fn a_job_is_ended_when_the_run_is() {
    let made = with(
        r#"
      - for: [upsert]
        request: {method: POST, path: /jobs, item: "${f}", body: {rows: $items}}
        job:
          id: "${body.id}"
          poll: {request: {method: GET, path: "/jobs/${job.id}"}, every: 5ms, max: 1m, state: "${'running'}"}
          abort: {method: DELETE, path: "/jobs/${job.id}"}
        results: {mode: accepted}
"#,
    );
    let (stop, asked) = watch::channel(None);
    let polled = Arc::new(tokio::sync::Notify::new());
    let seen = Arc::clone(&polled);
    let server = Server::start(move |_, request| {
        if request.method == "GET" {
            seen.notify_one();
        }
        Answer::json(200, &json!({"id": 1}))
    })
    .await;
    let definition = made.definition();
    let plan = destination(definition, &server.url, &[]);
    let sink = open_with(definition, &plan, &mapping(), &Fixed(&[]), None, asked).unwrap();
    let task = tokio::spawn(async move { sink.deliver(&records(1)).await });
    polled.notified().await;
    stop.send_replace(Some(Failure::new(Code::Canceled, "a person cancelled the run")));
    let delivery = task.await.unwrap();
    assert_eq!((marks(&delivery).as_str(), code(&delivery)), ("~", Some(Code::Canceled)));
    assert_eq!(server.received().last().map(|request| request.method.clone()), Some("DELETE".into()));
}
