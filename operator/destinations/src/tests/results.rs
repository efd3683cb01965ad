//! Each way in which destinations report what became of records.

use super::*;

fn made(results: &'static str) -> Made {
    let operations = format!(
        r#"
      - for: [insert, update, upsert, delete]
        request: {{method: POST, path: /records, item: {{key: "${{rec.key}}", data: "${{f}}"}}, body: {{records: $items}}}}
        results: {results}
"#
    );
    Made { operations: Box::leak(operations.into_boxed_str()), ..Made::default() }
}

/// What comes of three records and this answer.
async fn three(results: &'static str, status: u16, body: Value) -> (String, Delivery, Server) {
    let server = always(Answer::json(status, &body)).await;
    let delivery = made(results).deliver(&server, &records(3)).await;
    (marks(&delivery), delivery, server)
}

const BY_INDEX: &str = r#"{mode: byIndex, from: "${body}", ok: "${it.success}", remoteId: "${it.?id}", code: "${it.?code}",
          class: "${it.?code.orValue('') == 'LOCKED' ? 'retry' : 'reject'}"}"#;

#[tokio::test]
pub(super) async fn by_index_each_entry_is_its_record() {
    let body = json!([{"success": true, "id": "r0"}, {"success": false, "code": "REQUIRED_FIELD"}, {"success": true, "id": 7}]);
    let (marks, delivery, _) = three(BY_INDEX, 200, body).await;
    assert_eq!(marks, "+ !REQUIRED_FIELD +");
    assert_eq!(delivery.outcomes[0], Outcome::Delivered { remote_id: Some("\"r0\"".into()) });
    assert_eq!(delivery.outcomes[2], Outcome::Delivered { remote_id: Some("7".into()) });
}

#[tokio::test]
async fn by_index_what_may_go_better_is_sent_again_alone() {
    let server = Server::start(|n, request| {
        let locked = |at: usize| n == 1 && at == 1;
        let entry =
            |at: usize| if locked(at) { json!({"success": false, "code": "LOCKED"}) } else { json!({"success": true}) };
        Answer::json(200, &(0..keys(request).len()).map(entry).collect())
    })
    .await;
    let delivery = made(BY_INDEX).deliver(&server, &records(3)).await;
    assert_eq!(super::marks(&delivery), "+ + +");
    let sent: Vec<Vec<u64>> = server.received().iter().map(numbers).collect();
    assert_eq!(sent, [vec![0, 1, 2], vec![1]]);
}

#[tokio::test]
async fn by_index_fewer_or_more_entries_are_never_guessed() {
    // Whatever is sent, one entry less (or more) comes back: nothing can be told of any record, not even alone.
    for change in [-1_i64, 1] {
        let server = Server::start(move |_, request| {
            let entries = (keys(request).len() as i64 + change) as usize;
            Answer::json(200, &vec![json!({"success": true}); entries].into())
        })
        .await;
        let delivery = made(BY_INDEX).deliver(&server, &records(3)).await;
        assert_eq!(super::marks(&delivery), "!UNCLEAR_ANSWER !UNCLEAR_ANSWER !UNCLEAR_ANSWER");
    }
}

#[tokio::test]
pub(super) async fn errors_by_index_name_the_failed() {
    let results = r#"{mode: errorsByIndex, failed: [{from: "${body.?errors}", index: "${it.index}", code: "${it.type}", field: "${it.?field}"}]}"#;
    let body = json!({"errors": [{"index": 1, "type": "bad-email", "field": "email"}]});
    let (marks, delivery, _) = three(results, 201, body).await;
    assert_eq!(marks, "+ !BAD-EMAIL +");
    assert!(
        matches!(&delivery.outcomes[1], Outcome::Rejected(rejection) if rejection.field.as_deref() == Some("email"))
    );
    assert_eq!(three(results, 201, json!({})).await.0, "+ + +");
}

