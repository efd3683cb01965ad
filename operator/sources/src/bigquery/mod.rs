//! Google BigQuery, by its REST API (version 2).

mod api;
mod auth;
mod errors;
mod objects;
mod rows;
mod running;
mod state;
#[cfg(test)]
mod tests;
mod types;

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::cell::Column;
use backflow_core::code::{Code, Failure};
use backflow_core::plan::{BigQuery, ModelPlan};
use backflow_core::secret::Secrets;
use backflow_core::state::StateStore;
use futures::StreamExt as _;

use self::api::{Api, Statement};
use self::errors::Failed;
use self::rows::Reader;
use self::state::BigQueryTable;
use self::types::{Field, reading};
use crate::model;
use crate::rest::compose::Composed;
use crate::sql::Lexis;
use crate::store::PackedState;
use crate::warehouse::{Query, Rows, Warehouse};

/// A BigQuery project.
pub(crate) struct BigQueryWarehouse {
    api: Arc<Api>,
    state: Arc<PackedState>,
    table: Arc<BigQueryTable>,
}

impl BigQueryWarehouse {
    pub(crate) async fn open(
        plan: &BigQuery,
        dataset: &str,
        secrets: &dyn Secrets,
        application_name: &str,
    ) -> Result<Self, Failure> {
        let api = Arc::new(Api::new(plan, secrets, application_name)?);
        // Compiled only: proves the account, and that it may run queries in the project.
        let probe = Statement { dry: true, ..Statement::own("SELECT 1", &[]) };
        api.compile(&probe).await.map_err(|failed| match failed {
            Failed::Other(failure) => failure,
            Failed::Sql(error) => errors::state(&error, &plan.project, &api),
        })?;
        let table = Arc::new(BigQueryTable::new(Arc::clone(&api), dataset));
        let state = Arc::new(PackedState::in_table(Arc::clone(&table) as Arc<dyn crate::store::table::ObjectTable>));
        Ok(Self { api, state, table })
    }

    async fn described(&self, model: &ModelPlan, filter: Option<&str>) -> Result<Vec<Field>, Failure> {
        let composed = Composed::describe(model, Lexis::BigQuery, filter)?;
        let statement = Statement { dry: true, model: true, ..Statement::own(composed.sql.clone(), &[]) };
        let columns = self.api.compile(&statement).await.map_err(|failed| match failed {
            Failed::Sql(error) => errors::query(&error, &model.name, &composed, &self.api),
            Failed::Other(failure) => failure,
        })?;
        let names = columns.iter().map(|column| column.name.as_str());
        model::check_columns(model, names, "here names are compared letter by letter")?;
        Ok(columns)
    }
}

#[async_trait]
impl Warehouse for BigQueryWarehouse {
    async fn server(&self) -> Result<String, Failure> {
        // The service tells no version.
        Ok(format!("BigQuery in {}", self.api.plan.location))
    }

    async fn check(&self) -> Result<String, Failure> {
        self.table.check().await?;
        self.server().await
    }

    async fn describe(&self, model: &ModelPlan) -> Result<Vec<Column>, Failure> {
        let columns = self.described(model, None).await?;
        Ok(columns.into_iter().map(|column| Column { kind: types::name(&column), name: column.name }).collect())
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
                let (model, kind) = (&query.model.name, types::name(column));
                let message = format!(
                    "model \"{model}\": column \"{name}\" has the type {kind}, which is not read; cast it to STRING in the SQL"
                );
                Failure::new(Code::SqlError, message)
            })?;
            expressions.push(reading.expression);
            wires.push(reading.wire);
        }
        let composed =
            Composed::read(&query.model, Lexis::BigQuery, &expressions, query.filter.as_deref(), query.limit)?;
        let statement = Statement { model: true, ..Statement::own(composed.sql.clone(), &[]) };
        let running = self.api.start(statement).await.map_err(|failed| match failed {
            Failed::Sql(error) => errors::query(&error, &query.model.name, &composed, &self.api),
            Failed::Other(failure) => failure,
        })?;
        let api = Arc::clone(&self.api);
        let reader = Reader { api, running, model: query.model.name, columns: query.columns, wires, composed };
        Ok(reader.start().boxed())
    }

    async fn idle(&self) {
        drop(self.api.running.write().await);
    }

    fn state(&self) -> Arc<dyn StateStore> {
        Arc::clone(&self.state) as Arc<dyn StateStore>
    }
}
