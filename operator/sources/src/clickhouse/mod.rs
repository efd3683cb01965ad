//! ClickHouse, by its HTTP interface.
//!
//! There is no session: each request says database, time zone and formats itself. A read is one query, whose rows arrive while the server
//! computes them; a document around them says at its end how many there were, so that half an answer is none.

mod api;
mod errors;
mod objects;
mod rows;
mod state;
#[cfg(test)]
mod tests;
mod types;

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::cell::Column;
use backflow_core::code::Failure;
use backflow_core::plan::{ModelPlan, Server};
use backflow_core::secret::Secrets;
use backflow_core::state::StateStore;

use self::api::{Api, Statement};
use self::state::ClickHouseTable;
use crate::rest::read;
use crate::store::PackedState;
use crate::store::table::ObjectTable;
use crate::warehouse::{Query, Rows, Warehouse};

/// A ClickHouse server.
pub(crate) struct ClickHouseWarehouse {
    api: Arc<Api>,
    state: Arc<PackedState>,
    table: Arc<ClickHouseTable>,
    version: String,
}

impl ClickHouseWarehouse {
    pub(crate) async fn open(
        plan: &Server,
        schema: &str,
        secrets: &dyn Secrets,
        application_name: &str,
    ) -> Result<Self, Failure> {
        let api = Arc::new(Api::new(plan, secrets, application_name)?);
        // With all that a read sets, so that a profile which forbids some of it shows at once.
        let rows = api.rows(&Statement::read("SELECT version()".into())).await;
        let rows = rows.map_err(|failed| failed.or_tell(|error| errors::connect(error, &api)))?;
        let version = rows.into_iter().next().and_then(|row| row.into_iter().next().flatten());
        let version = version.ok_or_else(|| api.service.strange(200))?;
        let table = Arc::new(ClickHouseTable::new(Arc::clone(&api), schema));
        let state = Arc::new(PackedState::in_table(Arc::clone(&table) as Arc<dyn ObjectTable>));
        Ok(Self { api, state, table, version })
    }
}

#[async_trait]
impl Warehouse for ClickHouseWarehouse {
    async fn server(&self) -> Result<String, Failure> {
        Ok(format!("ClickHouse {}", self.version))
    }

    async fn check(&self) -> Result<String, Failure> {
        self.table.check().await?;
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
}
