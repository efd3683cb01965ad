//! Receivers that are busy, broken, or say something else than expected.

use super::*;

const ONCE: &str = "batch: {maxRecords: 100}\n    delivery: atMostOnce";
const READ: &str = r#"
      - for: [insert, update, upsert, delete]
        request: {method: POST, path: /records, item: {key: "${rec.key}", data: "${f}"}, body: {records: $items}}
        results: {mode: errorsByIndex, failed: [{from: "${body.?errors}", index: "${it}"}]}
"#;

const NAMED: &str = r#"
      - for: [insert, update, upsert, delete]
        request: {method: POST, path: /records, item: {key: "${rec.key}", data: "${f}"}, body: {records: $items}}
        results: {mode: byIndex, from: "${body.results}", ok: "${it.ok}"}
"#;

fn rejected(delivery: &Delivery) -> &str {
    match &delivery.outcomes[..] {
        [Outcome::Rejected(rejection), ..] => &rejection.message,
        other => panic!("{other:?}"),
    }
}

fn reading() -> Made {
    Made { operations: READ, ..Made::default() }
}

#[tokio::test]
pub(super) async fn a_lost_answer_is_asked_for_again_with_the_same_keys() {
    let server = Server::start(|n, _| if n == 1 { Answer::Lost } else { Answer::status(200) }).await;
    let delivery = Made::default().deliver(&server, &records(3)).await;
    assert_eq!(marks(&delivery), "+ + +");
    let requests = server.received();
    assert_eq!((requests.len(), keys(&requests[0])), (2, keys(&requests[1])));
}

#[tokio::test]
async fn what_must_not_arrive_twice_is_not_sent_again_when_the_answer_is_lost() {
    let made = Made { action: ONCE, ..Made::default() };
    for answer in [Answer::Lost, Answer::status(502), Answer::status(504)] {
        let server = always(answer).await;
        let delivery = made.deliver(&server, &records(2)).await;
        assert_eq!((marks(&delivery).as_str(), delivery.requests), ("!UNKNOWN_DELIVERY !UNKNOWN_DELIVERY", 1));
    }
    // What was surely not taken is.
    let server = Server::start(|n, _| Answer::status(if n == 1 { 429 } else { 200 })).await;
    assert_eq!(marks(&made.deliver(&server, &records(2)).await), "+ +");
    let unreadable = Made { action: ONCE, operations: READ, ..Made::default() };
    let server = always(Answer::text(200, "{")).await;
    let delivery = unreadable.deliver(&server, &records(1)).await;
    assert_eq!((marks(&delivery).as_str(), delivery.requests), ("!UNKNOWN_DELIVERY", 1));
}

#[tokio::test]
async fn an_answer_that_is_no_document_is_asked_for_twice_more() {
    let server = always(Answer::text(200, "{\"errors\": [canary")).await;
    let delivery = reading().deliver(&server, &records(2)).await;
    assert_eq!(
        (marks(&delivery).as_str(), delivery.requests, code(&delivery)),
        ("!UNREADABLE_ANSWER !UNREADABLE_ANSWER", 3, None)
    );
    assert!(rejected(&delivery).contains("no JSON document"), "{}", rejected(&delivery));
    let server = always(Answer::json(200, &json!({"error": "canary"}))).await;
    let named = Made { operations: NAMED, ..Made::default() };
    let delivery = named.deliver(&server, &records(1)).await;
    let message = rejected(&delivery);
    assert!(
        message.contains("${body.results}: it names a member that is not there") && !message.contains("canary"),
        "{message}"
    );
    let server =
        Server::start(|n, _| if n == 1 { Answer::text(200, "oops") } else { Answer::json(200, &json!({})) }).await;
    assert_eq!(marks(&reading().deliver(&server, &records(2)).await), "+ +");
}

#[tokio::test]
async fn a_web_page_is_no_acknowledgement() {
    for made in [reading(), Made::default()] {
        let server = always(Answer::text(200, "<!doctype html><p>canary")).await;
        let delivery = made.deliver(&server, &records(2)).await;
        assert_eq!((marks(&delivery).as_str(), code(&delivery)), ("~ ~", Some(Code::DestinationMisconfigured)));
    }
}

#[tokio::test]
async fn of_an_answer_of_100_megabytes_only_a_bounded_part_is_read() {
    let server = always(Answer::Long(200, 100_000_000)).await;
    let delivery = reading().deliver(&server, &records(2)).await;
    assert_eq!(marks(&delivery), "!UNREADABLE_ANSWER !UNREADABLE_ANSWER");
    let delivery = Made::default().deliver(&server, &records(2)).await;
    assert_eq!((marks(&delivery).as_str(), delivery.requests), ("+ +", 1), "the status is the acknowledgement");
}

