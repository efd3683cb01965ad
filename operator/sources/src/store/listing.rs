//! All states of a place, for people.

use backflow_core::code::Failure;
use backflow_core::notes::PREFIX;
use backflow_core::state::StateLine;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;

use super::chain::Chain;
use super::head::{Stored, damaged};
use super::objects::Objects;
use super::{name, parts};

/// States that are looked at side by side.
const SIDE_BY_SIDE: usize = 8;

/// The states, by key, at most `limit`. The names of folders sort in another order, so that all of them are read.
pub(super) async fn list(objects: &dyn Objects, limit: u32) -> Result<Vec<StateLine>, Failure> {
    let folders = objects.folders().await?;
    let notes = name::part(PREFIX);
    let looks = folders
        .into_iter()
        .filter(|folder| !folder.starts_with(&notes))
        .map(|folder| async move { line(objects, &folder).await });
    let found: Vec<Option<StateLine>> = futures::stream::iter(looks).buffered(SIDE_BY_SIDE).try_collect().await?;
    let mut lines: Vec<StateLine> = found.into_iter().flatten().collect();
    lines.sort_by(|a, b| a.state_key.cmp(&b.state_key));
    lines.truncate(limit as usize);
    Ok(lines)
}

async fn line(objects: &dyn Objects, folder: &str) -> Result<Option<StateLine>, Failure> {
    let Some(state_key) = key_of(objects, folder).await? else { return Ok(None) };
    let chain = Chain { objects, state_key: &state_key };
    let Some(Stored { head: Some(head), .. }) = chain.newest().await? else { return Ok(None) };
    let mut bytes = 0;
    for part in [parts::PARTITIONS, parts::JOURNAL] {
        let found = objects.list(&parts::folder(&state_key, part)).await?;
        bytes += found.iter().map(|object| object.bytes).sum::<u64>();
    }
    Ok(Some(StateLine { state_key, head, bytes }))
}

/// The state key of a folder: its name may be cut, so one of its heads says it.
async fn key_of(objects: &dyn Objects, folder: &str) -> Result<Option<String>, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Key {
        state_key: String,
    }
    let heads = objects.list(&format!("{folder}/head")).await?;
    for head in heads.iter().rev() {
        let Some(bytes) = objects.get(&head.name).await? else { continue };
        let json = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        return match serde_json::from_slice::<Key>(json) {
            Ok(Key { state_key }) if name::part(&state_key) == folder => Ok(Some(state_key)),
            _ => Err(damaged(&format!("{} in {} is no head of a state", head.name, objects.place()))),
        };
    }
    Ok(None)
}
