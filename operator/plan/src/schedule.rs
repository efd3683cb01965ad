//! `Mapping.spec.schedule` → [`Schedule`].

use backflow_core::schedule::{FormSpec, Schedule, ScheduleError, ScheduleSpec};
use backflow_crds::v1alpha1::{self as api, ScheduleRule};

use crate::finding::Finding;

/// Reads a schedule.
///
/// # Errors
/// All findings: cron syntax, time zones, lengths of time.
pub fn schedule(spec: &api::Schedule) -> Result<Schedule, Vec<Finding>> {
    let form = match spec.rule() {
        Some(ScheduleRule::Interval(every)) => FormSpec::Interval(every.0.clone()),
        Some(ScheduleRule::DayAndTime(rule)) => FormSpec::DayAndTime {
            days: rule.days.iter().map(|day| format!("{day:?}")).collect(),
            times: rule.times.iter().map(|time| time.0.clone()).collect(),
            time_zone: Some(rule.time_zone.0.clone()),
        },
        Some(ScheduleRule::Cron(rule)) => FormSpec::Cron {
            expressions: rule.expressions.iter().map(|expression| expression.0.clone()).collect(),
            time_zone: Some(rule.time_zone.0.clone()),
        },
        Some(ScheduleRule::After(rule)) => FormSpec::After { mapping: rule.mapping_ref.name.clone() },
        Some(ScheduleRule::Manual) => FormSpec::Manual,
        None => {
            return Err(vec![Finding {
                path: "spec.schedule".into(),
                code: "InvalidSchedule".into(),
                message: "exactly one of interval, dayAndTime, cron, after, manual must be set".into(),
            }]);
        }
    };
    let text = |duration: &Option<api::Duration>| duration.as_ref().map(|duration| duration.0.clone());
    let spec = ScheduleSpec { form, jitter: text(&spec.jitter), starting_deadline: text(&spec.starting_deadline) };
    Schedule::parse(&spec).map_err(|errors| errors.iter().map(finding).collect())
}

fn finding(error: &ScheduleError) -> Finding {
    let message = match error {
        ScheduleError::InvalidSchedule { message, .. } => message.clone(),
        ScheduleError::UnknownTimeZone { .. } => {
            error.to_string().strip_prefix(&format!("{}: ", error.path())).unwrap_or_default().to_owned()
        }
    };
    Finding { path: error.path().to_owned(), code: error.code().to_owned(), message }
}
