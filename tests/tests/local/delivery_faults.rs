//! A receiver that misbehaves: each record gets one outcome, the ledger holds what the outcomes say, and nothing is lost.

use backflow_core::code::{Code, Failure};
use backflow_core::record::Outcome;
use backflow_core::selection::Operation;
use backflow_core::sink::Delivery;
use backflow_tests::receiver::{Expect, Fault, Ledger, Receiver, RetryAfter, Script};
use backflow_tests::webhook::{Webhook, records};

/// Delivers 100 records to a receiver with this script.
async fn deliver(script: Script) -> (Delivery, Ledger) {
    deliver_with(script, 8, 900).await
}

async fn deliver_with(script: Script, max_attempts: u32, window: u64) -> (Delivery, Ledger) {
    let receiver = Receiver::start(Expect::default()).await.unwrap();
    receiver.script(script);
    let (sink, _stop) = Webhook::new(&receiver.url()).retry(max_attempts, window).open().unwrap();
    let delivery = sink.deliver(&records(0..100, Operation::Upsert)).await;
    let ledger = receiver.ledger();
    assert_eq!(delivery.outcomes.len(), 100);
    assert_eq!(ledger.violations, Vec::<String>::new());
    assert_eq!(delivery.requests, ledger.requests.len() as u64);
    // Whatever is delivered was taken.
    for (id, outcome) in delivery.outcomes.iter().enumerate() {
        if matches!(outcome, Outcome::Delivered { .. }) {
            assert!(ledger.items.iter().any(|item| item.id == id), "{id}");
        }
    }
    (delivery, ledger)
}

fn kinds(delivery: &Delivery) -> [usize; 3] {
    let mut kinds = [0; 3];
    for outcome in &delivery.outcomes {
        kinds[match outcome {
            Outcome::Delivered { .. } => 0,
            Outcome::Rejected(_) => 1,
            Outcome::Retrying => 2,
        }] += 1;
    }
    kinds
}

fn statuses(ledger: &Ledger) -> Vec<Option<u16>> {
    ledger.requests.iter().map(|entry| entry.status).collect()
}

#[tokio::test]
async fn throttles_with_seconds_or_a_date_are_waited_for_once() {
    for form in [RetryAfter::Seconds(1), RetryAfter::Date(1)] {
        let script = Script::next([Fault::Status { status: 429, retry_after: Some(form) }]);
        let (delivery, ledger) = deliver(script).await;
        assert_eq!((kinds(&delivery), statuses(&ledger)), ([100, 0, 0], vec![Some(429), Some(200)]));
        assert_eq!(ledger.requests[0].idempotency_key, ledger.requests[1].idempotency_key);
        assert!(ledger.multiset().values().all(|count| *count == 1));
    }
}

#[tokio::test]
async fn server_errors_and_resets_are_tried_again() {
    for fault in [Fault::status(500), Fault::status(503), Fault::Reset] {
        let (delivery, ledger) = deliver(Script::next([fault])).await;
        assert_eq!((kinds(&delivery), ledger.requests.len()), ([100, 0, 0], 2));
        assert!(ledger.multiset().values().all(|count| *count == 1));
    }
}

#[tokio::test]
async fn a_lost_answer_repeats_the_batch_with_the_same_keys() {
    let (delivery, ledger) = deliver(Script::next([Fault::LostAnswer])).await;
    assert_eq!((kinds(&delivery), statuses(&ledger)), ([100, 0, 0], vec![None, Some(200)]));
    assert_eq!(ledger.requests[0].idempotency_key, ledger.requests[1].idempotency_key);
    let summary = ledger.summary();
    assert_eq!((summary.repeated, summary.rows), (100, 100));
}

#[tokio::test]
async fn an_endless_body_after_a_good_status_is_an_acknowledgement() {
    let (delivery, ledger) = deliver(Script::next([Fault::EndlessBody])).await;
    assert_eq!((kinds(&delivery), ledger.requests.len()), ([100, 0, 0], 1));
}

#[tokio::test]
async fn poison_records_alone_are_rejected() {
    let poison = ["0", "41", "42", "99"];
    let script = Script { poison: poison.map(str::to_owned).into(), ..Script::default() };
    let (delivery, ledger) = deliver(script).await;
    assert_eq!(kinds(&delivery), [96, 4, 0]);
    for id in poison {
        let Outcome::Rejected(rejection) = &delivery.outcomes[id.parse::<usize>().unwrap()] else { panic!("{id}") };
        assert_eq!(rejection.code, "HTTP_422");
    }
    assert_eq!(ledger.items.len(), 96);
    assert!(ledger.multiset().values().all(|count| *count == 1));
}

