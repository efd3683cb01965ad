//! What every warehouse can do.

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::cell::Column;
use backflow_core::code::{Code, Failure};
use backflow_core::extraction::Extraction;
use backflow_core::plan::{Connection, ModelPlan, SourcePlan, StateLocation};
use backflow_core::secret::Secrets;
use backflow_core::state::StateStore;
use futures::stream::BoxStream;

use crate::azuresql::AzureSqlWarehouse;
use crate::batch::Batch;
use crate::bigquery::BigQueryWarehouse;
use crate::clickhouse::ClickHouseWarehouse;
use crate::databricks::DatabricksWarehouse;
use crate::diff::Request;
use crate::mysql::MySqlWarehouse;
use crate::postgres::PostgresWarehouse;
use crate::redshift::RedshiftWarehouse;
use crate::snowflake::SnowflakeWarehouse;
use crate::sqlite::SqliteWarehouse;
use crate::store::PackedState;

/// One read of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The model.
    pub model: ModelPlan,
    /// Columns to read, in this order; names as described.
    pub columns: Vec<String>,
    /// `Mapping.spec.where`.
    pub filter: Option<String>,
    /// At most this many rows.
    pub limit: Option<u32>,
}

/// Rows in batches of a bounded number of bytes, so that neither side waits for single rows.
pub type Rows = BoxStream<'static, Result<Batch, Failure>>;

/// A connected warehouse. Cheap to clone behind an [`Arc`].
#[async_trait]
pub trait Warehouse: Send + Sync {
    /// Product and version, such as `PostgreSQL 15.18`.
    ///
    /// # Errors
    /// What the warehouse says.
    async fn server(&self) -> Result<String, Failure>;

    /// Whether a run could begin: connects, and proves that the state can be made and used where it lives, changing nothing. Returns
    /// [`Warehouse::server`].
    ///
    /// # Errors
    /// As [`open`], and `StateSchemaMissing`, `PermissionDenied`, `StateTooNew`, `StateStoreMissing`, `StateStoreUnfit`,
    /// `StateStoreUnavailable`, with what cures it.
    async fn check(&self) -> Result<String, Failure>;

    /// The model's columns, without reading rows.
    ///
    /// # Errors
    /// `SqlError`, `MultipleStatements`, `TableNotFound`, `ColumnNotFound`, `PermissionDenied`, `DuplicateColumn` …
    async fn describe(&self, model: &ModelPlan) -> Result<Vec<Column>, Failure>;

    /// Reads a model in one consistent snapshot, which ends with the stream. Dropping the stream cancels the query.
    ///
    /// # Errors
    /// As [`Warehouse::describe`]; the stream's items also `WarehouseUnavailable`, `ConnectionFailed`.
    async fn rows(&self, query: Query) -> Result<Rows, Failure>;

    /// Waits until queries of dropped streams are cancelled. A process that ends before leaves them running on the server.
    async fn idle(&self) {}

    /// Where the state of its Mappings lives.
    fn state(&self) -> Arc<dyn StateStore>;

    /// As [`crate::diff::open`], by the pushdown engine, with the state in the warehouse.
    ///
    /// # Errors
    /// `PlanInvalid` if the warehouse has none.
    async fn pushdown(&self, _request: Request<'_>) -> Result<Box<dyn Extraction>, Failure> {
        Err(Failure::new(
            Code::PlanInvalid,
            "this warehouse cannot compare rows with state itself; set the Source's diff to Auto or Streaming",
        ))
    }
}

/// Connects to what a plan names. `application_name` is what the server shows of our connections: `backflow/<run>`.
///
/// # Errors
/// `SecretNotFound`, `SecretKeyNotFound`, `HostNotFound`, `ConnectionFailed`, `TlsFailed`, `AuthenticationFailed`,
/// `DatabaseNotFound`, `PermissionDenied`, `WarehouseUnavailable`.
pub async fn open(
    source: &SourcePlan,
    secrets: &dyn Secrets,
    application_name: &str,
) -> Result<Arc<dyn Warehouse>, Failure> {
    // A warehouse whose state lives elsewhere is never asked for its own.
    let (schema, store) = match &source.state {
        StateLocation::Schema(schema) => (schema.as_str(), None),
        StateLocation::Store(plan) => ("", Some(Arc::new(crate::store::open(plan, secrets)?))),
    };
    let warehouse: Arc<dyn Warehouse> = match &source.connection {
        Connection::Postgres(postgres) => {
            Arc::new(PostgresWarehouse::open(postgres, schema, source.diff, secrets, application_name).await?)
        }
        Connection::Redshift(redshift) => {
            Arc::new(RedshiftWarehouse::open(redshift, schema, source.diff, secrets, application_name).await?)
        }
        Connection::Snowflake(snowflake) => {
            Arc::new(SnowflakeWarehouse::open(snowflake, schema, source.diff, secrets, application_name).await?)
        }
        Connection::BigQuery(bigquery) => {
            Arc::new(BigQueryWarehouse::open(bigquery, schema, source.diff, secrets, application_name).await?)
        }
        Connection::Databricks(databricks) => {
            Arc::new(DatabricksWarehouse::open(databricks, schema, secrets, application_name).await?)
        }
        Connection::AzureSql(database) => {
            Arc::new(AzureSqlWarehouse::open(database, schema, source.diff, secrets, application_name).await?)
        }
        Connection::ClickHouse(clickhouse) => {
            Arc::new(ClickHouseWarehouse::open(clickhouse, schema, secrets, application_name).await?)
        }
        Connection::MySql(mysql) => Arc::new(MySqlWarehouse::open(mysql, schema, secrets, application_name).await?),
        Connection::Sqlite(sqlite) => Arc::new(SqliteWarehouse::open(sqlite, schema).await?),
    };
    Ok(match store {
        Some(store) => Arc::new(ReadOnly { warehouse, store }),
        None => warehouse,
    })
}

/// The state of a Source alone: where it lives outside of the warehouse, that is not contacted. `application_name` as in [`open`].
///
/// # Errors
/// As [`open`].
pub async fn open_state(
    source: &SourcePlan,
    secrets: &dyn Secrets,
    application_name: &str,
) -> Result<Arc<dyn StateStore>, Failure> {
    match &source.state {
        StateLocation::Schema(_) => Ok(open(source, secrets, application_name).await?.state()),
        StateLocation::Store(plan) => Ok(Arc::new(crate::store::open(plan, secrets)?)),
    }
}

/// A warehouse that is only read, with its state outside of it.
struct ReadOnly {
    warehouse: Arc<dyn Warehouse>,
    store: Arc<PackedState>,
}

#[async_trait]
impl Warehouse for ReadOnly {
    async fn server(&self) -> Result<String, Failure> {
        self.warehouse.server().await
    }

    async fn check(&self) -> Result<String, Failure> {
        let server = self.warehouse.server().await?;
        self.store.probe().await?;
        Ok(server)
    }

    async fn describe(&self, model: &ModelPlan) -> Result<Vec<Column>, Failure> {
        self.warehouse.describe(model).await
    }

    async fn rows(&self, query: Query) -> Result<Rows, Failure> {
        self.warehouse.rows(query).await
    }

    async fn idle(&self) {
        self.warehouse.idle().await;
    }

    fn state(&self) -> Arc<dyn StateStore> {
        Arc::clone(&self.store) as Arc<dyn StateStore>
    }
}
