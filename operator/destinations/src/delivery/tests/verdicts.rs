//! Answers that speak of each record.

use super::*;

/// Verdicts: `+` delivered, `-` rejected, `~` again, `?` unclear.
fn verdicts(marks: &str, ambiguous: bool) -> Result<Answer, Trouble> {
    let verdict = |mark: char| match mark {
        '+' => Verdict::Delivered { remote_id: Some("\"r\"".into()) },
        '-' => Verdict::Rejected(Fault::read(Some("BAD"), Some("email"))),
        '~' => Verdict::Again,
        _ => Verdict::Unclear,
    };
    Ok(Answer { status: 200, retry_after: None, verdicts: Some(marks.chars().map(verdict).collect()), ambiguous })
}

#[tokio::test(start_paused = true)]
async fn only_what_is_to_be_tried_again_is_sent_again() {
    let bench = Bench::new(|n, _| match n {
        1 => verdicts("+-~~", false),
        2 => verdicts("~+", false),
        _ => verdicts("+", false),
    });
    let delivery = bench.engine.deliver(&records(4)).await;
    assert_eq!((kinds(&delivery), code(&delivery)), ([3, 1, 0], None));
    let sent: Vec<Vec<String>> = bench.sent().into_iter().map(|(_, ids)| ids).collect();
    assert_eq!(sent, [&["0", "1", "2", "3"][..], &["2", "3"], &["2"]]);
    assert!(matches!(&delivery.outcomes[1], Outcome::Rejected(rejection)
        if rejection.code == "BAD" && rejection.field.as_deref() == Some("email")));
    assert_eq!(delivery.outcomes[0], Outcome::Delivered { remote_id: Some("\"r\"".into()) });
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_never_taken_leaves_the_others_alone() {
    let retry = Retry { max_attempts: 3, window_seconds: 900 };
    let bench = Bench::with(1, None, retry, |_, records| {
        let mark = |record: &Record| if record.id == "1" { '~' } else { '+' };
        verdicts(&records.iter().map(mark).collect::<String>(), false)
    });
    let delivery = bench.engine.deliver(&records(3)).await;
    assert_eq!((kinds(&delivery), delivery.requests, code(&delivery)), ([2, 0, 1], 3, None), "the run goes on");
}

#[tokio::test(start_paused = true)]
async fn failures_without_a_name_are_found_by_sending_fewer() {
    // Totals: "3 taken, 1 failed".
    let bench = Bench::new(|_, records| {
        let bad = records.iter().filter(|record| record.id == "2").count();
        match bad {
            0 => verdicts(&"+".repeat(records.len()), false),
            _ if records.len() == 1 => verdicts("-", false),
            _ => Ok(Answer { verdicts: None, ambiguous: true, ..answer(200)? }),
        }
    });
    let delivery = bench.engine.deliver(&records(4)).await;
    assert_eq!(kinds(&delivery), [3, 1, 0]);
    assert!(matches!(delivery.outcomes[2], Outcome::Rejected(_)));
}

#[tokio::test(start_paused = true)]
async fn an_unclear_answer_never_becomes_a_delivery() {
    let unclear = |_, records: &[Record]| verdicts(&"?".repeat(records.len()), true);
    let delivery = Bench::new(unclear).engine.deliver(&records(4)).await;
    assert_eq!(kinds(&delivery), [0, 4, 0]);
    assert!(matches!(&delivery.outcomes[0], Outcome::Rejected(rejection) if rejection.code == "UNCLEAR_ANSWER"));
    let whole = Bench::of(1, Vec::new(), Retry::default(), false, unclear);
    let delivery = whole.engine.deliver(&records(4)).await;
    assert_eq!((kinds(&delivery), delivery.requests), ([0, 0, 4], 1), "left for the next run");
}

#[tokio::test(start_paused = true)]
async fn without_bisection_a_refusal_is_everyones() {
    let bench = Bench::of(1, Vec::new(), Retry::default(), false, |_, _| answer(400));
    let delivery = bench.engine.deliver(&records(4)).await;
    assert_eq!((kinds(&delivery), delivery.requests), ([0, 4, 0], 1));
}
