//! What arrives at a receiver that checks every byte of the webhook's wire format.

use backflow_core::code::Code;
use backflow_core::record::{Outcome, Record};
use backflow_core::selection::Operation;
use backflow_tests::receiver::{Expect, Fault, Receiver, Script};
use backflow_tests::webhook::{Webhook, random_secret, records};
use futures::future::join_all;
use serde_json::{Value, json};

fn all_delivered(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, Outcome::Delivered { .. }))
}

#[tokio::test]
async fn every_operation_arrives_once_signed_and_with_its_keys() {
    let expect = Expect { token: Some(random_secret("t-")), signing_key: Some(random_secret("s-")), print: false };
    let receiver = Receiver::start(expect.clone()).await.unwrap();
    let (sink, _stop) = Webhook::new(&receiver.url()).expected(&expect).open().unwrap();
    let operations = [Operation::Upsert, Operation::Insert, Operation::Update, Operation::Delete];
    for (n, operation) in (0_u64..).zip(operations) {
        let batch = records(n * 1000..(n + 1) * 1000, operation);
        let delivery = sink.deliver(&batch).await;
        assert!(all_delivered(&delivery.outcomes) && delivery.stop.is_none() && delivery.requests == 1);
    }
    let ledger = receiver.ledger();
    assert_eq!(ledger.violations, Vec::<String>::new());
    let summary = ledger.summary();
    assert_eq!((summary.requests, summary.rows, summary.repeated), (4, 3000, 0));
    assert!(ledger.multiset().values().all(|count| *count == 1));
    assert_eq!(ledger.items[7].data, json!({"n": 7, "name": "é \"7\""}));
}

#[tokio::test]
async fn composite_text_and_great_keys_arrive_as_they_are() {
    let receiver = Receiver::start(Expect::default()).await.unwrap();
    let (sink, _stop) = Webhook::new(&receiver.url()).open().unwrap();
    let ids = ["[1,\"a\\\"b\"]", "\"9007199254740993\"", "\"é\\n\"", "-1", "true"];
    let batch: Vec<Record> = ids
        .iter()
        .enumerate()
        .map(|(n, id)| Record {
            id: (*id).to_owned(),
            op: Operation::Upsert,
            memory: backflow_core::change::Memory::default(),
            data: "{}".into(),
            key: format!("{n:022}"),
        })
        .collect();
    assert!(all_delivered(&sink.deliver(&batch).await.outcomes));
    let ledger = receiver.ledger();
    let arrived: Vec<&Value> = ledger.items.iter().map(|item| &item.id).collect();
    let sent: Vec<Value> = ids.iter().map(|id| serde_json::from_str(id).unwrap()).collect();
    assert_eq!(arrived, sent.iter().collect::<Vec<_>>());
    assert!(ledger.violations.is_empty(), "{:?}", ledger.violations);
}

#[tokio::test]
async fn method_and_headers_are_settings() {
    for method in ["PUT", "PATCH", "POST"] {
        let receiver = Receiver::start(Expect::default()).await.unwrap();
        let webhook = Webhook::new(&receiver.url())
            .setting("method", json!(method))
            .setting("headers", json!({"X-Team": "growth"}));
        let (sink, _stop) = webhook.open().unwrap();
        assert!(all_delivered(&sink.deliver(&records(0..3, Operation::Upsert)).await.outcomes));
        assert!(receiver.ledger().violations.is_empty());
    }
    let injected =
        Webhook::new("http://127.0.0.1:9/").setting("headers", json!({"X-A": "a\r\nAuthorization: Bearer b"}));
    assert_eq!(injected.open().err().unwrap().code, Code::PlanInvalid);
}

#[tokio::test]
async fn no_more_requests_at_once_than_the_limit() {
    let receiver = Receiver::start(Expect::default()).await.unwrap();
    receiver.script(Script::always(Fault::Hold));
    let mut webhook = Webhook::new(&receiver.url());
    webhook.destination.limits.concurrency = Some(3);
    let (sink, _stop) = webhook.open().unwrap();
    assert_eq!(sink.limits().concurrency, 3);
    let batches: Vec<Vec<Record>> = (0..9).map(|n| records(n..n + 1, Operation::Upsert)).collect();
    let watched = async {
        for _ in 0..3 {
            receiver.holding(3).await.unwrap();
            receiver.release();
        }
    };
    let (deliveries, ()) = tokio::join!(join_all(batches.iter().map(|batch| sink.deliver(batch))), watched);
    assert!(deliveries.iter().all(|delivery| all_delivered(&delivery.outcomes)));
    let ledger = receiver.ledger();
    assert_eq!((ledger.requests.len(), ledger.max_in_flight), (9, 3));
}

#[tokio::test]
async fn the_check_sends_no_rows_and_finds_a_wrong_token() {
    let expect = Expect { token: Some(random_secret("t-")), ..Expect::default() };
    let receiver = Receiver::start(expect.clone()).await.unwrap();
    let right = Webhook::new(&format!("{}?q=hidden", receiver.url())).expected(&expect);
    // The account is the server alone: paths and queries are where webhooks carry tokens.
    assert_eq!(right.check().await, Ok(format!("http://{}", receiver.address())));
    let wrong = Webhook::new(&receiver.url()).secret("authToken", "wrong").check().await.unwrap_err();
    assert_eq!(wrong.code, Code::DestinationUnauthorized);
    let none = Webhook::new(&receiver.url()).check().await.unwrap_err();
    assert_eq!(none.code, Code::DestinationUnauthorized);
    let ledger = receiver.ledger();
    assert_eq!((ledger.checks, ledger.requests.len(), ledger.items.len()), (3, 0, 0));
}