#[tokio::test]
async fn a_storm_of_throttles_loses_nothing_and_sends_nothing_twice() {
    // Two of three requests are refused, by hints of all kinds.
    let server = Server::start(|n, _| match n % 6 {
        1 => Answer::status(429).header("retry-after", "0"),
        2 => Answer::status(429).header("x-reset", "0.02"),
        3 => Answer::json(429, &json!({"wait": 0.01})),
        4 => Answer::status(503).header("retry-after", "Thu, 01 Jan 1970 00:00:00 GMT"),
        _ => Answer::json(200, &json!({})),
    })
    .await;
    let limits = "headers: {resetSeconds: x-reset}\n  retryAfterBody: \"${body.?wait}\"";
    let made = Made { limits, ..reading() };
    let sink = made.open(&server);
    let batches: Vec<Vec<Record>> = (0..12).map(|batch| records(10 * (batch + 1)).split_off(10 * batch)).collect();
    let deliveries = futures::future::join_all(batches.iter().map(|batch| sink.deliver(batch))).await;
    assert!(deliveries.iter().all(|delivery| marks(delivery) == ["+"; 10].join(" ")), "{deliveries:?}");
    let mut taken: Vec<u64> = server
        .received()
        .iter()
        .zip(1..)
        .filter(|(_, n)| matches!(n % 6, 5 | 0))
        .flat_map(|(request, _)| numbers(request))
        .collect();
    taken.sort_unstable();
    assert_eq!(taken, (0..120).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_rule_says_how_long_to_wait() {
    let errors = r#"
  - {when: "status == 429 && body.?policy.orValue('') == 'DAILY'", class: throttle, wait: 1h}"#;
    let server = always(Answer::json(429, &json!({"policy": "DAILY"}))).await;
    let sink = Made { errors, ..Made::default() }.open(&server);
    let delivery = sink.deliver(&records(1)).await;
    assert_eq!((code(&delivery), delivery.requests), (Some(Code::RetriesExhausted), 1));
    let left = sink.throttled().expect("it asked for that");
    assert!(left.as_secs() > 3500, "{left:?}");
}

#[tokio::test]
async fn a_batch_that_is_refused_is_halved_until_the_culprit_is_alone() {
    let server = Server::start(|_, request| {
        Answer::json(if numbers(request).contains(&2) { 400 } else { 200 }, &json!({"error": "u2-canary@example.com"}))
    })
    .await;
    let errors = r#"
  - {when: "status == 400", class: reject, code: "${body.error}"}"#;
    let delivery = Made { errors, ..Made::default() }.deliver(&server, &records(4)).await;
    assert_eq!(marks(&delivery), "+ + !HTTP_400 +", "a code that tells the row is not shown");
    let sent: Vec<Vec<u64>> = server.received().iter().map(numbers).collect();
    assert_eq!(sent, [vec![0, 1, 2, 3], vec![0, 1], vec![2, 3], vec![2], vec![3]]);
}

#[tokio::test]
async fn classes_of_rules_are_heeded() {
    let errors = r#"
  - {when: "status == 409", class: ignore}
  - {when: "status == 418", class: splitBatch}
  - {when: "status == 402", class: config}
  - {when: "status == 406", class: auth}"#;
    for (status, expected, stop) in [
        (409, "+ +", None),
        (418, "!TOO_LARGE !TOO_LARGE", None),
        (402, "~ ~", Some(Code::DestinationMisconfigured)),
        (406, "~ ~", Some(Code::DestinationUnauthorized)),
    ] {
        let server = always(Answer::status(status)).await;
        let delivery = Made { errors, ..Made::default() }.deliver(&server, &records(2)).await;
        assert_eq!((marks(&delivery).as_str(), code(&delivery)), (expected, stop), "{status}");
    }
}

#[tokio::test]
async fn redirects_are_never_followed() {
    let elsewhere = always(Answer::status(200)).await;
    let url = format!("{}/records", elsewhere.url);
    let server = Server::start(move |_, _| Answer::status(307).header("location", &url)).await;
    let delivery = Made::default().deliver(&server, &records(1)).await;
    assert_eq!(code(&delivery), Some(Code::DestinationMisconfigured));
    assert!(elsewhere.received().is_empty());
}

#[tokio::test]
async fn answers_are_counted_by_what_they_mean() {
    let script = |n: usize, _: &Received| match n {
        1 => Answer::status(503),
        2 => Answer::Lost,
        3 => Answer::status(429),
        4 => Answer::status(413),
        5 => Answer::status(422),
        6 => Answer::status(200),
        _ => Answer::status(403),
    };
    let server = Server::start(script).await;
    let sink = Made::default().open(&server);
    // Two records: both are refused, then halved.
    let traffic = sink.deliver(&records(2)).await.traffic;
    let seen = (traffic.taken, traffic.rejected, traffic.throttled, traffic.failed, traffic.refused);
    assert_eq!(seen, (1, 2, 1, 2, 0));
    assert_eq!((traffic.retries, traffic.breaks), (3, 0));
    assert_eq!(sink.deliver(&records(1)).await.traffic.refused, 1);
}
