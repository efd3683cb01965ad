//! Which finished Syncs are deleted.

use super::view::{Phase, SyncView};

/// The finished Syncs beyond the limits, oldest first. Only Syncs that the controller made for this Mapping are ever named: a person's
/// would be made again by the tool that keeps the manifests.
///
/// `successful` limits the Syncs that succeeded, `failed` all others (partly succeeded, failed, cancelled). Delete only what has been
/// folded into the Mapping's status.
#[must_use]
pub fn prune<'a>(syncs: &[SyncView<'a>], successful: usize, failed: usize) -> Vec<&'a str> {
    let mut doomed = Vec::new();
    for (wanted, limit) in [(true, successful), (false, failed)] {
        let mut finished: Vec<_> = syncs
            .iter()
            .filter(|sync| sync.is_ours())
            .filter_map(|sync| match sync.phase {
                Phase::Finished { at, succeeded } if succeeded == wanted => Some((at, sync.name)),
                _ => None,
            })
            .collect();
        finished.sort_unstable();
        finished.truncate(finished.len().saturating_sub(limit));
        doomed.extend(finished);
    }
    doomed.sort_unstable();
    doomed.into_iter().map(|(_, name)| name).collect()
}