#[tokio::test]
async fn batches_shrink_to_what_the_receiver_takes() {
    let (delivery, ledger) = deliver(Script { max_records: Some(30), ..Script::default() }).await;
    assert_eq!(kinds(&delivery), [100, 0, 0]);
    assert!(ledger.multiset().values().all(|count| *count == 1));
    assert!(ledger.requests.iter().filter(|entry| entry.status == Some(413)).count() <= 2, "{:?}", statuses(&ledger));
    let (delivery, ledger) = deliver(Script { max_records: Some(0), ..Script::default() }).await;
    assert_eq!((kinds(&delivery), ledger.items.len()), ([0, 100, 0], 0));
    assert!(matches!(&delivery.outcomes[7], Outcome::Rejected(rejection) if rejection.code == "TOO_LARGE"));
}

#[tokio::test]
async fn configuration_and_credentials_end_the_run_after_one_request() {
    let cases = [
        (Fault::status(401), Code::DestinationUnauthorized),
        (Fault::status(403), Code::DestinationMisconfigured),
        (Fault::status(404), Code::DestinationMisconfigured),
        (Fault::status(405), Code::DestinationMisconfigured),
        (Fault::status(302), Code::DestinationMisconfigured),
        (Fault::status(501), Code::DestinationMisconfigured),
        (Fault::Html, Code::DestinationMisconfigured),
    ];
    for (fault, code) in cases {
        let (delivery, ledger) = deliver(Script::always(fault.clone())).await;
        assert_eq!((kinds(&delivery), ledger.requests.len(), ledger.items.len()), ([0, 0, 100], 1, 0), "{fault:?}");
        assert_eq!(delivery.stop.map(|failure| failure.code), Some(code), "{fault:?}");
    }
}

#[tokio::test]
async fn retries_that_are_used_up_end_the_run_and_say_why() {
    let (delivery, ledger) = deliver_with(Script::always(Fault::status(503)), 2, 900).await;
    assert_eq!((kinds(&delivery), ledger.requests.len()), ([0, 0, 100], 2));
    assert_eq!(delivery.stop.unwrap().code, Code::RetriesExhausted);
    let hour = Fault::Status { status: 429, retry_after: Some(RetryAfter::Seconds(3600)) };
    let (delivery, ledger) = deliver(Script::always(hour)).await;
    assert_eq!((kinds(&delivery), ledger.requests.len()), ([0, 0, 100], 1));
    assert_eq!(delivery.stop.unwrap().code, Code::RetriesExhausted);
    let (delivery, _) = deliver_with(Script::always(Fault::Reset), 2, 900).await;
    assert_eq!(delivery.stop.unwrap().code, Code::DestinationUnreachable);
}

#[tokio::test]
async fn a_stop_lets_the_request_in_flight_end_and_begins_no_other() {
    let receiver = Receiver::start(Expect::default()).await.unwrap();
    // The whole batch is refused for a record at its end, and the first half is held.
    let poison = [String::from("99")].into();
    receiver.script(Script { poison, next: [Fault::Hold].into(), ..Script::default() });
    let (sink, stop) = Webhook::new(&receiver.url()).open().unwrap();
    let running = tokio::spawn(async move { sink.deliver(&records(0..100, Operation::Upsert)).await });
    receiver.holding(1).await.unwrap();
    stop.send_replace(Some(Failure::new(Code::Terminated, "the pod is asked to stop")));
    receiver.release();
    let delivery = running.await.unwrap();
    assert_eq!((kinds(&delivery), delivery.requests), ([50, 0, 50], 2));
    assert_eq!(delivery.stop.map(|failure| failure.code), Some(Code::Terminated));
    assert_eq!(receiver.ledger().items.len(), 50);
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let receiver = Receiver::start(Expect::default()).await.unwrap();
    let webhook = Webhook::new(&receiver.url()).retry(1, 900);
    drop(receiver);
    // The address may be taken until the server's task is gone.
    tokio::task::yield_now().await;
    let (sink, _stop) = webhook.open().unwrap();
    let delivery = sink.deliver(&records(0..3, Operation::Upsert)).await;
    assert_eq!(delivery.stop.map(|failure| failure.code), Some(Code::DestinationUnreachable));
    assert_eq!(delivery.outcomes, vec![Outcome::Retrying; 3]);
}

#[tokio::test]
async fn in_a_cluster_loopback_is_forbidden() {
    let receiver = Receiver::start(Expect::default()).await.unwrap();
    let port = receiver.address().port();
    let mut by_address = Webhook::new(&receiver.url());
    by_address.destination.allow_loopback = false;
    assert_eq!(by_address.open().err().unwrap().code, Code::AddressForbidden);
    assert_eq!(by_address.check().await.unwrap_err().code, Code::AddressForbidden);
    let mut by_name = Webhook::new(&format!("http://localhost:{port}/hook"));
    by_name.destination.allow_loopback = false;
    let (sink, _stop) = by_name.open().unwrap();
    let delivery = sink.deliver(&records(0..3, Operation::Upsert)).await;
    assert_eq!(delivery.stop.map(|failure| failure.code), Some(Code::AddressForbidden));
    assert!(receiver.ledger().requests.is_empty());
}
