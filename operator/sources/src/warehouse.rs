//! What every warehouse can do.

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::cell::{Cell, Column};
use backflow_core::code::Failure;
use backflow_core::plan::ModelPlan;
use backflow_core::state::StateStore;
use futures::stream::BoxStream;

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

    /// The warehouse's own state store.
    fn state(&self) -> Arc<dyn StateStore>;
}
