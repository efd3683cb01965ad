//! Google BigQuery, by its REST API (version 2).

mod api;
mod auth;
mod errors;
mod objects;
mod pushdown;
mod rows;
mod state;
#[cfg(test)]
mod tests;
mod types;

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::cell::Column;
use backflow_core::code::Failure;
use backflow_core::extraction::Extraction;
use backflow_core::plan::{BigQuery, DiffEngine, ModelPlan};
use backflow_core::secret::Secrets;
use backflow_core::state::StateStore;

use self::api::{Api, Statement};
pub(crate) use self::objects::literal;
use self::state::BigQueryTable;
pub(crate) use self::types::quote;
use crate::diff::Request;
use crate::rest::read;
use crate::store::PackedState;
use crate::warehouse::{Query, Rows, Warehouse};

/// A BigQuery project.
#[derive(Clone)]
pub(crate) struct BigQueryWarehouse {
    api: Arc<Api>,
    state: Arc<PackedState>,
    table: Arc<BigQueryTable>,
    diff: DiffEngine,
}

impl BigQueryWarehouse {
    pub(crate) async fn open(
        plan: &BigQuery,
        dataset: &str,
        diff: DiffEngine,
        secrets: &dyn Secrets,
        application_name: &str,
    ) -> Result<Self, Failure> {
        let api = Arc::new(Api::new(plan, secrets, application_name)?);
        // Compiled only: proves the account, and that it may run queries in the project.
        let probe = Statement { dry: true, ..Statement::own("SELECT 1", &[]) };
        let compiled = api.compile(&probe).await;
        compiled.map_err(|failed| failed.or_tell(|error| errors::state(error, &plan.project, &api)))?;
        let table = Arc::new(BigQueryTable::new(Arc::clone(&api), dataset));
        let state = Arc::new(PackedState::in_table(Arc::clone(&table) as Arc<dyn crate::store::table::ObjectTable>));
        Ok(Self { api, state, table, diff })
    }
}

#[async_trait]
impl Warehouse for BigQueryWarehouse {
    async fn server(&self) -> Result<String, Failure> {
        // The service tells no version.
        Ok(format!("BigQuery in {}", self.api.plan.location))
    }

    async fn check(&self) -> Result<String, Failure> {
        self.table.check(self.diff == DiffEngine::Pushdown).await?;
        self.server().await
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
