//! A batch from its first request to the last outcome.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::Failure;
use backflow_core::plan::Retry;
use backflow_core::record::{Outcome, Record, Rejection};
use backflow_core::sink::{BatchLimits, Delivery, Sink};
use backflow_core::traffic::Traffic;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::lanes::Lanes;
use super::{Backoff, Line, Prepared, Reply, Stopper, Tally, Transport};
use crate::Stop;
use crate::pace::{Concurrency, Gate, LONGEST, Rate, Usage};
use crate::results::{Fault, Verdict};

/// Refusals that a run may follow up by splitting, and how many deliveries earn one more. A poison record among a thousand costs ten
/// refusals; a destination that refuses everything must not be asked about every record.
const REFUSALS: i64 = 400;
const DELIVERIES_PER_REFUSAL: i64 = 4;

/// Requests after which records are rejected whose answers cannot be read.
const READINGS: u32 = 3;

/// How a destination is spoken to.
pub(crate) struct Settings {
    /// Batches, as the run makes them.
    pub(crate) limits: BatchLimits,
    pub(crate) concurrency: Concurrency,
    pub(crate) rates: Vec<Rate>,
    /// What other runs use of them.
    pub(crate) usage: Option<Usage>,
    /// Bounds each part of a batch.
    pub(crate) retry: Retry,
    pub(crate) backoff: Backoff,
}

/// The sink over a [`Transport`].
pub(crate) struct Engine<T> {
    transport: T,
    settings: Settings,
    gate: Gate,
    stopper: Stopper,
    lanes: Lanes,
    /// What the transport's opening gave, once it is open.
    opened: OnceCell<Option<String>>,
    /// Bytes of a request that the destination takes: halved by each 413, for the rest of the run.
    max_bytes: AtomicUsize,
    /// Refusals left, in parts of [`DELIVERIES_PER_REFUSAL`].
    allowance: AtomicI64,
}

/// What became of one part of a batch.
enum Sent {
    /// Each record has its outcome, but for those that are to be told apart by sending fewer at once.
    Settled {
        doubtful: Vec<u32>,
    },
    Refused(u16, Fault),
    TooLarge,
    /// Not acknowledged, and nothing more is to be sent.
    Stopped(Failure),
}

/// Tries of one thing, within the Mapping's retries.
#[derive(Default)]
struct Tries {
    begun: u32,
    first_failure: Option<Instant>,
}

impl Tries {
    /// The number of the try that begins now.
    fn next(&mut self) -> u32 {
        self.begun += 1;
        self.begun
    }

    /// After a failure: what is left of the window, if that allows no other try after `wait`.
    fn spent(&mut self, retry: &Retry, wait: Duration) -> Option<Duration> {
        let now = Instant::now();
        let window = retry.window().saturating_sub(now - *self.first_failure.get_or_insert(now));
        (self.begun >= retry.max_attempts || wait > window).then_some(window)
    }
}

/// What an answer said of a part.
struct Said {
    verdicts: Vec<Verdict>,
    ambiguous: bool,
    /// Fewer records at once are to tell what it did not.
    splits: bool,
}

impl<T: Transport> Engine<T> {
    pub(crate) fn new(transport: T, mut settings: Settings, stop: Stop) -> Self {
        Self {
            transport,
            gate: Gate::new(settings.concurrency, &settings.rates, settings.backoff, settings.usage.take()),
            stopper: Stopper::new(stop),
            lanes: Lanes::default(),
            opened: OnceCell::new(),
            max_bytes: AtomicUsize::new(usize::MAX),
            allowance: AtomicI64::new(REFUSALS * DELIVERIES_PER_REFUSAL),
            settings,
        }
    }

