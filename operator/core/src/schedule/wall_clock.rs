//! From times on a wall clock to moments in time, across changes of daylight-saving time.
//!
//! Two kinds of schedule need two rules. A *fixed* time of day ("at 02:30") must happen once on every day: in the gap in spring it
//! happens when the gap ends, in the repeated hour in autumn at its first pass. A *periodic* one ("every 30 minutes") follows the
//! clock as it runs: what the gap leaves out is left out, and the repeated hour happens twice.

use croner::Cron;
use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};

/// More candidates than any repeated range of wall clock time can hold: two days in minutes.
const CANDIDATES: usize = 2 * 24 * 60;
/// More changes of the offset than any zone has between two slots of an expression that has slots at all.
const TRANSITIONS: usize = 1_000;

/// Which times the wall clock shows when a slot begins.
#[derive(Debug, Clone)]
pub(super) enum WallClock {
    /// On these weekdays (Monday first) at these times, sorted.
    DayAndTime {
        /// Monday to Sunday.
        days: [bool; 7],
        /// Sorted, without duplicates.
        times: Vec<Time>,
    },
    /// When a cron expression matches.
    Cron {
        /// The expression, of five fields.
        cron: Box<Cron>,
        /// Minute and hour are plain numbers or lists of numbers.
        fixed: bool,
    },
}

impl WallClock {
    /// The first slot after a moment.
    pub(super) fn next_after(&self, zone: &TimeZone, moment: Timestamp) -> Option<Timestamp> {
        if self.is_fixed() { self.next_fixed(zone, moment) } else { self.next_periodic(zone, moment) }
    }

    /// The last slot that is not after a moment.
    pub(super) fn previous_at_or_before(&self, zone: &TimeZone, moment: Timestamp) -> Option<Timestamp> {
        if self.is_fixed() { self.previous_fixed(zone, moment) } else { self.previous_periodic(zone, moment) }
    }

    fn is_fixed(&self) -> bool {
        matches!(self, Self::DayAndTime { .. } | Self::Cron { fixed: true, .. })
    }

    /// Fixed times keep their order when they become moments, so the wall clock at `moment` is where the search begins; candidates of
    /// the first pass of a repeated hour are behind when `moment` is in its second.
    fn next_fixed(&self, zone: &TimeZone, moment: Timestamp) -> Option<Timestamp> {
        let mut from = zone.to_datetime(moment);
        for _ in 0..CANDIDATES {
            let shown = self.next_shown(from)?;
            let slot = begins(zone, shown)?;
            if slot > moment {
                return Some(slot);
            }
            from = shown.checked_add(1.second()).ok()?;
        }
        None
    }

    fn previous_fixed(&self, zone: &TimeZone, moment: Timestamp) -> Option<Timestamp> {
        let shown_now = zone.to_datetime(moment);
        let mut to = shown_now;
        // In the second pass of a repeated hour, all of the first pass is behind, also what the clock will show again.
        if let AmbiguousOffset::Fold { before, after } = zone.to_ambiguous_timestamp(shown_now).offset()
            && zone.to_offset(moment) == after
        {
            let repeated = SignedDuration::from_secs(i64::from(before.seconds() - after.seconds()));
            to = shown_now.checked_add(repeated).ok()?;
        }
        for _ in 0..CANDIDATES {
            let shown = self.previous_shown(to)?;
            let slot = begins(zone, shown)?;
            if slot <= moment {
                return Some(slot);
            }
            to = shown.checked_sub(1.second()).ok()?;
        }
        None
    }

    /// Between two changes of the offset the wall clock runs like any clock: one stretch after the other is searched.
    fn next_periodic(&self, zone: &TimeZone, moment: Timestamp) -> Option<Timestamp> {
        let mut from = zone.to_datetime(moment).checked_add(1.second()).ok()?;
        let mut at = moment;
        for _ in 0..TRANSITIONS {
            let slot = zone.to_offset(at).to_timestamp(self.next_shown(from)?).ok()?;
            match zone.following(at).next() {
                Some(change) if change.timestamp() <= slot => {
                    at = change.timestamp();
                    from = zone.to_datetime(at);
                }
                _ => return Some(slot),
            }
        }
        None
    }

    fn previous_periodic(&self, zone: &TimeZone, moment: Timestamp) -> Option<Timestamp> {
        let mut at = moment;
        for _ in 0..TRANSITIONS {
            let slot = zone.to_offset(at).to_timestamp(self.previous_shown(zone.to_datetime(at))?).ok()?;
            match zone.preceding(at.checked_add(1.nanosecond()).ok()?).next() {
                Some(change) if slot < change.timestamp() => at = change.timestamp().checked_sub(1.second()).ok()?,
                _ => return Some(slot),
            }
        }
        None
    }

    /// The first matching wall clock time from `from` on, inclusive; parts of a second are ignored.
    fn next_shown(&self, from: DateTime) -> Option<DateTime> {
        match self {
            Self::Cron { cron, .. } => cron.find_next_occurrence(&from, true).ok(),
            Self::DayAndTime { days, times } => {
                let from = whole_second(from);
                (0..=7i64).find_map(|ahead| {
                    let date = from.date().checked_add(ahead.days()).ok()?;
                    let times = times.iter().filter(|_| is_on(days, date.weekday()));
                    times.map(|time| date.to_datetime(*time)).find(|shown| *shown >= from)
                })
            }
        }
    }

    /// The last matching wall clock time up to `to`, inclusive.
    fn previous_shown(&self, to: DateTime) -> Option<DateTime> {
        match self {
            Self::Cron { cron, .. } => cron.find_previous_occurrence(&whole_second(to), true).ok(),
            Self::DayAndTime { days, times } => (0..=7i64).find_map(|back| {
                let date = to.date().checked_sub(back.days()).ok()?;
                let times = times.iter().rev().filter(|_| is_on(days, date.weekday()));
                times.map(|time| date.to_datetime(*time)).find(|shown| *shown <= to)
            }),
        }
    }
}

fn is_on(days: &[bool; 7], day: Weekday) -> bool {
    usize::try_from(day.to_monday_zero_offset()).ok().and_then(|index| days.get(index)).copied().unwrap_or(false)
}

fn whole_second(shown: DateTime) -> DateTime {
    shown.with().subsec_nanosecond(0).build().unwrap_or(shown)
}

/// The moment at which a fixed wall clock time happens: the first pass of a repeated hour, the end of a gap.
fn begins(zone: &TimeZone, shown: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(shown).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(shown).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(shown).ok(),
        AmbiguousOffset::Gap { after, .. } => {
            // With the offset that is valid after the gap, the missing time lies just before it.
            let ahead_of_gap = after.to_timestamp(shown).ok()?;
            zone.following(ahead_of_gap).next().map(|change| change.timestamp())
        }
    }
}
