//! The services, and what a plan says of each.

use backflow_core::code::Failure;
use backflow_core::plan::{
    BigQuery, Connection, Databricks, DatabricksCredential, DiffEngine, Server, Snowflake, SnowflakeCredential,
    SourcePlan, StateLocation, Tls, TlsMode,
};
use backflow_core::secret::{SecretRef, Secrets};
use secrecy::SecretString;
use serde_json::Value as Json;

use crate::table::{COLUMNS, Kind, Value};

/// A service that sends rows as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Service {
    /// Snowflake, by its SQL API.
    Snowflake,
    /// BigQuery, by its REST API.
    #[value(name = "bigquery")]
    BigQuery,
    /// Databricks, by external links.
    Databricks,
    /// ClickHouse, by HTTP.
    #[value(name = "clickhouse")]
    ClickHouse,
}

/// All of them.
pub const SERVICES: [Service; 4] = [Service::Snowflake, Service::BigQuery, Service::Databricks, Service::ClickHouse];

/// Every Secret has this value: no service here looks at it.
pub(crate) struct Any;

impl Secrets for Any {
    fn read(&self, _: &SecretRef) -> Result<SecretString, Failure> {
        Ok("secret".into())
    }
}

impl Service {
    /// As its makers write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Snowflake => "Snowflake",
            Self::BigQuery => "BigQuery",
            Self::Databricks => "Databricks",
            Self::ClickHouse => "ClickHouse",
        }
    }

    /// As an argument has it.
    pub(crate) fn argument(self) -> String {
        self.name().to_ascii_lowercase()
    }

    /// Whether it packs rows for a client that says what Backflow says. Snowflake packs every partition. Google wants the word `gzip` in the
    /// client's name, too, and ClickHouse a setting; of what is behind Databricks' links no document says that it is packed.
    #[must_use]
    pub fn packs(self) -> bool {
        self == Self::Snowflake
    }

    /// A Source that reads it at a port of this machine.
    pub(crate) fn source(self, port: u16) -> SourcePlan {
        let secret = SecretRef { name: "bench".into(), key: "credential".into() };
        let endpoint = Some(format!("http://127.0.0.1:{port}"));
        let connection = match self {
            Self::Snowflake => Connection::Snowflake(Box::new(Snowflake {
                account: "acme-bench".into(),
                user: "BENCH".into(),
                warehouse: "LOAD_WH".into(),
                database: "SHOP".into(),
                schema: Some("PUBLIC".into()),
                role: Some("BENCH".into()),
                credential: SnowflakeCredential::AccessToken(secret),
                endpoint,
            })),
            Self::BigQuery => Connection::BigQuery(Box::new(BigQuery {
                project: "acme-bench".into(),
                location: "EU".into(),
                dataset: Some("shop".into()),
                service_account_key: None,
                impersonate: None,
                maximum_bytes_billed: None,
                endpoint,
            })),
            Self::Databricks => Connection::Databricks(Box::new(Databricks {
                host: "dbc-bench.cloud.databricks.com".into(),
                warehouse_id: "0123456789abcdef".into(),
                catalog: Some("main".into()),
                schema: Some("shop".into()),
                credential: DatabricksCredential::AccessToken(secret),
                start_for_checks: false,
                endpoint,
            })),
            Self::ClickHouse => Connection::ClickHouse(Box::new(Server {
                host: "127.0.0.1".into(),
                port,
                database: "shop".into(),
                user: "bench".into(),
                password: Some(secret),
                tls: Tls { mode: TlsMode::Disable, ..Tls::default() },
            })),
        };
        let state = StateLocation::Schema("_backflow".into());
        SourcePlan { name: "bench".into(), connection, state, diff: DiffEngine::Streaming }
    }

    /// A column, as it describes it.
    pub(crate) fn column(self, name: &str, kind: Kind) -> Json {
        match self {
            Self::Snowflake => {
                let (kind, precision, scale) = match kind {
                    Kind::Int => ("fixed", Some(38), Some(0)),
                    Kind::Text => ("text", None, None),
                    Kind::Bool => ("boolean", None, None),
                    Kind::Decimal => ("fixed", Some(10), Some(2)),
                    Kind::Instant => ("timestamp_tz", None, Some(9)),
                };
                serde_json::json!({"name": name, "type": kind, "precision": precision, "scale": scale, "nullable": true})
            }
            Self::BigQuery => {
                let kind = match kind {
                    Kind::Int => "INTEGER",
                    Kind::Text => "STRING",
                    Kind::Bool => "BOOLEAN",
                    Kind::Decimal => "NUMERIC",
                    Kind::Instant => "TIMESTAMP",
                };
                serde_json::json!({"name": name, "type": kind, "mode": "NULLABLE"})
            }
            Self::Databricks => {
                let kind = match kind {
                    Kind::Int => "BIGINT",
                    Kind::Text => "STRING",
                    Kind::Bool => "BOOLEAN",
                    Kind::Decimal => "DECIMAL(10,2)",
                    Kind::Instant => "TIMESTAMP",
                };
                serde_json::json!({"name": name, "type_text": kind, "type_name": kind})
            }
            Self::ClickHouse => {
                let kind = match kind {
                    Kind::Int => "Int64",
                    Kind::Text => "Nullable(String)",
                    Kind::Bool => "Bool",
                    Kind::Decimal => "Decimal(10, 2)",
                    Kind::Instant => "DateTime64(6, 'UTC')",
                };
                serde_json::json!({"name": name, "type": kind})
            }
        }
    }

    /// All columns, as it describes them.
    pub(crate) fn columns(self) -> Json {
        COLUMNS.iter().map(|(name, kind)| self.column(name, *kind)).collect()
    }

    /// A value, as it stands in a row.
    pub(crate) fn write(self, value: &Value, out: &mut String) {
        let quoted = match value {
            Value::Null => return out.push_str("null"),
            Value::Bool(value) if self == Self::ClickHouse => {
                return out.push_str(if *value { "true" } else { "false" });
            }
            Value::Text(text) => return out.push_str(&Json::from(text.as_str()).to_string()),
            Value::Bool(value) => value.to_string(),
            Value::Int(number) => number.to_string(),
            Value::Decimal(digits) => digits.clone(),
            Value::Instant(micros) => match self {
                Self::Snowflake => format!("{}.{:06}000 1440", micros / 1_000_000, micros % 1_000_000),
                Self::BigQuery | Self::Databricks => micros.to_string(),
                Self::ClickHouse => iso(*micros),
            },
        };
        out.push('"');
        out.push_str(&quoted);
        out.push('"');
    }
}

/// With all six digits of the fraction.
fn iso(micros: i64) -> String {
    let moment = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    moment.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
