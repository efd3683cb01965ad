//! The object that says what is current: one per claim or commit.
//!
//! Two lines: a JSON object, and the XXH3-64 of its bytes. Every other object counts only if the newest head names it, directly or
//! by the claim that wrote it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use backflow_core::code::{Code, Failure};
use backflow_core::state::{Head, PartitionId, RunRow};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::name;

/// Version of the layout of objects that this program writes and reads.
const LAYOUT: u32 = 1;

/// What a head object holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stored {
    /// [`LAYOUT`].
    pub(super) layout: u32,
    /// Whose state it is: the folder's name may be cut.
    pub(super) state_key: String,
    /// The object's own number.
    pub(super) number: u64,
    /// Random: whoever wrote it knows it again.
    pub(super) id: String,
    /// When it was written, RFC 3339.
    pub(super) written_at: String,
    /// The number of this state's first head: what was written under an earlier one belongs to a state that was forgotten.
    pub(super) since: u64,
    /// The number of the head by which its writer claimed the state. Objects that a run writes carry it in their names.
    pub(super) claim: u64,
    /// The head; absent: the state was forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) head: Option<Head>,
    /// The row of the run that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<RunRow>,
    /// Which claim wrote which segments of the journal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) segments: Vec<Span>,
    /// Which claim wrote the current partitions of a generation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) generations: BTreeMap<u64, u64>,
    /// The list of rejected records.
    #[serde(default, skip_serializing_if = "Listed::is_empty")]
    pub(super) rejects: Listed,
}

/// Segments of one claim, by number, the last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Span {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) claim: u64,
}

/// Where the list of rejected records is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Listed {
    /// File names in the folder `rejects`, to be read in this order.
    pub(super) files: Vec<String>,
    /// Rejections that found the list full since it was last empty.
    pub(super) unlisted: u64,
}

impl Listed {
    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.unlisted == 0
    }
}

impl Stored {
    /// The first head of a state, number `number`; what is in it comes later.
    pub(super) fn new(state_key: &str, number: u64) -> Self {
        Self {
            layout: LAYOUT,
            state_key: state_key.to_owned(),
            number,
            id: String::new(),
            written_at: String::new(),
            since: number,
            claim: number,
            head: None,
            run: None,
            segments: Vec::new(),
            generations: BTreeMap::new(),
            rejects: Listed::default(),
        }
    }

    /// The object's bytes, with a new id.
    pub(super) fn seal(&mut self) -> Result<Bytes, Failure> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|_| Failure::new(Code::Internal, "the operating system gives no random numbers"))?;
        self.id.clear();
        for byte in random {
            let _ = write!(self.id, "{byte:02x}");
        }
        self.written_at = jiff::Timestamp::now().to_string();
        let mut text = serde_json::to_string(self)
            .map_err(|_| Failure::new(Code::Internal, "a head of the state cannot be written down"))?;
        let checksum = xxh3_64(text.as_bytes());
        let _ = writeln!(text, "\n{checksum:016x}");
        Ok(Bytes::from(text))
    }

    /// Reads an object back. `name` is its name, `place` where it is.
    pub(super) fn read(bytes: &[u8], state_key: &str, name: &str, place: &str) -> Result<Self, Failure> {
        // A Reset claims the newest head as any run does, so it is no cure here.
        let damaged = |what: &str| {
            let message = format!(
                "the state is damaged: {name} in {place} {what}; restore it from a backup, or, while no run is on, remove it: the head \
                 before it is current then"
            );
            Failure::new(Code::StateDamaged, message)
        };
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("is no text"))?;
        let (json, rest) = text.split_once('\n').ok_or_else(|| damaged("is cut off"))?;
        let checksum = rest.strip_suffix('\n').ok_or_else(|| damaged("is cut off"))?;
        if u64::from_str_radix(checksum, 16).ok() != Some(xxh3_64(json.as_bytes())) {
            return Err(damaged("does not have its checksum"));
        }
        #[derive(Deserialize)]
        struct Version {
            layout: u32,
        }
        let version: Version = serde_json::from_str(json).map_err(|_| damaged("is no head of a state"))?;
        if version.layout > LAYOUT {
            return Err(Failure::new(
                Code::StateTooNew,
                format!(
                    "the state \"{state_key}\" in {place} has layout {}, this program knows {LAYOUT}; update Backflow",
                    version.layout
                ),
            ));
        }
        let stored: Self = serde_json::from_str(json).map_err(|_| damaged("is no head of a state"))?;
        if stored.state_key != state_key || name::numbers::<1>(name).is_none_or(|([n], _)| n != stored.number) {
            return Err(damaged("was copied here from another place"));
        }
        Ok(stored)
    }

    /// The claim that wrote a current segment.
    pub(super) fn claim_of_segment(&self, number: u64) -> Option<u64> {
        self.segments.iter().find(|span| (span.first..=span.last).contains(&number)).map(|span| span.claim)
    }

    /// A segment of this claim is current.
    pub(super) fn add_segment(&mut self, number: u64) {
        self.segments.retain_mut(|span| {
            span.last = span.last.min(number.saturating_sub(1));
            span.first <= span.last
        });
        match self.segments.last_mut() {
            Some(span) if span.claim == self.claim && span.last.checked_add(1) == Some(number) => span.last = number,
            _ => self.segments.push(Span { first: number, last: number, claim: self.claim }),
        }
    }

    /// After a fold: the segments up to `folded` are gone, and these partitions are current.
    pub(super) fn fold(&mut self, folded: u64, keep: &[PartitionId]) {
        self.segments.retain_mut(|span| {
            span.first = span.first.max(folded.saturating_add(1));
            span.first <= span.last
        });
        let before = std::mem::take(&mut self.generations);
        for id in keep {
            let claim = before.get(&id.generation).copied().unwrap_or(self.claim);
            self.generations.insert(id.generation, claim);
        }
    }
}

/// A part of the state that cannot be used.
pub(super) fn damaged(what: &str) -> Failure {
    Failure::new(
        Code::StateDamaged,
        format!("the state is damaged: {what}; restore it from a backup, or start over with a Sync of mode Reset"),
    )
}
