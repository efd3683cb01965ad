//! A schedule in words, for `status.effectiveSchedule`.

use std::time::Duration;

use crate::duration::format_duration;

use super::{DAYS, Form, Schedule};

impl Schedule {
    /// The schedule in words, such as `Mon, Wed, Fri at 08:00 and 17:00 Europe/Berlin`. `offset` is this Mapping's share of the
    /// jitter ([`Schedule::offset`]).
    #[must_use]
    pub fn describe(&self, offset: Duration) -> String {
        let words = match &self.form {
            // The jitter only moves where the intervals begin, so it is no part of what the reader sees.
            Form::Interval(every) => return format!("every {}", format_duration(*every)),
            Form::Manual => return "manual".to_owned(),
            Form::After { mapping } => format!("after {mapping}"),
            Form::DayAndTime { days, times, .. } => {
                let on = if days.iter().all(|on| *on) {
                    "daily".to_owned()
                } else {
                    let named: Vec<&str> =
                        DAYS.iter().zip(days).filter(|(_, on)| **on).map(|(name, _)| *name).collect();
                    named.join(", ")
                };
                let times: Vec<String> = times.iter().map(|time| time.strftime("%H:%M").to_string()).collect();
                format!("{on} at {} {}", enumerate(&times), self.zone_name())
            }
            Form::Cron { expressions, .. } => {
                let quoted: Vec<String> = expressions.iter().map(|expression| format!("\"{expression}\"")).collect();
                format!("cron {} {}", enumerate(&quoted), self.zone_name())
            }
        };
        if offset.is_zero() { words } else { format!("{words}, {} later (jitter)", format_duration(offset)) }
    }
}

/// `a`, `a and b`, `a, b and c`.
fn enumerate(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