    /// Sends a part until each of its records is answered for good. Records that the answer says to try again go again without the others,
    /// and then are all that is left of the part.
    async fn send(
        &self,
        records: &[Record],
        batch: &T::Batch,
        part: &mut Vec<u32>,
        line: &Line<'_>,
        outcomes: &mut [Outcome],
    ) -> Sent {
        let mut doubtful = Vec::new();
        let mut tries = Tries::default();
        loop {
            let attempt = tries.next();
            let mut throttles = false;
            let (why, wait) = match self.transport.attempt(records, batch, part, line).await {
                Reply::Stop(failure) => return Sent::Stopped(failure),
                Reply::Refused { status, fault } => return Sent::Refused(status, fault),
                Reply::TooLarge => return Sent::TooLarge,
                Reply::Unknown => {
                    part.iter().for_each(|at| outcomes[*at as usize] = Outcome::Rejected(unknown_delivery()));
                    return Sent::Settled { doubtful };
                }
                Reply::Unreadable(why) if attempt >= READINGS => {
                    let rejection = unreadable_answer(&why);
                    part.iter().for_each(|at| outcomes[*at as usize] = Outcome::Rejected(rejection.clone()));
                    return Sent::Settled { doubtful };
                }
                Reply::Unreadable(why) => (Some(why), None),
                Reply::Verdicts { verdicts, ambiguous, stop } => {
                    let splits =
                        ambiguous && part.len() > 1 && self.transport.repeats() && self.transport.bisects(batch, part);
                    let said = Said { verdicts, ambiguous, splits };
                    let again = self.settle(records, part, said, outcomes, &mut doubtful);
                    if let Some(failure) = stop {
                        return Sent::Stopped(failure);
                    }
                    if again.is_empty() {
                        return Sent::Settled { doubtful };
                    }
                    *part = again;
                    (None, None)
                }
                Reply::Again { why, wait, throttled } => {
                    // A hint of zero says nothing that the backoff would not say better.
                    let hint = wait.filter(|wait| !wait.is_zero()).map(|wait| wait.min(LONGEST));
                    let wait = hint.unwrap_or_else(|| self.backoff(attempt));
                    if throttled {
                        line.pause(wait, hint.is_some());
                        throttles = true;
                    }
                    (Some(why), Some(wait))
                }
            };
            let wait = wait.unwrap_or_else(|| self.backoff(attempt));
            if let Some(window) = tries.spent(&self.settings.retry, wait) {
                return match why {
                    Some(why) => Sent::Stopped(exhausted(&why, attempt, wait, window)),
                    // The destination takes others: the next run tries these again.
                    None => Sent::Settled { doubtful },
                };
            }
            let reason = why.as_ref().map_or_else(|| "the answer asks for it".to_owned(), ToString::to_string);
            tracing::warn!(
                attempt,
                wait_ms = wait.as_millis() as u64,
                records = part.len(),
                reason,
                "trying a batch again"
            );
            let began = Instant::now();
            let waited = line.wait(wait).await;
            if throttles {
                line.tally.waited(began.elapsed());
            }
            if let Err(failure) = waited {
                return Sent::Stopped(failure);
            }
            line.tally.again();
        }
    }

    /// Opens the transport, once. What may go better the next time is tried again as a batch is.
    async fn open(&self) -> Result<&Option<String>, Failure> {
        let open = || async {
            let tally = Tally::default();
            let line = self.line(&tally);
            let mut tries = Tries::default();
            loop {
                let attempt = tries.next();
                let why = match self.transport.open(&line).await {
                    Ok(account) => return Ok(account),
                    Err(trouble) if trouble.fatal => return Err(trouble.failure),
                    Err(trouble) => trouble.failure,
                };
                let wait = self.backoff(attempt);
                if let Some(window) = tries.spent(&self.settings.retry, wait) {
                    return Err(exhausted(&why, attempt, wait, window));
                }
                tracing::warn!(attempt, wait_ms = wait.as_millis() as u64, reason = %why, "trying to connect again");
                line.wait(wait).await?;
            }
        };
        self.opened.get_or_try_init(open).await
    }

    fn line<'a>(&'a self, tally: &'a Tally) -> Line<'a> {
        Line { gate: &self.gate, stopper: &self.stopper, tally, patience: self.settings.retry.window() }
    }

