//! How a run ended → [`SyncStatus`]: what a Sync's status says of it, in a cluster and on a desk alike.

use backflow_core::code::{Code, cut};
use backflow_core::duration::format_duration;
use backflow_core::extraction::Checkpoint;
use backflow_core::result::{Phase, RunResult};
use backflow_crds::reasons::Reason;
use backflow_crds::v1alpha1::{self as api, Delivered, ErrorCount, Extracted, SyncPhase, SyncStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Code under which records are counted that were rejected before and did not change.
pub const STILL_REJECTED: &str = "StillRejected";
/// The most lines of errors that a status has.
pub const ERRORS_MAX: usize = 10;
/// The longest message of a line of errors, in bytes.
pub const MESSAGE_MAX: usize = 1024;
/// The longest field of a line of errors, in bytes.
pub const FIELD_MAX: usize = 512;

/// How a run ended, as whoever followed it knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// How.
    pub phase: Phase,
    /// Why, unless it simply succeeded.
    pub failure: Option<(Reason, String)>,
    /// What the worker wrote last, whole or in part.
    pub result: Option<RunResult>,
}

impl From<RunResult> for Ended {
    fn from(result: RunResult) -> Self {
        let failure = result.failure.as_ref().map(|failure| (reason(failure.code), failure.message.clone()));
        Self { phase: result.phase, failure, result: Some(result) }
    }
}

/// The reason for a worker's code: they have one name.
#[must_use]
pub fn reason(code: Code) -> Reason {
    code.as_str().parse().unwrap_or(Reason::Internal)
}

/// The part of a Sync's status that follows from its end: phase, reason, times, counters, checkpoints, errors. Conditions, the Job's
/// name and progress come from whoever follows the Job.
#[must_use]
pub fn sync_status(ended: &Ended) -> SyncStatus {
    let phase = match ended.phase {
        Phase::Running => SyncPhase::Running,
        Phase::Succeeded => SyncPhase::Succeeded,
        Phase::PartiallySucceeded => SyncPhase::PartiallySucceeded,
        Phase::Failed => SyncPhase::Failed,
        Phase::Canceled => SyncPhase::Canceled,
    };
    let counted = ended.result.as_ref().map(counted).unwrap_or_default();
    SyncStatus { phase: Some(phase), reason: Some(reason_of(ended).to_string()), errors: errors(ended), ..counted }
}

fn counted(result: &RunResult) -> SyncStatus {
    let started_at = time(result.started_at.as_deref());
    let finished_at = time(result.finished_at.as_deref());
    let counters = &result.counters;
    SyncStatus {
        duration: started_at.as_ref().zip(finished_at.as_ref()).map(|(from, to)| {
            let elapsed = to.0.duration_since(from.0);
            format_duration(elapsed.try_into().unwrap_or_default())
        }),
        started_at,
        finished_at,
        extracted: result.findings.as_ref().map(|found| Extracted {
            added: whole(found.added),
            updated: whole(found.updated),
            deleted: whole(found.deleted),
            invalid: whole(found.invalid()),
        }),
        delivered: Some(Delivered {
            inserted: whole(counters.inserted),
            updated: whole(counters.updated),
            upserted: whole(counters.upserted),
            deleted: whole(counters.deleted),
        }),
        rejected: Some(whole(counters.rejected)),
        retrying: Some(whole(counters.retrying)),
        withheld_deletes: Some(whole(counters.withheld)),
        skipped: Some(whole(counters.skipped())),
        requests: Some(whole(counters.requests)),
        bytes: Some(whole(counters.bytes)),
        checkpoint_before: result.checkpoint_before.as_ref().map(checkpoint),
        checkpoint_after: result.checkpoint_after.as_ref().map(checkpoint),
        estimate: result.estimate.as_ref().map(|estimate| api::Estimate {
            inserts: whole(estimate.inserts),
            updates: whole(estimate.updates),
            upserts: whole(estimate.upserts),
            deletes: whole(estimate.deletes),
            requests: whole(estimate.requests),
            bytes: whole(estimate.bytes),
            minutes: estimate.minutes.map(whole),
        }),
        ..SyncStatus::default()
    }
}

/// The one word for how the run ended.
fn reason_of(ended: &Ended) -> Reason {
    if let Some((reason, _)) = &ended.failure {
        return *reason;
    }
    let counters = ended.result.as_ref().map(|result| result.counters.clone()).unwrap_or_default();
    match ended.phase {
        Phase::Running => Reason::Running,
        Phase::Succeeded => Reason::Succeeded,
        Phase::Canceled => Reason::Canceled,
        Phase::Failed => Reason::Internal,
        Phase::PartiallySucceeded if counters.withheld > 0 => Reason::DeletesWithheld,
        Phase::PartiallySucceeded if counters.rejected + counters.still_rejected > 0 => Reason::RowsRejected,
        Phase::PartiallySucceeded => Reason::PartiallySucceeded,
    }
}

/// What ended the run comes first, with the count 0, then what hit records.
fn errors(ended: &Ended) -> Vec<ErrorCount> {
    let line = |code: &str, field: Option<&String>, count: u64, message: &str| ErrorCount {
        code: code.to_owned(),
        field: field.map(|field| cut(field.clone(), FIELD_MAX)),
        count: whole(count),
        // The cluster's own sentences have any length.
        message: cut(message.to_owned(), MESSAGE_MAX),
    };
    let failure = ended.failure.iter().map(|(reason, message)| line(reason.as_str(), None, 0, message));
    let Some(result) = &ended.result else { return failure.collect() };
    // What was left out on purpose is no error of the worker's; of what it lists, a short message has the first ones only.
    let found = result.findings.clone().unwrap_or_default();
    let known = [
        (
            STILL_REJECTED,
            result.counters.still_rejected,
            "rejected before and unchanged since, so not sent again; mend the rows or the Mapping, or create a Sync with retryRejected",
        ),
        ("NULL_KEY", found.invalid_null_key, "rows with a NULL in the primary key are not sent; give each row a key"),
        (
            "DUPLICATE_KEY",
            found.invalid_duplicate_key,
            "rows that share a primary key are not sent; make the key unique",
        ),
    ];
    let unlisted = known
        .into_iter()
        .filter(|(code, count, _)| *count > 0 && !result.errors.iter().any(|error| error.code == *code))
        .map(|(code, count, message)| line(code, None, count, message));
    let listed = result.errors.iter().map(|error| line(&error.code, error.field.as_ref(), error.count, &error.message));
    failure.chain(unlisted).chain(listed).take(ERRORS_MAX).collect()
}

