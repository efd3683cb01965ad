//! A batch from its first request to the last outcome.

use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::plan::Retry;
use backflow_core::record::{Outcome, Record, Rejection};
use backflow_core::sink::{BatchLimits, Delivery, Sink};
use tokio::time::Instant;

use super::backoff::backoff;
use super::classify::{Class, classify};
use super::gate::Gate;
use super::stopper::Stopper;
use super::{Batch, Transport};
use crate::Stop;

/// Refusals that a run may follow up by splitting, and how many deliveries earn one more. A poison record among a thousand costs ten
/// refusals; a destination that refuses everything must not be asked about every record.
const REFUSALS: i64 = 400;
const DELIVERIES_PER_REFUSAL: i64 = 4;

/// The longest wait that a destination can ask for: beyond any `retry.window`, and a time that a clock can tell.
const LONGEST_HINT: Duration = Duration::from_secs(366 * 24 * 3600);

/// The sink over a [`Transport`].
pub(crate) struct Engine<T> {
    transport: T,
    limits: BatchLimits,
    retry: Retry,
    gate: Gate,
    stopper: Stopper,
    /// Bytes of a body that the destination takes: halved by each 413, for the rest of the run.
    max_body: AtomicUsize,
    /// Refusals left, in parts of [`DELIVERIES_PER_REFUSAL`].
    allowance: AtomicI64,
}

/// What became of one part of a batch.
enum Sent {
    Delivered,
    Refused(u16),
    TooLarge,
    /// Not acknowledged, and nothing more is to be sent.
    Stopped(Failure),
}

impl<T: Transport> Engine<T> {
    /// `rate`: requests in any second. `retry` bounds each part of a batch.
    pub(crate) fn new(transport: T, limits: BatchLimits, rate: Option<u32>, retry: Retry, stop: Stop) -> Self {
        Self {
            transport,
            limits,
            retry,
            gate: Gate::new(limits.concurrency, rate),
            stopper: Stopper::new(stop),
            max_body: AtomicUsize::new(usize::MAX),
            allowance: AtomicI64::new(REFUSALS * DELIVERIES_PER_REFUSAL),
        }
    }