    /// Takes over verdicts, and gives the records that are to be sent again. Those that fewer at once would tell apart are `doubtful`.
    fn settle(
        &self,
        records: &[Record],
        part: &[u32],
        said: Said,
        outcomes: &mut [Outcome],
        doubtful: &mut Vec<u32>,
    ) -> Vec<u32> {
        let Said { verdicts, ambiguous, splits } = said;
        let mut again = Vec::new();
        let mut delivered = 0;
        for (at, verdict) in part.iter().zip(verdicts) {
            let place = *at as usize;
            match verdict {
                Verdict::Delivered { remote_id: None } if splits => doubtful.push(*at),
                Verdict::Delivered { remote_id } => {
                    delivered += 1;
                    outcomes[place] = Outcome::Delivered { remote_id };
                }
                Verdict::Rejected(fault) => {
                    outcomes[place] = Outcome::Rejected(fault.rejection(&records[place]));
                }
                Verdict::Settled(outcome) => outcomes[place] = outcome,
                Verdict::Again => again.push(*at),
                Verdict::Unclear if splits => doubtful.push(*at),
                Verdict::Unclear if ambiguous && part.len() == 1 => {
                    outcomes[place] = Outcome::Rejected(Rejection::new(
                        "UNCLEAR_ANSWER",
                        None,
                        "the destination's answer to this record alone does not say what became of it; correct the row or the Mapping",
                    ));
                }
                Verdict::Unclear => outcomes[place] = Outcome::Retrying,
            }
        }
        self.allowance.fetch_add(delivered, Relaxed);
        again
    }

    fn backoff(&self, attempt: u32) -> Duration {
        self.settings.backoff.after(attempt, fastrand::f64())
    }

    /// Whether a refusal may be followed up, and counts it.
    fn may_split(&self) -> bool {
        self.allowance.fetch_sub(DELIVERIES_PER_REFUSAL, Relaxed) >= DELIVERIES_PER_REFUSAL
    }

    /// How many of a part's first records the destination's size limit allows, at least one.
    fn fitting(&self, batch: &T::Batch, part: &[u32]) -> usize {
        let most = self.max_bytes.load(Relaxed);
        if most == usize::MAX || self.transport.size(batch, part) <= most {
            return part.len();
        }
        let fits = |records: &usize| self.transport.size(batch, &part[..*records]) <= most;
        (1..part.len()).take_while(fits).last().unwrap_or(1)
    }

    /// Sends all parts, splitting those that are refused.
    async fn send_all(
        &self,
        records: &[Record],
        batch: &T::Batch,
        mut parts: Vec<Vec<u32>>,
        line: &Line<'_>,
        outcomes: &mut [Outcome],
    ) -> Option<Failure> {
        // A stack, so that the batch's order is kept.
        parts.reverse();
        while let Some(mut part) = parts.pop() {
            let fitting = self.fitting(batch, &part);
            if fitting < part.len() {
                parts.push(part.split_off(fitting));
            }
            let refused = match self.send(records, batch, &mut part, line, outcomes).await {
                Sent::Stopped(failure) => {
                    self.stopper.halt(&failure);
                    return Some(failure);
                }
                Sent::Settled { doubtful } if doubtful.is_empty() => continue,
                Sent::Settled { doubtful } => {
                    part = doubtful;
                    None
                }
                Sent::TooLarge => {
                    if part.len() > 1 {
                        self.max_bytes.fetch_min(self.transport.size(batch, &part) / 2, Relaxed);
                    }
                    Some(None)
                }
                Sent::Refused(status, fault) => Some(Some((status, fault))),
            };
            if !self.may_split() {
                tracing::warn!(
                    records = part.len(),
                    "too many refusals to find out which records are at fault; they are tried again by the next run"
                );
            } else if let ([at], Some(refusal)) = (part.as_slice(), &refused) {
                let place = *at as usize;
                outcomes[place] = Outcome::Rejected(match refusal {
                    Some((status, fault)) => refusal_of(*status, fault, &records[place]),
                    None => too_large("the destination says that this record alone is too large"),
                });
            } else if !matches!(refused, Some(Some(_))) || self.transport.bisects(batch, &part) {
                let rest = part.split_off(part.len() / 2);
                parts.push(rest);
                parts.extend((!part.is_empty()).then_some(part));
            } else if let Some(Some((status, fault))) = &refused {
                for at in &part {
                    let place = *at as usize;
                    outcomes[place] = Outcome::Rejected(refusal_of(*status, fault, &records[place]));
                }
            }
        }
        None
    }
}

