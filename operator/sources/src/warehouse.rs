//! What every warehouse can do.

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::cell::{Cell, Column};
use backflow_core::code::{Code, Failure};
use backflow_core::extraction::Extraction;
use backflow_core::plan::{Connection, ModelPlan, SourcePlan, StateLocation};
use backflow_core::secret::Secrets;
use backflow_core::state::StateStore;
use futures::stream::BoxStream;

use crate::diff::Request;
use crate::postgres::PostgresWarehouse;
use crate::sqlite::SqliteWarehouse;

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
pub type Rows = BoxStream<'static, Result<Vec<Vec<Cell>>, Failure>>;

/// A connected warehouse. Cheap to clone behind an [`Arc`].
#[async_trait]
pub trait Warehouse: Send + Sync {
    /// Product and version, such as `PostgreSQL 15.18`.
    ///
    /// # Errors
    /// What the warehouse says.
    async fn server(&self) -> Result<String, Failure>;

    /// Whether a run could begin: connects, and proves that the state schema can be made and used, changing nothing. Returns
    /// [`Warehouse::server`].
    ///
    /// # Errors
    /// As [`open`], and `StateSchemaMissing`, `PermissionDenied`, `StateTooNew`, with the statement that cures it.
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

    /// The warehouse's own state store.
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
    let StateLocation::Schema(schema) = &source.state;
    Ok(match &source.connection {
        Connection::Postgres(postgres) => {
            Arc::new(PostgresWarehouse::open(postgres, schema, source.diff, secrets, application_name).await?)
        }
        Connection::Sqlite(sqlite) => Arc::new(SqliteWarehouse::open(sqlite, schema).await?),
    })
}