fn checkpoint(checkpoint: &Checkpoint) -> api::Checkpoint {
    api::Checkpoint {
        rows: Some(whole(checkpoint.rows)),
        committed_at: time(checkpoint.committed_at.as_deref()),
        sync_name: checkpoint.sync_name.clone(),
        ..api::Checkpoint::default()
    }
}

fn time(text: Option<&str>) -> Option<Time> {
    text?.parse::<Timestamp>().ok().map(Time)
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use backflow_core::code::Failure;
    use backflow_core::extraction::Findings;
    use backflow_core::result::{Counters, ErrorCounts};

    fn of(result: &RunResult) -> SyncStatus {
        sync_status(&result.clone().into())
    }

    #[test]
    fn a_result_becomes_the_status_of_its_sync() {
        let mut errors = ErrorCounts::default();
        errors.count_many("DUPLICATE_KEY", None, "two", 2);
        let mut result = RunResult {
            phase: Phase::PartiallySucceeded,
            findings: Some(Findings { added: 3, invalid_null_key: 1, invalid_duplicate_key: 2, ..Findings::default() }),
            counters: Counters { upserted: 2, rejected: 1, not_selected: 4, still_rejected: 1, ..Counters::default() },
            errors: errors.to_vec(),
            started_at: Some("2026-01-01T00:00:00Z".into()),
            finished_at: Some("2026-01-01T00:01:30Z".into()),
            checkpoint_after: Some(Checkpoint { rows: 5, ..Checkpoint::default() }),
            ..RunResult::default()
        };
        let status = of(&result);
        assert_eq!(status.phase, Some(SyncPhase::PartiallySucceeded));
        assert_eq!(status.reason.as_deref(), Some("RowsRejected"));
        assert_eq!(status.duration.as_deref(), Some("1m30s"));
        assert_eq!(status.extracted, Some(Extracted { added: 3, invalid: 3, ..Extracted::default() }));
        assert_eq!((status.rejected, status.skipped), (Some(1), Some(5)));
        assert_eq!(status.checkpoint_after.as_ref().and_then(|checkpoint| checkpoint.rows), Some(5));
        // What the worker lists is not counted twice.
        let lines = |status: &SyncStatus| -> Vec<(String, i64)> {
            status.errors.iter().map(|error| (error.code.clone(), error.count)).collect()
        };
        let counted = [("StillRejected", 1), ("NULL_KEY", 1), ("DUPLICATE_KEY", 2)];
        assert_eq!(lines(&status), counted.map(|(code, count)| (code.to_owned(), count)));

        result.failure = Some(Failure::new(Code::MassRejection, "too many"));
        let status = of(&result);
        assert_eq!(status.reason.as_deref(), Some("MassRejection"));
        assert_eq!(lines(&status)[0], ("MassRejection".to_owned(), 0));
    }

    #[test]
    fn a_dry_run_says_what_a_run_would_do() {
        let estimate = backflow_core::result::Estimate {
            upserts: 7,
            requests: 2,
            bytes: 90,
            minutes: Some(1),
            ..Default::default()
        };
        let status = of(&RunResult { estimate: Some(estimate), ..RunResult::default() });
        let expected = api::Estimate { upserts: 7, requests: 2, bytes: 90, minutes: Some(1), ..Default::default() };
        assert_eq!(status.estimate, Some(expected));
    }

    #[test]
    fn whoever_followed_the_run_knows_better_how_it_ended() {
        let result = RunResult { counters: Counters { upserted: 7, ..Counters::default() }, ..RunResult::default() };
        let killed = Ended {
            phase: Phase::Failed,
            failure: Some((Reason::OutOfMemory, "m".repeat(5_000))),
            result: Some(result),
        };
        let status = sync_status(&killed);
        assert_eq!((status.phase, status.reason.as_deref()), (Some(SyncPhase::Failed), Some("OutOfMemory")));
        assert_eq!(status.delivered.map(|delivered| delivered.upserted), Some(7));
        assert!(status.errors[0].message.len() <= MESSAGE_MAX);
        let lost = sync_status(&Ended { result: None, ..killed });
        assert_eq!((lost.errors.len(), lost.delivered, lost.rejected), (1, None, None));
    }

    #[test]
    fn every_code_has_its_reason() {
        for code in Code::ALL {
            assert_eq!(reason(*code).as_str(), code.as_str());
        }
    }

    #[test]
    fn a_run_that_succeeded_in_part_says_in_which() {
        for (withheld, rejected, expected) in [
            (0, 0, Reason::PartiallySucceeded),
            (1, 0, Reason::DeletesWithheld),
            (0, 1, Reason::RowsRejected),
            (1, 1, Reason::DeletesWithheld),
        ] {
            let counters = Counters { withheld, rejected, ..Counters::default() };
            let result = RunResult { phase: Phase::PartiallySucceeded, counters, ..RunResult::default() };
            assert_eq!(of(&result).reason.as_deref(), Some(expected.as_str()));
        }
    }
}
