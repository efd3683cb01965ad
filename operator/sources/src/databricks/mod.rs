//! A Databricks SQL warehouse, by its Statement Execution API (version 2.0).
//!
//! There is no session: each statement names warehouse, catalog and schema itself, and any process that holds a statement's id can read its
//! result, for an hour. A statement starts a warehouse that is stopped; what is asked of the warehouse itself does not.

mod answer;
mod api;
mod auth;
mod errors;
mod grants;
mod objects;
mod pushdown;
mod result;
mod rows;
mod sql_error;
mod state;
mod statement;
#[cfg(test)]
mod tests;
mod typed;
mod types;

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::cell::Column;
use backflow_core::code::Failure;
use backflow_core::extraction::Extraction;
use backflow_core::plan::{Databricks, ModelPlan};
use backflow_core::secret::Secrets;
use backflow_core::state::StateStore;

use self::answer::WarehouseInfo;
use self::api::Api;
use self::state::DatabricksTable;
use crate::diff::Request;
use crate::rest::read;
use crate::store::PackedState;
use crate::store::table::ObjectTable;
use crate::warehouse::{Query, Rows, Warehouse};

/// A SQL warehouse.
#[derive(Clone)]
pub(crate) struct DatabricksWarehouse {
    api: Arc<Api>,
    state: Arc<PackedState>,
    table: Arc<DatabricksTable>,
    /// What the workspace said of it.
    info: WarehouseInfo,
}

impl DatabricksWarehouse {
    pub(crate) async fn open(
        plan: &Databricks,
        schema: &str,
        secrets: &dyn Secrets,
        application_name: &str,
    ) -> Result<Self, Failure> {
        let api = Arc::new(Api::new(plan, secrets, application_name)?);
        // Proves host, credential and the warehouse's id, and starts nothing.
        let info = api.warehouse().await?;
        let table = Arc::new(DatabricksTable::new(Arc::clone(&api), schema));
        let state = Arc::new(PackedState::in_table(Arc::clone(&table) as Arc<dyn ObjectTable>));
        Ok(Self { api, state, table, info })
    }
}

#[async_trait]
impl Warehouse for DatabricksWarehouse {
    async fn server(&self) -> Result<String, Failure> {
        Ok(self.info.server())
    }

    async fn check(&self) -> Result<String, Failure> {
        // Another look than that of `open`, for a warehouse may have stopped since.
        let info = self.api.warehouse().await?;
        if info.runs() || self.api.plan.start_for_checks {
            self.table.check().await?;
            return Ok(info.server());
        }
        Ok(format!("{}, stopped: grants are not checked", info.server()))
    }

    async fn describe(&self, model: &ModelPlan) -> Result<Vec<Column>, Failure> {
        read::describe(&self.api, model).await
    }

    async fn rows(&self, query: Query) -> Result<Rows, Failure> {
        read::rows(&self.api, query).await
    }

    async fn idle(&self) {
        drop(self.api.running.write().await);
    }

    fn state(&self) -> Arc<dyn StateStore> {
        Arc::clone(&self.state) as Arc<dyn StateStore>
    }

    async fn pushdown(&self, request: Request<'_>) -> Result<Box<dyn Extraction>, Failure> {
        crate::diff::pushdown::open(self.clone(), self.state(), request).await
    }
}