#[tokio::test]
pub(super) async fn index_maps_name_fields_and_positions() {
    let results = r#"{mode: indexMaps, failed: [{from: "${body.?missing_field}", code: MISSING}, {from: "${body.?invalid}", code: INVALID}]}"#;
    let body = json!({"missing_field": {"user_id": [0]}, "invalid": {"time": [2], "ip": []}});
    let (marks, delivery, _) = three(results, 200, body).await;
    assert_eq!(marks, "!MISSING + !INVALID");
    assert!(
        matches!(&delivery.outcomes[2], Outcome::Rejected(rejection) if rejection.field.as_deref() == Some("time"))
    );
}

const CORRELATE: &str = r#"{mode: correlate, succeeded: {from: "${body.?results}", ref: "${it.ref}", remoteId: "${it.?id}"},
          failed: [{from: "${body.?errors}", ref: "${it.refs[0]}", code: "${it.category}"}]}"#;

#[tokio::test]
pub(super) async fn correlated_entries_come_in_any_order_and_silence_is_no_success() {
    let records = records(4);
    let key = |n: usize| records[n].key.clone();
    let body = json!({
        "results": [{"ref": key(2), "id": "r2"}, {"ref": key(0)}, {"ref": "someone-else"}],
        "errors": [{"refs": [key(1)], "category": "VALIDATION_ERROR", "message": "u1-canary@example.com is invalid"}],
    });
    let server = always(Answer::json(207, &body)).await;
    let delivery = made(CORRELATE).deliver(&server, &records).await;
    assert_eq!(marks(&delivery), "+ !VALIDATION_ERROR + !NOT_IN_ANSWER");
    assert_eq!(delivery.outcomes[2], Outcome::Delivered { remote_id: Some("\"r2\"".into()) });
    let silent = three(CORRELATE, 200, json!({"results": [], "errors": []})).await;
    assert_eq!(silent.0, "!NOT_IN_ANSWER !NOT_IN_ANSWER !NOT_IN_ANSWER");
}

#[tokio::test]
pub(super) async fn failed_keys_are_found_among_the_records() {
    let results = r#"{mode: failedKeys, failed: [
          {from: "${body.?invalidEmails}", key: "${it}", recordKey: "${f.?email.orValue('')}", code: INVALID_EMAIL},
          {from: "${body.?failed}", key: "${string(it.n)}", recordKey: "${string(f.?n.orValue(0))}", code: "${it.why}", class: "${it.why == 'busy' ? 'retry' : 'reject'}"}]}"#;
    let body = json!({"invalidEmails": ["u2-canary@example.com"], "failed": [{"n": 0, "why": "gone"}]});
    assert_eq!(three(results, 200, body).await.0, "!GONE + !INVALID_EMAIL");
    assert_eq!(three(results, 200, json!({"invalidEmails": []})).await.0, "+ + +");
}

#[tokio::test]
async fn a_failed_key_of_nobody_makes_every_silence_doubtful() {
    let results =
        r#"{mode: failedKeys, failed: [{from: "${body.bad}", key: "${it}", recordKey: "${f.?email.orValue('')}"}]}"#;
    let (marks, ..) = three(results, 200, json!({"bad": ["U1@EXAMPLE.COM"]})).await;
    assert_eq!(marks, "!UNCLEAR_ANSWER !UNCLEAR_ANSWER !UNCLEAR_ANSWER");
}

#[tokio::test]
pub(super) async fn totals_are_halved_until_the_failed_are_alone() {
    let results = r#"{mode: counts, failed: "${body.invalid}", sent: "${body.received}"}"#;
    let server = Server::start(|_, request| {
        let numbers = numbers(request);
        let invalid = numbers.iter().filter(|n| **n == 5).count();
        Answer::json(200, &json!({"received": numbers.len(), "invalid": invalid}))
    })
    .await;
    let delivery = made(results).deliver(&server, &records(8)).await;
    assert_eq!(marks(&delivery), "+ + + + + !REJECTED + +");
    let whole = r#"{mode: counts, failed: "${body.invalid}", bisectOnReject: false}"#;
    let whole = three(whole, 200, json!({"invalid": 1})).await;
    assert_eq!((whole.0.as_str(), whole.1.requests), ("+ + +", 1), "delivered as far as anyone knows");
    let none = three(results, 200, json!({"received": 3})).await;
    assert!(none.0.starts_with("!UNREADABLE_ANSWER"), "totals that are not there");
}

