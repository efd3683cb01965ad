//! Holding a report against the records that were sent.

use std::collections::HashMap;

use super::{Entry, EntryClass, Fault, Report, Verdict};

/// What becomes of a record that an answer does not mention, where the mode mentions all or only failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unaccounted {
    /// It is rejected.
    Reject,
    /// It is sent again.
    Again,
    /// It was taken.
    Taken,
}

/// The verdicts, and what was odd about the report.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Accounts {
    /// One for each record, in the order of the request.
    pub(crate) verdicts: Vec<Verdict>,
    /// Entries about records that were not sent, or whose record cannot be told.
    pub(crate) surplus: usize,
    /// Records that the report does not mention although it should.
    pub(crate) missing: usize,
    /// A failure cannot be attributed: of the records without a verdict of their own, some failed. Fewer records at once would tell.
    pub(crate) ambiguous: bool,
}

/// Gives each of `records` records its verdict. Of contradicting entries about one record the worst counts.
pub(crate) fn account(report: &Report, records: usize, unaccounted: Unaccounted) -> Accounts {
    match report {
        Report::Whole | Report::Accepted => Tally::new(records).finish(Unaccounted::Taken, false),
        Report::ByIndex(entries) => by_index(entries, records),
        Report::ErrorsByIndex(entries) => {
            let mut tally = Tally::new(records);
            for (at, entry) in entries {
                let at = at.and_then(|at| usize::try_from(at).ok());
                tally.note(at.as_slice(), entry);
            }
            tally.finish(unaccounted, true)
        }
        Report::Correlated { sent, entries } => {
            let places = places(sent.iter().map(std::slice::from_ref));
            by_key(&places, entries, records).finish(unaccounted, false)
        }
        Report::FailedKeys { sent, entries } => {
            let places = places(sent.iter().map(Vec::as_slice));
            by_key(&places, entries, records).finish(unaccounted, true)
        }
        Report::Counts { taken, failed } => counts(*taken, *failed, records),
    }
}

/// The positions of each key.
fn places<'a>(sent: impl Iterator<Item = &'a [String]>) -> HashMap<&'a str, Vec<usize>> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, keys) in sent.enumerate() {
        for key in keys {
            places.entry(key).or_default().push(at);
        }
    }
    places
}

fn by_key(places: &HashMap<&str, Vec<usize>>, entries: &[(Option<String>, Entry)], records: usize) -> Tally {
    let mut tally = Tally::new(records);
    for (key, entry) in entries {
        let found = key.as_ref().and_then(|key| places.get(key.as_str()));
        tally.note(found.map_or(&[], Vec::as_slice), entry);
    }
    tally
}

/// Only as many entries as records can be in the order of the request; of any other number, no entry can be given to a record.
fn by_index(entries: &[Entry], records: usize) -> Accounts {
    if entries.len() == records {
        let verdicts = entries.iter().map(Entry::verdict).collect();
        return Accounts { verdicts, surplus: 0, missing: 0, ambiguous: false };
    }
    let (surplus, missing) = (entries.len().saturating_sub(records), records.saturating_sub(entries.len()));
    Accounts { verdicts: vec![Verdict::Unclear; records], surplus, missing, ambiguous: true }
}

fn counts(taken: Option<u64>, failed: u64, records: usize) -> Accounts {
    let sent = records as u64;
    let surplus = taken.unwrap_or(0).saturating_add(failed).saturating_sub(sent) as usize;
    let missing = taken.map_or(0, |taken| sent.saturating_sub(taken.saturating_add(failed))) as usize;
    let verdict = match (failed, taken) {
        (failed, _) if failed >= sent && sent > 0 => Verdict::Rejected(Fault::default()),
        // Which of them failed is never said: they are delivered as far as anyone knows.
        _ => Verdict::Delivered { remote_id: None },
    };
    let ambiguous = (failed > 0 || missing > 0) && failed < sent;
    Accounts { verdicts: vec![verdict; records], surplus, missing, ambiguous }
}

struct Tally {
    verdicts: Vec<Option<Verdict>>,
    surplus: usize,
    unattributed_failure: bool,
}

impl Tally {
    fn new(records: usize) -> Self {
        Self { verdicts: vec![None; records], surplus: 0, unattributed_failure: false }
    }

    /// Takes an entry about the records at these positions.
    fn note(&mut self, at: &[usize], entry: &Entry) {
        let mut known = false;
        for place in at {
            let Some(verdict) = self.verdicts.get_mut(*place) else { continue };
            known = true;
            let said = entry.verdict();
            if verdict.as_ref().is_none_or(|before| badness(before) < badness(&said)) {
                *verdict = Some(said);
            }
        }
        if !known {
            self.surplus += 1;
            self.unattributed_failure |= entry.class != EntryClass::Taken;
        }
    }

    /// `silent`: success is not reported, a record that is not mentioned was taken unless `unaccounted` says otherwise.
    fn finish(self, unaccounted: Unaccounted, silent: bool) -> Accounts {
        let unmentioned = self.verdicts.iter().filter(|verdict| verdict.is_none()).count();
        // A failure of an unknown record may be that of any which is not mentioned.
        let ambiguous = self.unattributed_failure && unmentioned > 0;
        let otherwise = match unaccounted {
            Unaccounted::Taken if ambiguous => Verdict::Unclear,
            Unaccounted::Taken => Verdict::Delivered { remote_id: None },
            Unaccounted::Reject => Verdict::Rejected(Fault::read(Some("NOT_IN_ANSWER"), None)),
            Unaccounted::Again => Verdict::Again,
        };
        let missing = if silent || unaccounted == Unaccounted::Taken { 0 } else { unmentioned };
        let verdicts = self.verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(|| otherwise.clone())).collect();
        Accounts { verdicts, surplus: self.surplus, missing, ambiguous }
    }
}

/// A record that is said to be taken and refused was, at the worst, refused; one that is said to be tried again is not lost.
fn badness(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Delivered { .. } => 0,
        Verdict::Rejected(_) | Verdict::Settled(_) => 1,
        Verdict::Again => 2,
        Verdict::Unclear => 3,
    }
}
