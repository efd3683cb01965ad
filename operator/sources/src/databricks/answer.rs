//! What the API answers, as its reference describes it. The server's words in it are searched, never passed on.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A statement, or an error.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Envelope {
    pub(super) statement_id: Option<String>,
    pub(super) status: Option<Status>,
    pub(super) manifest: Option<Manifest>,
    pub(super) result: Option<Chunk>,
    /// Of a request that is refused.
    pub(super) error_code: Option<String>,
    pub(super) message: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) state: String,
    pub(super) error: Option<StatementError>,
    pub(super) sql_state: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StatementError {
    pub(super) error_code: String,
    pub(super) message: String,
}

/// What a result is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Manifest {
    pub(super) schema: Schema,
    pub(super) total_chunk_count: u64,
    pub(super) total_row_count: u64,
    /// Rows are missing at its end.
    pub(super) truncated: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Schema {
    pub(super) columns: Vec<ColumnInfo>,
}

/// A column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct ColumnInfo {
    pub(super) name: String,
    /// As SQL has it: `DECIMAL(10,2)`, `ARRAY<INT>`.
    pub(super) type_text: String,
}

/// A part of a result: its rows, which are read apart, or where they are.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Chunk {
    pub(super) row_count: u64,
    pub(super) external_links: Vec<ExternalLink>,
}

/// Where rows are, for a while.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ExternalLink {
    pub(super) chunk_index: u64,
    pub(super) row_count: u64,
    /// Has a signature of its own: it is a credential.
    pub(super) external_link: String,
    /// RFC 3339.
    pub(super) expiration: Option<String>,
    /// What the request must say, too.
    pub(super) http_headers: BTreeMap<String, String>,
}

/// A SQL warehouse, as the workspace tells of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WarehouseInfo {
    pub(super) state: String,
    channel: Channel,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Channel {
    /// Only of a warehouse that is held at one version.
    dbsql_version: Option<String>,
}

impl WarehouseInfo {
    /// Whether a statement would not have to start it.
    pub(super) fn runs(&self) -> bool {
        matches!(self.state.as_str(), "RUNNING" | "STARTING")
    }

    /// The product, with its version where one is told.
    pub(super) fn server(&self) -> String {
        let fit = |version: &&str| version.len() <= 32 && version.bytes().all(|c| c.is_ascii_digit() || c == b'.');
        match self.channel.dbsql_version.as_deref().filter(fit) {
            Some(version) => format!("Databricks SQL {version}"),
            None => "Databricks SQL".to_owned(),
        }
    }
}