#[async_trait]
impl<T: Transport> Sink for Engine<T> {
    fn limits(&self) -> BatchLimits {
        self.settings.limits
    }

    fn throttled(&self) -> Option<Duration> {
        self.gate.asked()
    }

    async fn ready(&self, fields: &[String]) -> Result<Option<String>, Failure> {
        let account = self.open().await?.clone();
        self.transport.fits(fields)?;
        Ok(account)
    }

    async fn unfinished(&self) -> Vec<Vec<String>> {
        self.transport.unfinished().await
    }

    async fn finish(&self) {
        self.transport.finish().await;
        self.gate.share(true).await;
    }

    async fn deliver(&self, records: &[Record]) -> Delivery {
        // Whatever is not said otherwise below was not acknowledged.
        let mut outcomes = vec![Outcome::Retrying; records.len()];
        if records.is_empty() {
            return Delivery { outcomes, requests: 0, bytes: 0, traffic: Traffic::default(), stop: None };
        }
        if let Err(failure) = self.open().await {
            self.stopper.halt(&failure);
            return Delivery { outcomes, requests: 0, bytes: 0, traffic: Traffic::default(), stop: Some(failure) };
        }
        let Prepared { batch, parts, settled, followers, lanes } = self.transport.prepare(records);
        for (at, outcome) in settled {
            outcomes[at as usize] = outcome;
        }
        self.gate.share(false).await;
        let _held = self.lanes.enter(lanes).await;
        let tally = Tally::default();
        let line = self.line(&tally);
        let stop = self.send_all(records, &batch, parts, &line, &mut outcomes).await;
        let followed: HashMap<u32, u32> = followers.into_iter().collect();
        for (at, kept) in followed {
            outcomes[at as usize] = outcomes[kept as usize].clone();
        }
        let traffic = tally.traffic(self.gate.breaks());
        Delivery { outcomes, requests: tally.requests(), bytes: tally.bytes(), traffic, stop }
    }
}

/// The rejection of a record that was refused as a whole request.
fn refusal_of(status: u16, fault: &Fault, record: &Record) -> Rejection {
    let code = format!("HTTP_{status}");
    let mut rejection = Fault { status, ..fault.clone() }.rejection(record);
    if rejection.code == code {
        let message = format!("the destination answers {status} to this record alone; correct the row or the Mapping");
        rejection = Rejection::new(code, rejection.field.as_deref(), message);
    }
    rejection
}

/// The rejection of a record that is too large.
pub(crate) fn too_large(why: &str) -> Rejection {
    Rejection::new("TOO_LARGE", None, format!("{why}; map fewer or shorter fields"))
}

/// The rejection of a record that must not arrive twice, and may have arrived.
fn unknown_delivery() -> Rejection {
    Rejection::new(
        "UNKNOWN_DELIVERY",
        None,
        "the answer was lost, so the record may have arrived; it is not sent again by itself: look at the destination, then run a Sync with retryRejected if it is missing",
    )
}

/// The rejection of records whose answer cannot be read, however often it is asked for.
fn unreadable_answer(why: &Failure) -> Rejection {
    let cure = "so it is not known what became of the records: look at the destination";
    Rejection::new("UNREADABLE_ANSWER", None, format!("{}; {cure}", why.message))
}

fn exhausted(why: &Failure, attempts: u32, wait: Duration, window: Duration) -> Failure {
    let tries = if attempts == 1 { "1 try".to_owned() } else { format!("{attempts} tries") };
    let limit = if wait > window {
        let (wait, window) = (wait.as_secs_f64(), window.as_secs());
        format!("the next would be in {wait:.0} s, but only {window} s of retry.window are left")
    } else {
        "retry.maxAttempts allows no more".to_owned()
    };
    Failure::new(why.code, format!("{}; given up after {tries}: {limit}; the next run tries again", why.message))
}

#[cfg(test)]
#[path = "tests/mod.rs"]
mod tests;
