//! Snowflake, by its SQL API (version 2).
//!
//! There is no session: each statement says database, warehouse, role and time zone itself, and any process that holds a statement's
//! handle can read its result.

mod answer;
mod api;
mod auth;
mod errors;
mod grants;
mod key;
mod objects;
mod page;
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
use backflow_core::plan::{ModelPlan, Snowflake};
use backflow_core::secret::Secrets;
use backflow_core::state::StateStore;
use futures::StreamExt as _;

use self::answer::RowType;
use self::api::{Api, Statement};
use self::errors::Failed;
use self::rows::Reader;
use self::state::SnowflakeTable;
use self::types::reading;
use crate::model;
use crate::rest::compose::Composed;
use crate::sql::{Lexis, quote};
use crate::store::PackedState;
use crate::store::table::ObjectTable;
use crate::warehouse::{Query, Rows, Warehouse};

/// Asks for nothing that a virtual warehouse would have to run for.
const SESSION: &str = "SELECT CURRENT_VERSION(), CURRENT_ROLE(), CURRENT_WAREHOUSE(), CURRENT_DATABASE()";

/// A Snowflake account.
pub(crate) struct SnowflakeWarehouse {
    api: Arc<Api>,
    state: Arc<PackedState>,
    table: Arc<SnowflakeTable>,
    /// Of the server, and the role that the session has.
    session: Session,
}

/// What the server says of a session.
#[derive(Clone, Debug)]
struct Session {
    version: String,
    role: String,
}

impl SnowflakeWarehouse {
    pub(crate) async fn open(
        plan: &Snowflake,
        schema: &str,
        secrets: &dyn Secrets,
        application_name: &str,
    ) -> Result<Self, Failure> {
        let api = Arc::new(Api::new(plan, secrets, application_name)?);
        let session = session(&api).await?;
        let table = Arc::new(SnowflakeTable::new(Arc::clone(&api), schema));
        let state = Arc::new(PackedState::in_table(Arc::clone(&table) as Arc<dyn ObjectTable>));
        Ok(Self { api, state, table, session })
    }

    async fn described(&self, model: &ModelPlan, filter: Option<&str>) -> Result<Vec<RowType>, Failure> {
        let composed = Composed::describe(model, Lexis::Snowflake, filter)?;
        let described = async { self.api.start(Statement::model(composed.sql.clone())).await?.result().await };
        let result = described.await.map_err(|failed| match failed {
            Failed::Sql(error) => errors::query(&error, &model.name, &composed, &self.api.plan),
            Failed::Other(failure) => failure,
        })?;
        let names = result.columns.iter().map(|column| column.name.as_str());
        model::check_columns(model, names, "Snowflake folds names without double quotes to upper case")?;
        Ok(result.columns)
    }
}

/// Connects: proves the user, and that there are a role, a warehouse and a database.
async fn session(api: &Api) -> Result<Session, Failure> {
    let plan = &api.plan;
    let rows = api.rows(&Statement::own(SESSION, &[])).await.map_err(|failed| match failed {
        Failed::Sql(error) => errors::state(&error, &quote(&plan.database), plan),
        Failed::Other(failure) => failure,
    })?;
    let Some([Some(version), role, warehouse, database]) = rows.first().map(Vec::as_slice) else {
        let message = format!("Snowflake account \"{}\" did not say what it is; please report it", plan.account);
        return Err(Failure::new(Code::Internal, message));
    };
    let Some(role) = role else {
        let message = format!("user {} has no default role; set snowflake.role", quote(&plan.user));
        return Err(Failure::new(Code::PermissionDenied, message));
    };
    let missing = |kind: &str, name: &str, code| {
        let (name, role) = (quote(name), quote(role));
        let message = format!(
            "{kind} {name} does not exist, or role {role} may not use it; check snowflake.{kind} (without double quotes it is folded to upper \
             case), and run: GRANT USAGE ON {} {name} TO ROLE {role}",
            kind.to_uppercase()
        );
        Err(Failure::new(code, message))
    };
    if warehouse.is_none() {
        return missing("warehouse", &plan.warehouse, Code::PermissionDenied);
    }
    if database.is_none() {
        return missing("database", &plan.database, Code::DatabaseNotFound);
    }
    Ok(Session { version: version.clone(), role: role.clone() })
}

#[async_trait]
impl Warehouse for SnowflakeWarehouse {
    async fn server(&self) -> Result<String, Failure> {
        Ok(format!("Snowflake {}", self.session.version))
    }

    async fn check(&self) -> Result<String, Failure> {
        self.table.check(&self.session.role).await?;
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
                return Err(model::unknown_column(
                    &query.model,
                    name,
                    described.iter().map(|column| column.name.as_str()),
                ));
            };
            let reading = reading(column).ok_or_else(|| {
                let (model, kind) = (&query.model.name, types::name(column));
                let message = format!("model \"{model}\": column \"{name}\" has the type {kind}, which is not read; cast it to text in the SQL");
                Failure::new(Code::SqlError, message)
            })?;
            expressions.push(reading.expression);
            wires.push(reading.wire);
        }
        let composed =
            Composed::read(&query.model, Lexis::Snowflake, &expressions, query.filter.as_deref(), query.limit)?;
        let started = self.api.start(Statement::model(composed.sql.clone())).await;
        let running = started.map_err(|failed| match failed {
            Failed::Sql(error) => errors::query(&error, &query.model.name, &composed, &self.api.plan),
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
