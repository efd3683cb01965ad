//! Postgres as a Destination, against a real server.

mod checks;
mod faults;
mod rows;
mod runs;
mod table;

use backflow_core::record::{Outcome, Record};
use backflow_core::sink::{Delivery, Sink};

/// Delivers, and looks at what holds for every delivery: one outcome for each record, and no word of a row.
async fn deliver(sink: &dyn Sink, records: &[Record]) -> Delivery {
    let delivery = sink.deliver(records).await;
    assert_eq!(delivery.outcomes.len(), records.len(), "one outcome for each record");
    let said = format!("{:?} {:?}", delivery.outcomes, delivery.stop);
    assert!(!said.contains("canary"), "{said}");
    delivery
}

/// `+` delivered, `!CODE:field` rejected, `~` retrying.
fn marks(delivery: &Delivery) -> Vec<String> {
    let mark = |outcome: &Outcome| match outcome {
        Outcome::Delivered { .. } => "+".to_owned(),
        Outcome::Rejected(rejection) => format!("!{}:{}", rejection.code, rejection.field.as_deref().unwrap_or("-")),
        Outcome::Retrying => "~".to_owned(),
    };
    delivery.outcomes.iter().map(mark).collect()
}

/// All of them delivered, nothing stopped.
fn all(delivery: &Delivery) {
    assert!(delivery.stop.is_none(), "{:?}", delivery.stop);
    assert!(marks(delivery).iter().all(|mark| mark == "+"), "{:?}", marks(delivery));
}
