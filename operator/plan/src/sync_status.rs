//! [`RunResult`] → [`SyncStatus`]: what a Sync's status says of a run, in a cluster and on a desk alike.

use backflow_core::code::Code;
use backflow_core::duration::format_duration;
use backflow_core::extraction::Checkpoint;
use backflow_core::result::{ErrorCounts, Phase, RunResult};
use backflow_crds::v1alpha1::{self as api, Delivered, ErrorCount, Extracted, SyncPhase, SyncStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The part of a Sync's status that follows from its result: phase, reason, times, counters, checkpoints, errors. Conditions, the
/// Job's name and progress come from whoever follows the Job.
#[must_use]
pub fn sync_status(result: &RunResult) -> SyncStatus {
    let started_at = time(result.started_at.as_deref());
    let finished_at = time(result.finished_at.as_deref());
    let counters = &result.counters;
    SyncStatus {
        phase: Some(match result.phase {
            Phase::Running => SyncPhase::Running,
            Phase::Succeeded => SyncPhase::Succeeded,
            Phase::PartiallySucceeded => SyncPhase::PartiallySucceeded,
            Phase::Failed => SyncPhase::Failed,
            Phase::Canceled => SyncPhase::Canceled,
        }),
        reason: Some(reason(result).to_owned()),
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
        errors: errors(result),
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
fn reason(result: &RunResult) -> &'static str {
    if let Some(failure) = &result.failure {
        return failure.code.as_str();
    }
    let counters = &result.counters;
    match result.phase {
        Phase::Running => "Running",
        Phase::Succeeded => "Succeeded",
        Phase::Canceled => Code::Canceled.as_str(),
        Phase::Failed => Code::Internal.as_str(),
        Phase::PartiallySucceeded if counters.withheld > 0 => "DeletesWithheld",
        Phase::PartiallySucceeded if counters.rejected + counters.still_rejected > 0 => "RowsRejected",
        Phase::PartiallySucceeded => "PartiallySucceeded",
    }
}

/// What ended the run comes first, with the count 0, then what hit records.
fn errors(result: &RunResult) -> Vec<ErrorCount> {
    let failure = result.failure.as_ref().map(|failure| ErrorCount {
        code: failure.code.as_str().to_owned(),
        field: None,
        count: 0,
        message: failure.message.clone(),
    });
    let counted = result.errors.iter().map(|error| ErrorCount {
        code: error.code.clone(),
        field: error.field.clone(),
        count: whole(error.count),
        message: error.message.clone(),
    });
    failure.into_iter().chain(counted).take(ErrorCounts::MAX).collect()
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
    use backflow_core::result::Counters;

    #[test]
    fn a_result_becomes_the_status_of_its_sync() {
        let mut result = RunResult {
            phase: Phase::PartiallySucceeded,
            findings: Some(Findings { added: 3, invalid_null_key: 1, invalid_duplicate_key: 2, ..Findings::default() }),
            counters: Counters { upserted: 2, rejected: 1, not_selected: 4, still_rejected: 1, ..Counters::default() },
            started_at: Some("2026-01-01T00:00:00Z".into()),
            finished_at: Some("2026-01-01T00:01:30Z".into()),
            checkpoint_after: Some(Checkpoint { rows: 5, ..Checkpoint::default() }),
            ..RunResult::default()
        };
        let status = sync_status(&result);
        assert_eq!(status.phase, Some(SyncPhase::PartiallySucceeded));
        assert_eq!(status.reason.as_deref(), Some("RowsRejected"));
        assert_eq!(status.duration.as_deref(), Some("1m30s"));
        assert_eq!(status.extracted, Some(Extracted { added: 3, invalid: 3, ..Extracted::default() }));
        assert_eq!((status.rejected, status.skipped), (Some(1), Some(5)));
        assert_eq!(status.checkpoint_after.and_then(|checkpoint| checkpoint.rows), Some(5));
        assert_eq!(status.errors, []);

        result.failure = Some(Failure::new(Code::MassRejection, "too many"));
        let status = sync_status(&result);
        assert_eq!(status.reason.as_deref(), Some("MassRejection"));
        assert_eq!(status.errors[0].count, 0);
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
        let status = sync_status(&RunResult { estimate: Some(estimate), ..RunResult::default() });
        let expected = api::Estimate { upserts: 7, requests: 2, bytes: 90, minutes: Some(1), ..Default::default() };
        assert_eq!(status.estimate, Some(expected));
    }

    #[test]
    fn every_reason_is_a_documented_one() {
        for phase in [Phase::Running, Phase::Succeeded, Phase::PartiallySucceeded, Phase::Failed, Phase::Canceled] {
            for (withheld, rejected) in [(0, 0), (1, 0), (0, 1)] {
                let counters = Counters { withheld, rejected, ..Counters::default() };
                let result = RunResult { phase, counters, ..RunResult::default() };
                assert!(reason(&result).parse::<backflow_crds::reasons::Reason>().is_ok(), "{result:?}");
            }
        }
    }
}