#[tokio::test]
pub(super) async fn accepted_is_taken_whatever_the_body_says() {
    let server = always(Answer::text(202, "queued")).await;
    let delivery = made("{mode: accepted}").deliver(&server, &records(3)).await;
    assert_eq!(marks(&delivery), "+ + +");
}

#[tokio::test]
async fn a_verdict_in_the_body_of_a_200_counts() {
    let errors = r#"
  - {when: "status == 200 && body.?ok == optional.of(false) && body.error == 'ratelimited'", class: retry}
  - {when: "body.?ok == optional.of(false)", class: reject, code: "${body.error}"}"#;
    let server = Server::start(|n, _| match n {
        1 => Answer::json(200, &json!({"ok": false, "error": "ratelimited"})),
        2 => Answer::json(200, &json!({"ok": false, "error": "channel_not_found"})),
        _ => Answer::json(200, &json!({"ok": true})),
    })
    .await;
    let made = Made { errors, ..Made::default() };
    let delivery = made.deliver(&server, &records(1)).await;
    assert_eq!((marks(&delivery).as_str(), delivery.requests), ("!CHANNEL_NOT_FOUND", 2));
}

#[tokio::test]
async fn what_an_answer_must_fulfil_is_asked_for() {
    let server = Server::start(|n, _| {
        let status = if n < 5 { "who knows" } else { "ok" };
        Answer::json(200, &json!({ "status": status }))
    })
    .await;
    let made = made(r#"{mode: whole, requires: "body.status == 'ok'"}"#);
    let delivery = made.deliver(&server, &records(3)).await;
    assert_eq!((marks(&delivery).as_str(), delivery.requests), ("+ + +", 5));
}

#[tokio::test]
async fn a_refusal_may_name_the_culprits_and_the_others_come_again() {
    // A 400 took nothing, and names what is wrong; a 200 took all, and names nothing.
    let results = r#"{mode: indexMaps, failed: [{from: "${body.?invalid}", code: INVALID}],
          unaccounted: "${status == 400 ? 'retry' : 'succeed'}"}"#;
    let server = Server::start(|_, request| {
        let bad = numbers(request).iter().position(|n| *n == 1);
        match bad {
            Some(at) => Answer::json(400, &json!({"invalid": {"email": [at]}})),
            None => Answer::json(200, &json!({})),
        }
    })
    .await;
    let errors = r#"
  - {when: "status == 400 && has(body.invalid)", class: ok}"#;
    let delivery = Made { errors, ..made(results) }.deliver(&server, &records(3)).await;
    assert_eq!(marks(&delivery), "+ !INVALID +");
    let sent: Vec<Vec<u64>> = server.received().iter().map(numbers).collect();
    assert_eq!(sent, [vec![0, 1, 2], vec![0, 2]]);
}

#[tokio::test]
async fn rules_see_the_items_and_the_place_of_each_entry() {
    let results = r#"{mode: failedKeys, failed: [{from: "${body.ok}", key: "${it ? '' : items[index].key}", recordKey: "${rec.key}",
          class: "${it ? 'ignore' : 'reject'}", code: WRONG}]}"#;
    let (marks, ..) = three(results, 200, json!({"ok": [true, false, true]})).await;
    assert_eq!(marks, "+ !WRONG +");
}

#[tokio::test]
async fn an_entry_may_end_the_run() {
    let results = r#"{mode: errorsByIndex, failed: [{from: "${body.errors}", index: "${it}", class: config}]}"#;
    let (marks, delivery, _) = three(results, 200, json!({"errors": [1]})).await;
    assert_eq!((marks.as_str(), code(&delivery)), ("~ ~ ~", Some(Code::DestinationMisconfigured)));
}
