//! The engine over a scripted transport, on paused time: waits are exact and take none.

mod rates;
mod verdicts;

use std::sync::{Arc, Mutex};

use backflow_core::code::Code;
use backflow_core::selection::Operation;
use futures::future::join_all;
use tokio::sync::watch;

use super::super::{Class, Trouble, Words, by_status};
use super::*;
use crate::pace::Hint;
use crate::results::Verdict;

/// An answer as far as these tests go.
#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    retry_after: Option<Duration>,
    /// What is said of each record, if the whole is taken; all of them are, unless it is said.
    verdicts: Option<Vec<Verdict>>,
    ambiguous: bool,
}

const SHOWN: &str = "http://receiver";

type Script = Box<dyn Fn(usize, &[Record]) -> Result<Answer, Trouble> + Send + Sync>;

/// Answers by a script, and keeps what was sent and when.
struct Fake {
    script: Script,
    sent: Mutex<Vec<(Instant, Vec<String>)>>,
    /// How long each answer takes.
    takes: Duration,
    rates: usize,
    bisects: bool,
}

#[async_trait]
impl Transport for Arc<Fake> {
    type Batch = Vec<usize>;

    fn prepare(&self, records: &[Record]) -> Prepared<Vec<usize>> {
        Prepared {
            batch: records.iter().map(|record| record.data.len()).collect(),
            parts: vec![(0..records.len() as u32).collect()],
            settled: Vec::new(),
            followers: Vec::new(),
            lanes: Vec::new(),
        }
    }

    fn size(&self, batch: &Vec<usize>, part: &[u32]) -> usize {
        part.iter().map(|at| batch[*at as usize] + 1).sum::<usize>() + 1
    }

    fn bisects(&self, _: &Vec<usize>, _: &[u32]) -> bool {
        self.bisects
    }

    fn repeats(&self) -> bool {
        true
    }

    async fn attempt(&self, records: &[Record], batch: &Vec<usize>, part: &[u32], line: &Line<'_>) -> Reply {
        let spend: Vec<(usize, u64)> = (0..self.rates).map(|at| (at, 1)).collect();
        let permit = match line.enter(&spend, self.size(batch, part)).await {
            Ok(permit) => permit,
            Err(failure) => return Reply::Stop(failure),
        };
        let records: Vec<Record> = part.iter().map(|at| records[*at as usize].clone()).collect();
        let number = {
            let mut sent = self.sent.lock().unwrap();
            sent.push((Instant::now(), records.iter().map(|record| record.id.clone()).collect()));
            sent.len()
        };
        tokio::time::sleep(self.takes).await;
        let answer = match (self.script)(number, &records) {
            Ok(answer) => answer,
            Err(trouble) if trouble.fatal => return Reply::Stop(trouble.failure),
            Err(trouble) => {
                permit.failed();
                return Reply::Again { why: trouble.failure, wait: None, throttled: false };
            }
        };
        let words = Words { shown: SHOWN, user_url: true };
        let hint = Hint { wait: answer.retry_after, ..Hint::default() };
        let class = by_status(answer.status, hint.wait.is_some(), false, false, words);
        match class {
            Class::Taken | Class::Ignored => {
                permit.succeeded();
                let all = || vec![Verdict::Delivered { remote_id: None }; part.len()];
                let verdicts = answer.verdicts.unwrap_or_else(all);
                Reply::Verdicts { verdicts, ambiguous: answer.ambiguous, stop: None }
            }
            Class::Rejected => Reply::Refused { status: answer.status, fault: Fault::default() },
            Class::TooLarge => Reply::TooLarge,
            Class::Unauthorized(failure) | Class::Stop(failure) => Reply::Stop(failure),
            Class::Throttled | Class::Transient => {
                if class == Class::Transient {
                    permit.failed();
                }
                let message = format!("{SHOWN} answers {}", answer.status);
                let why = Failure::new(Code::RetriesExhausted, message);
                Reply::Again { why, wait: hint.throttled(), throttled: class == Class::Throttled }
            }
        }
    }
}

fn records(n: usize) -> Vec<Record> {
    let record = |id: usize| Record {
        id: id.to_string(),
        op: Operation::Upsert,
        memory: backflow_core::change::Memory::default(),
        data: format!("{{\"n\":{id}}}"),
        key: format!("k{id}"),
    };
    (0..n).map(record).collect()
}