    /// Sends a part until it is answered for good.
    async fn send(&self, records: &[Record], batch: &Batch, part: &Range<usize>, delivery: &mut Delivery) -> Sent {
        let body = batch.part(part);
        let records = &records[part.clone()];
        let mut first_failure = None;
        let mut attempt = 0;
        loop {
            let permit = match self.gate.enter(&self.stopper).await {
                Ok(permit) => permit,
                Err(failure) => return Sent::Stopped(failure),
            };
            attempt += 1;
            delivery.requests += 1;
            delivery.bytes += body.len() as u64;
            let answer = self.transport.send(records, body.clone()).await;
            let (why, wait) = match answer {
                Err(trouble) if trouble.fatal => return Sent::Stopped(trouble.failure),
                Err(trouble) => (trouble.failure, None),
                Ok(answer) => match classify(&answer, self.transport.shown()) {
                    Class::Delivered => {
                        self.gate.succeeded();
                        return Sent::Delivered;
                    }
                    Class::Rejected => return Sent::Refused(answer.status),
                    Class::TooLarge => return Sent::TooLarge,
                    Class::Stop(failure) => return Sent::Stopped(failure),
                    class => {
                        // A hint of zero says nothing that the backoff would not say better.
                        let hint = answer.retry_after.filter(|hint| !hint.is_zero()).map(|hint| hint.min(LONGEST_HINT));
                        let wait = hint.unwrap_or_else(|| backoff(attempt, fastrand::f64()));
                        if class == Class::Throttled {
                            self.gate.pause(Instant::now() + wait, hint.is_some());
                        }
                        let message = format!("{} answers {}", self.transport.shown(), answer.status);
                        (Failure::new(Code::RetriesExhausted, message), Some(wait))
                    }
                },
            };
            drop(permit);
            let wait = wait.unwrap_or_else(|| backoff(attempt, fastrand::f64()));
            let now = Instant::now();
            let window = self.retry.window().saturating_sub(now - *first_failure.get_or_insert(now));
            if attempt >= self.retry.max_attempts || wait > window {
                return Sent::Stopped(exhausted(&why, attempt, wait, window));
            }
            tracing::warn!(attempt, wait_ms = wait.as_millis() as u64, records = records.len(), reason = %why, "trying a batch again");
            tokio::select! {
                failure = self.stopper.wait() => return Sent::Stopped(failure),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Whether a refusal may be followed up, and counts it.
    fn may_split(&self) -> bool {
        self.allowance.fetch_sub(DELIVERIES_PER_REFUSAL, Relaxed) >= DELIVERIES_PER_REFUSAL
    }

    /// The largest prefix of `part` that the destination's size limit allows, at least one record.
    fn fitting(&self, batch: &Batch, part: &Range<usize>) -> Range<usize> {
        let most = self.max_body.load(Relaxed);
        if batch.size(part) <= most {
            return part.clone();
        }
        let fitting = (part.start + 1..part.end).take_while(|end| batch.size(&(part.start..*end)) <= most).last();
        part.start..fitting.unwrap_or(part.start + 1)
    }
}

#[async_trait]
impl<T: Transport> Sink for Engine<T> {
    fn limits(&self) -> BatchLimits {
        self.limits
    }

    fn throttled(&self) -> Option<Duration> {
        self.gate.asked()
    }

    async fn deliver(&self, records: &[Record]) -> Delivery {
        // Whatever is not said otherwise below was not acknowledged.
        let outcomes = vec![Outcome::Retrying; records.len()];
        let mut delivery = Delivery { outcomes, requests: 0, bytes: 0, stop: None };
        if records.is_empty() {
            return delivery;
        }
        let batch = self.transport.encode(records);
        // A stack, so that the batch's order is kept.
        let mut parts = Vec::with_capacity(2);
        parts.push(0..records.len());
        while let Some(part) = parts.pop() {
            let now = self.fitting(&batch, &part);
            if now.end < part.end {
                parts.push(now.end..part.end);
            }
            let part = now;
            match self.send(records, &batch, &part, &mut delivery).await {
                Sent::Delivered => {
                    self.allowance.fetch_add(part.len() as i64, Relaxed);
                    delivery.outcomes[part].fill(Outcome::Delivered { remote_id: None });
                }
                Sent::Stopped(failure) => {
                    self.stopper.halt(&failure);
                    delivery.stop = Some(failure);
                    break;
                }
                refusal @ (Sent::Refused(_) | Sent::TooLarge) => {
                    if matches!(refusal, Sent::TooLarge) && part.len() > 1 {
                        self.max_body.fetch_min(batch.size(&part) / 2, Relaxed);
                    }
                    if !self.may_split() {
                        tracing::warn!(
                            records = part.len(),
                            "too many refusals to find out which records are at fault; they are tried again by the next run"
                        );
                    } else if part.len() == 1 {
                        delivery.outcomes[part.start] = Outcome::Rejected(rejection(&refusal));
                    } else {
                        let middle = part.start + part.len() / 2;
                        parts.push(middle..part.end);
                        parts.push(part.start..middle);
                    }
                }
            }
        }
        delivery
    }
}

fn rejection(refusal: &Sent) -> Rejection {
    match refusal {
        Sent::Refused(status) => {
            let message =
                format!("the destination answers {status} to this record alone; correct the row or the Mapping");
            Rejection::new(format!("HTTP_{status}"), None, message)
        }
        _ => Rejection::new(
            "TOO_LARGE",
            None,
            "the destination says that this record alone is too large; map fewer or shorter fields",
        ),
    }
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
#[path = "tests.rs"]
mod tests;
