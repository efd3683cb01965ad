//! The states that a Source keeps, for people: of Mappings that run, and of those that are gone.

use std::collections::BTreeMap;

use backflow_core::code::{Code, Failure};
use backflow_core::plan::SourcePlan;
use backflow_core::secret::Secrets;
use backflow_core::state::{RunRow, StateLine};
use backflow_sources::warehouse::open_state;
use serde::{Deserialize, Serialize};

/// What sessions of a listing are called at the warehouse.
const APPLICATION: &str = "backflow/state";

/// One state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateSummary {
    /// What it is filed under.
    pub state_key: String,
    /// The cluster that owns it, or `local`.
    pub owner: String,
    /// Version of its format.
    pub format: u32,
    /// How often it was claimed.
    pub epoch: u64,
    /// Bytes of its partitions and journal.
    pub bytes: u64,
    /// What its document says; defaults if it cannot be read.
    #[serde(flatten)]
    pub document: Document,
}

/// What a document says, as far as people ask. See `docs/state-format.md`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Document {
    /// Keys that are known.
    pub rows: u64,
    /// When it last moved, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub committed_at: Option<String>,
    /// The run that last moved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_name: Option<String>,
    /// How many runs there were.
    pub runs: u64,
    /// The key columns.
    pub primary_key: Vec<String>,
    /// What it is bound to. A URL is cut to scheme and host: what follows may be a secret.
    pub identity: BTreeMap<String, String>,
}

/// One state with its last run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateDetails {
    /// The state.
    #[serde(flatten)]
    pub summary: StateSummary,
    /// The run that last moved it, if it is still remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<RunRow>,
}

/// All states of a Source, by key, at most `limit`. A Source that never had one has none.
///
/// # Errors
/// What the store says.
pub async fn list(source: &SourcePlan, secrets: &dyn Secrets, limit: u32) -> Result<Vec<StateSummary>, Failure> {
    match open_state(source, secrets, APPLICATION).await?.list(limit).await {
        Err(failure) if failure.code == Code::StateSchemaMissing => Ok(Vec::new()),
        lines => Ok(lines?.into_iter().map(summary).collect()),
    }
}

/// One state of a Source, `None` if there is none of this key.
///
/// # Errors
/// What the store says.
pub async fn show(
    source: &SourcePlan,
    secrets: &dyn Secrets,
    state_key: &str,
) -> Result<Option<StateDetails>, Failure> {
    let store = open_state(source, secrets, APPLICATION).await?;
    let lines = match store.list(u32::MAX).await {
        Err(failure) if failure.code == Code::StateSchemaMissing => return Ok(None),
        lines => lines?,
    };
    let Some(line) = lines.into_iter().find(|line| line.state_key == state_key) else { return Ok(None) };
    let summary = summary(line);
    let last_run = match &summary.document.sync_name {
        Some(name) => store.run(state_key, name).await?,
        None => None,
    };
    Ok(Some(StateDetails { summary, last_run }))
}

fn summary(line: StateLine) -> StateSummary {
    let StateLine { state_key, head, bytes } = line;
    let mut document: Document = serde_json::from_str(&head.document).unwrap_or_default();
    for value in document.identity.values_mut() {
        if let Some((scheme, rest)) = value.split_once("://") {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            *value = format!("{scheme}://{host}");
        }
    }
    StateSummary { state_key, owner: head.owner, format: head.format, epoch: head.epoch, bytes, document }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backflow_core::state::Head;

    #[test]
    fn a_listing_shows_no_secret_of_an_address_and_survives_a_document_that_it_cannot_read() {
        let head = |document: &str| Head {
            format: 1,
            owner: "local".into(),
            epoch: 3,
            generation: 0,
            segment: 0,
            document: document.into(),
        };
        let line = |document| StateLine { state_key: "a/b".into(), head: head(document), bytes: 7 };
        let read = summary(line(
            r#"{"rows": 5, "runs": 2, "identity": {"destination.url": "https://u:pw@h.example:8443/T0/secret?k=1"}, "more": 1}"#,
        ));
        assert_eq!((read.document.rows, read.document.runs), (5, 2));
        assert_eq!(read.document.identity["destination.url"], "https://h.example:8443");
        assert_eq!(summary(line("not json")).document, Document::default());
    }
}