fn answer(status: u16) -> Result<Answer, Trouble> {
    Ok(Answer { status, retry_after: None, verdicts: None, ambiguous: false })
}

fn wait(status: u16, seconds: u64) -> Result<Answer, Trouble> {
    Ok(Answer { status, retry_after: Some(Duration::from_secs(seconds)), verdicts: None, ambiguous: false })
}

fn timeout() -> Trouble {
    Trouble::timeout("x", Duration::from_secs(30))
}

struct Bench {
    engine: Arc<Engine<Arc<Fake>>>,
    fake: Arc<Fake>,
    stop: watch::Sender<Option<Failure>>,
}

impl Bench {
    fn new(script: impl Fn(usize, &[Record]) -> Result<Answer, Trouble> + Send + Sync + 'static) -> Self {
        Self::with(4, None, Retry::default(), script)
    }

    fn with(
        concurrency: usize,
        rate: Option<u32>,
        retry: Retry,
        script: impl Fn(usize, &[Record]) -> Result<Answer, Trouble> + Send + Sync + 'static,
    ) -> Self {
        let rates: Vec<Rate> =
            rate.iter().map(|rate| Rate { limit: u64::from(*rate), per: Duration::from_secs(1) }).collect();
        Self::of(concurrency, rates, retry, true, script)
    }

    fn of(
        concurrency: usize,
        rates: Vec<Rate>,
        retry: Retry,
        bisects: bool,
        script: impl Fn(usize, &[Record]) -> Result<Answer, Trouble> + Send + Sync + 'static,
    ) -> Self {
        let takes = Duration::from_millis(10);
        let fake =
            Arc::new(Fake { script: Box::new(script), sent: Mutex::default(), takes, rates: rates.len(), bisects });
        let (stop, asked) = watch::channel(None);
        let settings = Settings {
            limits: BatchLimits { max_records: 1000, max_bytes: 1 << 20, concurrency },
            concurrency: Concurrency::fixed(concurrency),
            rates,
            usage: None,
            retry,
            backoff: Backoff::default(),
        };
        let engine = Arc::new(Engine::new(Arc::clone(&fake), settings, asked));
        Self { engine, fake, stop }
    }

    fn sent(&self) -> Vec<(Instant, Vec<String>)> {
        self.fake.sent.lock().unwrap().clone()
    }

    /// Seconds from one request's begin to the next.
    fn gaps(&self) -> Vec<f64> {
        self.sent().windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs_f64()).collect()
    }
}

fn kinds(delivery: &Delivery) -> [usize; 3] {
    let count = |wanted: fn(&Outcome) -> bool| delivery.outcomes.iter().filter(|outcome| wanted(outcome)).count();
    [
        count(|outcome| matches!(outcome, Outcome::Delivered { .. })),
        count(|outcome| matches!(outcome, Outcome::Rejected(_))),
        count(|outcome| matches!(outcome, Outcome::Retrying)),
    ]
}

