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
use backflow_core::code::{Code, Failure};
use backflow_core::plan::{ModelPlan, Server};
use backflow_core::secret::Secrets;
use backflow_core::state::StateStore;
use futures::StreamExt as _;

use self::api::{Api, Meta, Statement};
use self::errors::Failed;
use self::rows::Reader;
use self::state::ClickHouseTable;
use self::types::reading;
use crate::model;
use crate::rest::compose::Composed;
use crate::sql::Lexis;
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
        let probe = Statement::read("SELECT version()".into())?;
        let rows = api.rows(&probe).await.map_err(|failed| match failed {
            Failed::Sql(error) => errors::connect(&error, &api),
            Failed::Other(failure) => failure,
        })?;
        let version = rows.into_iter().next().and_then(|row| row.into_iter().next().flatten());
        let version = version.ok_or_else(|| api.service.strange(200))?;
        let table = Arc::new(ClickHouseTable::new(Arc::clone(&api), schema));
        let state = Arc::new(PackedState::in_table(Arc::clone(&table) as Arc<dyn ObjectTable>));
        Ok(Self { api, state, table, version })
    }

    async fn described(&self, model: &ModelPlan, filter: Option<&str>) -> Result<Vec<Meta>, Failure> {
        let composed = Composed::describe(model, Lexis::ClickHouse, filter)?;
        let statement = Statement::read(composed.sql.clone())?;
        let columns = self.api.columns(&statement).await.map_err(|failed| match failed {
            Failed::Sql(error) => errors::query(&error, &model.name, &composed, &self.api),
            Failed::Other(failure) => failure,
        })?;
        let names = columns.iter().map(|column| column.name.as_str());
        model::check_columns(model, names, "here names are compared letter by letter")?;
        Ok(columns)
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
        let columns = self.described(model, None).await?;
        Ok(columns.into_iter().map(|column| Column { kind: types::name(&column.kind), name: column.name }).collect())
    }

    async fn rows(&self, query: Query) -> Result<Rows, Failure> {
        let described = self.described(&query.model, query.filter.as_deref()).await?;
        let (mut expressions, mut wires) = (Vec::new(), Vec::new());
        for name in &query.columns {
            let Some(column) = described.iter().find(|column| &column.name == name) else {
                let names = described.iter().map(|column| column.name.as_str());
                return Err(model::unknown_column(&query.model, name, names));
            };
            let reading = reading(column).ok_or_else(|| {
                let (model, kind) = (&query.model.name, types::name(&column.kind));
                let message = format!(
                    "model \"{model}\": column \"{name}\" has the type {kind}, which is not read; finalize it, or cast it to String, in the SQL"
                );
                Failure::new(Code::SqlError, message)
            })?;
            expressions.push(reading.expression);
            wires.push(reading.wire);
        }
        let composed =
            Composed::read(&query.model, Lexis::ClickHouse, &expressions, query.filter.as_deref(), query.limit)?;
        let reader = Reader {
            guard: Arc::clone(&self.api.running).read_owned().await,
            api: Arc::clone(&self.api),
            statement: Statement::read(composed.sql.clone())?,
            model: query.model.name,
            columns: query.columns,
            wires,
            composed,
        };
        Ok(reader.start().boxed())
    }

    async fn idle(&self) {
        drop(self.api.running.write().await);
    }

    fn state(&self) -> Arc<dyn StateStore> {
        Arc::clone(&self.state) as Arc<dyn StateStore>
    }
}
