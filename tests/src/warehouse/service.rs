//! The services that there are fakes of.

use crate::customers::Dialect;

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Snowflake's SQL API.
    Snowflake,
    /// BigQuery's REST API.
    BigQuery,
    /// Databricks' Statement Execution API.
    Databricks,
    /// ClickHouse's HTTP interface.
    ClickHouse,
    /// Azure SQL's protocol.
    AzureSql,
}

impl Service {
    /// As the command takes it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Snowflake => "snowflake",
            Self::BigQuery => "bigquery",
            Self::Databricks => "databricks",
            Self::ClickHouse => "clickhouse",
            Self::AzureSql => "azuresql",
        }
    }

    /// The name by which clients that are told of no address know it; none of a server of the user's own.
    #[must_use]
    pub const fn host(self) -> Option<&'static str> {
        match self {
            Self::Snowflake => Some("acme-test.snowflakecomputing.com"),
            Self::BigQuery => Some("bigquery.googleapis.com"),
            Self::Databricks => Some("dbc-a1b2345c-d6e7.cloud.databricks.com"),
            Self::ClickHouse | Self::AzureSql => None,
        }
    }

    /// How its fake wants to be spoken to.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Snowflake => Dialect::Snowflake,
            Self::BigQuery => Dialect::BigQuery,
            Self::Databricks => Dialect::Databricks,
            Self::ClickHouse => Dialect::ClickHouse,
            Self::AzureSql => Dialect::TransactSql,
        }
    }

    /// What its fake tells beside its addresses.
    pub(super) const fn tells(self) -> &'static [&'static str] {
        match self {
            Self::Snowflake => &[
                "account",
                "user",
                "role",
                "warehouse",
                "database",
                "schema",
                "privateKey",
                "accessToken",
                "oauthToken",
            ],
            Self::ClickHouse => &["user", "password", "database"],
            Self::AzureSql => &[
                "host",
                "database",
                "user",
                "password",
                "certificateAuthority",
                "authority",
                "tenantId",
                "clientId",
                "clientSecret",
                "podToken",
            ],
            Self::BigQuery => &["project", "location", "dataset", "accessToken", "impersonate"],
            Self::Databricks => &[
                "host",
                "warehouseId",
                "httpPath",
                "catalog",
                "schema",
                "token",
                "clientId",
                "clientSecret",
                "tenantId",
                "entraSecret",
            ],
        }
    }
}