fn code(delivery: &Delivery) -> Option<Code> {
    delivery.stop.as_ref().map(|failure| failure.code)
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_one_request() {
    let bench = Bench::new(|_, _| answer(200));
    let delivery = bench.engine.deliver(&records(1000)).await;
    assert_eq!((kinds(&delivery), delivery.requests, code(&delivery)), ([1000, 0, 0], 1, None));
    assert!(delivery.bytes > 8000);
    let nothing = bench.engine.deliver(&[]).await;
    assert_eq!((nothing.outcomes.len(), nothing.requests), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn server_errors_and_broken_connections_are_tried_again_ever_later() {
    let bench = Bench::new(|n, _| match n {
        1 | 3 => answer(502),
        2 | 4 => Err(timeout()),
        _ => answer(204),
    });
    let delivery = bench.engine.deliver(&records(3)).await;
    assert_eq!((kinds(&delivery), delivery.requests, code(&delivery)), ([3, 0, 0], 5, None));
    for (gap, full) in bench.gaps().into_iter().zip([1.0, 2.0, 4.0, 8.0]) {
        assert!((full / 2.0..full + 0.02).contains(&gap), "{gap} of {full}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hint_is_followed_instead_of_the_backoff() {
    for status in [429, 503, 408, 425] {
        let bench = Bench::new(move |n, _| if n == 1 { wait(status, 42) } else { answer(200) });
        let delivery = bench.engine.deliver(&records(3)).await;
        assert_eq!(kinds(&delivery), [3, 0, 0]);
        let gap = bench.gaps()[0];
        assert!((42.0..42.1).contains(&gap), "{status}: {gap}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hint_that_no_clock_can_tell_ends_the_run_like_any_that_is_too_long() {
    for status in [429, 502] {
        let bench = Bench::new(move |_, _| wait(status, u64::MAX));
        let delivery = bench.engine.deliver(&records(3)).await;
        assert_eq!((kinds(&delivery), code(&delivery)), ([0, 0, 3], Some(Code::RetriesExhausted)));
    }
}

#[tokio::test(start_paused = true)]
async fn tries_are_counted_and_the_reason_stays() {
    let retry = Retry { max_attempts: 3, window_seconds: 900 };
    let bench = Bench::with(4, None, retry, |_, _| answer(500));
    let delivery = bench.engine.deliver(&records(5)).await;
    assert_eq!((kinds(&delivery), delivery.requests, code(&delivery)), ([0, 0, 5], 3, Some(Code::RetriesExhausted)));
    assert!(delivery.stop.unwrap().message.contains("answers 500; given up after 3 tries"));
    let next = bench.engine.deliver(&records(5)).await;
    assert_eq!(
        (kinds(&next), next.requests, code(&next)),
        ([0, 0, 5], 0, Some(Code::RetriesExhausted)),
        "the run is over"
    );

    let bench = Bench::with(4, None, retry, |_, _| Err(timeout()));
    assert_eq!(code(&bench.engine.deliver(&records(1)).await), Some(Code::DestinationUnreachable));
}

#[tokio::test(start_paused = true)]
async fn the_window_ends_tries_and_is_not_waited_for_in_vain() {
    let retry = Retry { max_attempts: 100, window_seconds: 60 };
    let bench = Bench::with(4, None, retry, |_, _| answer(500));
    let delivery = bench.engine.deliver(&records(1)).await;
    assert_eq!(code(&delivery), Some(Code::RetriesExhausted));
    let sent = bench.sent();
    assert!(sent[sent.len() - 1].0 - sent[0].0 <= Duration::from_secs(61));
    assert!((6..=9).contains(&sent.len()), "{}", sent.len());

    let bench = Bench::with(4, None, retry, |_, _| wait(429, 3600));
    let begin = Instant::now();
    let delivery = bench.engine.deliver(&records(1)).await;
    assert_eq!((code(&delivery), delivery.requests), (Some(Code::RetriesExhausted), 1));
    assert!(Instant::now() - begin < Duration::from_secs(1), "an hour is more than the window: no use in waiting");
}

#[tokio::test(start_paused = true)]
async fn credentials_and_configuration_end_the_run_for_every_batch() {
    for (status, expected) in [
        (401, Code::DestinationUnauthorized),
        (403, Code::DestinationMisconfigured),
        (302, Code::DestinationMisconfigured),
    ] {
        let bench = Bench::with(1, None, Retry::default(), move |_, _| answer(status));
        let batches: Vec<Vec<Record>> = (0..3).map(|_| records(2)).collect();
        let deliveries = join_all(batches.iter().map(|batch| bench.engine.deliver(batch))).await;
        assert!(deliveries.iter().all(|delivery| code(delivery) == Some(expected) && kinds(delivery) == [0, 0, 2]));
        assert_eq!(bench.sent().len(), 1, "the others never began");
    }
}

/// A receiver that refuses any batch with one of `poison` in it, and takes the others.
fn poisoned(poison: &'static [usize]) -> Bench {
    Bench::new(move |_, records| {
        let bad = records.iter().any(|record| poison.contains(&record.id.parse().unwrap()));
        answer(if bad { 422 } else { 200 })
    })
}

#[tokio::test(start_paused = true)]
async fn poison_records_are_found_and_the_others_arrive_once() {
    for poison in [&[0_usize][..], &[999], &[500], &[3, 4], &[0, 1, 2, 500, 998, 999]] {
        let bench = poisoned(poison);
        let delivery = bench.engine.deliver(&records(1000)).await;
        assert_eq!(kinds(&delivery), [1000 - poison.len(), poison.len(), 0]);
        for id in poison {
            assert!(matches!(&delivery.outcomes[*id], Outcome::Rejected(rejection) if rejection.code == "HTTP_422"));
        }
        assert!(delivery.requests as usize <= 1 + 20 * poison.len(), "{} requests", delivery.requests);
        let mut taken: Vec<String> = bench
            .sent()
            .into_iter()
            .filter(|(_, ids)| !ids.iter().any(|id| poison.contains(&id.parse().unwrap())))
            .flat_map(|(_, ids)| ids)
            .collect();
        assert!(taken.is_sorted_by_key(|id| id.parse::<usize>().unwrap()), "in order");
        taken.dedup();
        assert_eq!(taken.len(), 1000 - poison.len(), "each once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_refuses_everything_is_not_asked_about_everything() {
    let bench = Bench::new(|_, _| answer(400));
    let delivery = bench.engine.deliver(&records(1000)).await;
    let [delivered, rejected, retrying] = kinds(&delivery);
    assert_eq!((delivered, code(&delivery)), (0, None));
    assert!(rejected > 150 && retrying > 500, "{rejected} {retrying}");
    assert!(delivery.requests < 500, "{} requests", delivery.requests);
    let next = bench.engine.deliver(&records(1000)).await;
    assert_eq!((kinds(&next), next.requests), ([0, 0, 1000], 1));
}

#[tokio::test(start_paused = true)]
async fn deliveries_earn_the_right_to_split_again() {
    let bench = Bench::new(|_, records| answer(if records.iter().any(|record| record.id == "77") { 400 } else { 200 }));
    for _ in 0..200 {
        assert_eq!(kinds(&bench.engine.deliver(&records(1000)).await), [999, 1, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_size_limit_is_learnt_once_and_a_record_above_it_is_rejected() {
    let bench = Bench::new(|_, records| answer(if records.len() > 60 { 413 } else { 200 }));
    let first = bench.engine.deliver(&records(1000)).await;
    assert_eq!(kinds(&first), [1000, 0, 0]);
    let before = bench.sent().len();
    let second = bench.engine.deliver(&records(1000)).await;
    assert_eq!(kinds(&second), [1000, 0, 0]);
    assert!(bench.sent()[before..].iter().all(|(_, ids)| ids.len() <= 60), "no 413 any more");

    let bench = Bench::new(|_, records| answer(if records.iter().any(|record| record.id == "5") { 413 } else { 200 }));
    let delivery = bench.engine.deliver(&records(10)).await;
    assert_eq!(kinds(&delivery), [9, 1, 0]);
    assert!(matches!(&delivery.outcomes[5], Outcome::Rejected(rejection) if rejection.code == "TOO_LARGE"));
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_what_is_in_flight_and_begins_nothing() {
    let bench = Bench::new(|_, records| answer(if records.len() > 250 { 422 } else { 200 }));
    let engine = Arc::clone(&bench.engine);
    let task = tokio::spawn(async move { engine.deliver(&records(1000)).await });
    // Requests take 10 ms: 1000, 500 and 250 records, and then the next 250 are in flight.
    tokio::time::sleep(Duration::from_millis(35)).await;
    bench.stop.send_replace(Some(Failure::new(Code::Canceled, "a person cancelled the run")));
    let delivery = task.await.unwrap();
    assert_eq!((kinds(&delivery), delivery.requests, code(&delivery)), ([500, 0, 500], 4, Some(Code::Canceled)));
    assert!(matches!(delivery.outcomes[499], Outcome::Delivered { .. }) && delivery.outcomes[500] == Outcome::Retrying);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_every_wait() {
    for script in [wait(429, 600), answer(500)] {
        let bench = Bench::with(1, None, Retry::default(), move |_, _| script.clone());
        let stop = bench.stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stop.send_replace(Some(Failure::new(Code::Terminated, "")));
        });
        let begin = Instant::now();
        let batches = [records(2), records(2)];
        let deliveries = join_all(batches.iter().map(|batch| bench.engine.deliver(batch))).await;
        assert!(
            deliveries.iter().all(|delivery| code(delivery) == Some(Code::Terminated) && kinds(delivery) == [0, 0, 2])
        );
        assert!(Instant::now() - begin < Duration::from_millis(150));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_stop_channel_stops_nothing() {
    let Bench { engine, stop, .. } = Bench::new(|n, _| if n == 1 { answer(500) } else { answer(200) });
    drop(stop);
    assert_eq!(kinds(&engine.deliver(&records(2)).await), [2, 0, 0]);
}
