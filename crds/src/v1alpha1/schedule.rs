//! When a Mapping runs.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, Interval, LocalRef, TimeZone};

/// When a Mapping runs: exactly one of interval, dayAndTime, cron, after, manual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.interval), has(self.dayAndTime), has(self.cron), has(self.after), has(self.manual)].exists_one(x, x)",
    "exactly one of interval, dayAndTime, cron, after, manual must be set"
))]
pub struct Schedule {
    /// Runs at once, and then each time this long after the one before. At least 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// Runs at times of day on days of the week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day_and_time: Option<DayAndTime>,
    /// Runs when one of several cron expressions matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<Cron>,
    /// Runs after each successful run of another Mapping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
    /// Runs only when asked: by a Sync, or by the annotation backflow.dev/requestedAt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manual: Option<Manual>,
    /// Spreads Mappings with the same slots: each starts by a delay of its own, at most this long and always the same.
    /// Unset: no delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Duration>,
    /// How late a missed slot may still start. Unset: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starting_deadline: Option<Duration>,
}

/// Times of day on days of the week, in one time zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DayAndTime {
    /// Days of the week.
    #[schemars(length(min = 1, max = 7), extend("x-kubernetes-list-type" = "set"))]
    pub days: Vec<Weekday>,
    /// Times of day, as HH:MM of a 24-hour clock.
    #[schemars(length(min = 1, max = 24), extend("x-kubernetes-list-type" = "set"))]
    pub times: Vec<TimeOfDay>,
    /// Time zone of the times; UTC by default.
    #[serde(default)]
    pub time_zone: TimeZone,
}

/// A time of day, `HH:MM` on a 24-hour clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend(
    "maxLength" = 5,
    "x-kubernetes-validations" = [{
        "rule": "self.matches('^([01][0-9]|2[0-3]):[0-5][0-9]$')",
        "message": "must be a time of day like 08:00",
    }],
))]
pub struct TimeOfDay(pub String);

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// Cron expressions in one time zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cron {
    /// Expressions of five fields: minute, hour, day of month, month, day of week. Any of them starts a run.
    #[schemars(length(min = 1, max = 10))]
    pub expressions: Vec<CronExpression>,
    /// Time zone of the expressions; UTC by default.
    #[serde(default)]
    pub time_zone: TimeZone,
}

/// One cron expression of five fields.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend(
    "minLength" = 1,
    "maxLength" = 128,
    "x-kubernetes-validations" = [{
        "rule": "!self.contains('=')",
        "message": "must not hold a time zone: use timeZone",
    }],
))]
pub struct CronExpression(pub String);

/// The Mapping that goes before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct After {
    /// Each run of this Mapping that delivered anything or had nothing to do starts one of ours.
    pub mapping_ref: LocalRef,
}

/// No slots at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Manual {}

/// The one rule that a [`Schedule`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ScheduleRule<'a> {
    Interval(&'a Interval),
    DayAndTime(&'a DayAndTime),
    Cron(&'a Cron),
    After(&'a After),
    Manual,
}

impl Schedule {
    /// Its one rule; `None` when it names none that this version knows, or several.
    #[must_use]
    pub fn rule(&self) -> Option<ScheduleRule<'_>> {
        let mut rules = [
            self.interval.as_ref().map(ScheduleRule::Interval),
            self.day_and_time.as_ref().map(ScheduleRule::DayAndTime),
            self.cron.as_ref().map(ScheduleRule::Cron),
            self.after.as_ref().map(ScheduleRule::After),
            self.manual.as_ref().map(|_| ScheduleRule::Manual),
        ]
        .into_iter()
        .flatten();
        rules.next().filter(|_| rules.next().is_none())
    }
}
