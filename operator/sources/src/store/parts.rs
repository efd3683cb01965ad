//! The objects that a head names: what they are called, and which of them may go.

use std::collections::BTreeSet;

use backflow_core::code::Failure;
use backflow_core::state::PartitionId;

use super::head::Stored;
use super::name;
use super::objects::Objects;

/// The folder of partitions.
pub(super) const PARTITIONS: &str = "partitions";
/// The folder of the journal's segments.
pub(super) const JOURNAL: &str = "journal";
/// The folder of the list of rejected records.
pub(super) const REJECTS: &str = "rejects";

/// A folder of a state.
pub(super) fn folder(state_key: &str, part: &str) -> String {
    format!("{}/{part}", name::part(state_key))
}

/// A partition that this claim wrote.
pub(super) fn partition(state_key: &str, id: PartitionId, claim: u64) -> String {
    let (generation, claim) = (name::number(id.generation), name::number(claim));
    format!("{}/{generation}-{:010}-{claim}", folder(state_key, PARTITIONS), id.index)
}

/// A segment that this claim wrote.
pub(super) fn segment(state_key: &str, number: u64, claim: u64) -> String {
    format!("{}/{}-{}", folder(state_key, JOURNAL), name::number(number), name::number(claim))
}

/// Removes what `stored` does not name, of all claims up to `claim`: what a later one has written is not ours to judge.
pub(super) async fn sweep(
    objects: &dyn Objects,
    stored: &Stored,
    keep: &[PartitionId],
    claim: u64,
) -> Result<(), Failure> {
    let key = &stored.state_key;
    let named = |id: &PartitionId| Some(partition(key, *id, *stored.generations.get(&id.generation)?));
    let kept: BTreeSet<String> = keep.iter().filter_map(named).collect();
    let mut old = Vec::new();
    for found in objects.list(&folder(key, PARTITIONS)).await? {
        let by = name::numbers::<3>(&found.name).map(|([.., by], _)| by);
        if by.is_some_and(|by| by <= claim) && !kept.contains(&found.name) {
            old.push(found.name);
        }
    }
    for found in objects.list(&folder(key, JOURNAL)).await? {
        let numbers = name::numbers::<2>(&found.name).map(|(numbers, _)| numbers);
        if numbers.is_some_and(|[number, by]| by <= claim && stored.claim_of_segment(number) != Some(by)) {
            old.push(found.name);
        }
    }
    let rejects = folder(key, REJECTS);
    let listed: BTreeSet<String> = stored.rejects.files.iter().map(|file| format!("{rejects}/{file}")).collect();
    for found in objects.list(&rejects).await? {
        let by = name::numbers::<2>(&found.name).map(|([_, by], _)| by);
        if by.is_some_and(|by| by <= claim) && !listed.contains(&found.name) {
            old.push(found.name);
        }
    }
    objects.remove(old).await
}
