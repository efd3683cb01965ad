//! What the state keeps beside its entries: the JSON of [`Head::document`].

use std::collections::BTreeMap;

use backflow_core::code::{Code, Failure};
use backflow_core::extraction::Checkpoint;
use backflow_core::state::{Head, PartitionId};
use serde::{Deserialize, Serialize};

use super::damage::{Damage, internal};
use super::packed::FORMAT;

/// The way that row hashes are made: xxh3-64 over the encoded cells of the spec's columns.
pub(super) const HASH_VERSION: u32 = 1;

/// The most partitions are two to the power of this: 4 billion entries.
pub(super) const MAX_BITS: u8 = 18;

/// By what rows are hashed: entries refer to it, so that an old hash can be compared as it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    /// `MappingPlan::fingerprint`.
    pub fingerprint: String,
    /// The columns that the hash covers, sorted by name: the order of a SELECT's columns does not matter.
    pub columns: Vec<String>,
    /// [`HASH_VERSION`] of the program that made the hashes.
    pub hash_version: u32,
}

impl Spec {
    /// Whether rows become the same records by both.
    pub(super) fn same_mapping(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint && self.columns == other.columns
    }
}

/// A Full run that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Full {
    /// The Sync that asked: a replacement pod of it does not start over.
    pub by: String,
    /// Rows last acknowledged before this claim are sent again; 0: done.
    pub below: u64,
}

/// The engine that keeps the entries, and so the way that keys and rows are hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Engine {
    /// Packed partitions and a journal.
    #[default]
    Streaming,
    /// A table of the warehouse.
    Pushdown,
}

impl Engine {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    /// Random, new at Reset: part of every idempotency key.
    pub incarnation: String,
    /// Who keeps the entries; absent for Streaming.
    #[serde(default, skip_serializing_if = "Engine::is_default")]
    pub engine: Engine,
    /// `MappingPlan::identity` that the state is bound to.
    pub identity: BTreeMap<String, String>,
    /// The key columns, in order.
    pub primary_key: Vec<String>,
    /// Specs that entries refer to.
    pub specs: BTreeMap<u32, Spec>,
    /// The current spec.
    pub spec: u32,
    /// The next spec's id: ids are never reused.
    pub next_spec: u32,
    /// There are two to the power of `bits` partitions, by the first bits of the key hash.
    pub bits: u8,
    /// The generation of each partition, 0 for an empty one. Empty: no fold yet.
    pub partitions: Vec<u64>,
    /// The last segment that is in the partitions.
    pub folded: u64,
    /// Keys that are known.
    pub rows: u64,
    /// When the state last moved, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub committed_at: Option<String>,
    /// The Sync that moved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_name: Option<String>,
    /// Runs so far.
    pub runs: u64,
    /// The last Reset's Sync: a replacement pod of it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset_by: Option<String>,
    /// The last Full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full: Option<Full>,
    /// `rev` of keys that have no entry: not below that of any tombstone that was dropped.
    pub rev_floor: u64,
}

impl Document {
    /// Reads the document of a head, and whether it can be ours.
    pub(super) fn read(state_key: &str, head: &Head) -> Result<Self, Failure> {
        if head.format > FORMAT {
            return Err(too_new(state_key, head.format));
        }
        let damaged = || Damage::Document.of(state_key, "its head");
        let document: Self = serde_json::from_str(&head.document).map_err(|_| damaged())?;
        if document.specs.values().any(|spec| spec.hash_version > HASH_VERSION) {
            return Err(too_new(state_key, head.format));
        }
        let partitions = document.partitions.len();
        let whole = head.format >= 1
            && document.bits <= MAX_BITS
            && (partitions == 0 || partitions == 1 << document.bits)
            && document.partitions.iter().all(|generation| *generation <= head.generation)
            && document.folded <= head.segment
            && document.specs.contains_key(&document.spec)
            && document.specs.keys().all(|id| *id < document.next_spec);
        if whole { Ok(document) } else { Err(damaged()) }
    }

    /// The head's text.
    pub(super) fn text(&self) -> Result<String, Failure> {
        serde_json::to_string(self).map_err(|_| internal("the state's document cannot be written"))
    }

    /// The partitions that are current.
    pub(super) fn current(&self) -> Vec<PartitionId> {
        let all = self.partitions.iter().zip(0_u32..);
        all.filter(|(generation, _)| **generation > 0)
            .map(|(&generation, index)| PartitionId { generation, index })
            .collect()
    }

    /// Makes `spec` current, giving it an id if it is new.
    pub(super) fn adopt_spec(&mut self, spec: Spec) {
        let known = self.specs.iter().find(|(_, known)| **known == spec).map(|(id, _)| *id);
        self.spec = known.unwrap_or_else(|| {
            let id = self.next_spec;
            self.next_spec += 1;
            self.specs.insert(id, spec);
            id
        });
    }

    /// The claim below which rows are sent again, 0 for none.
    pub(super) fn resend_below(&self) -> u64 {
        self.full.as_ref().map_or(0, |full| full.below)
    }

    /// The checkpoint as users see it.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { rows: self.rows, committed_at: self.committed_at.clone(), sync_name: self.sync_name.clone() }
    }
}

fn too_new(state_key: &str, format: u32) -> Failure {
    Failure::new(
        Code::StateTooNew,
        format!(
            "state \"{state_key}\" was written in format {format} by a newer version of Backflow, this one reads up to {FORMAT}; \
             use the newer version, or start over with a Sync of mode Reset there"
        ),
    )
}
