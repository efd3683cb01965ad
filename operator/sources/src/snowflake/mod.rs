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
mod pushdown;
mod rows;
mod state;
#[cfg(test)]
mod tests;
mod typed;
mod types;

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::cell::Column;
use backflow_core::code::{Code, Failure};
use backflow_core::extraction::Extraction;
use backflow_core::plan::{DiffEngine, ModelPlan, Snowflake};
use backflow_core::secret::Secrets;
use backflow_core::state::StateStore;

use self::api::{Api, Statement};
use self::state::SnowflakeTable;
use crate::diff::{self, Request};
use crate::rest::read;
use crate::sql::quote;
use crate::store::PackedState;
use crate::store::table::ObjectTable;
use crate::warehouse::{Query, Rows, Warehouse};

/// Asks for nothing that a virtual warehouse would have to run for.
const SESSION: &str = "SELECT CURRENT_VERSION(), CURRENT_ROLE(), CURRENT_WAREHOUSE(), CURRENT_DATABASE()";

/// A Snowflake account.
#[derive(Clone)]
pub(crate) struct SnowflakeWarehouse {
    api: Arc<Api>,
    state: Arc<PackedState>,
    table: Arc<SnowflakeTable>,
    /// Of the server, and the role that the session has.
    session: Session,
    diff: DiffEngine,
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
        diff: DiffEngine,
        secrets: &dyn Secrets,
        application_name: &str,
    ) -> Result<Self, Failure> {
        let api = Arc::new(Api::new(plan, secrets, application_name)?);
        let session = session(&api).await?;
        let table = Arc::new(SnowflakeTable::new(Arc::clone(&api), schema));
        let state = Arc::new(PackedState::in_table(Arc::clone(&table) as Arc<dyn ObjectTable>));
        Ok(Self { api, state, table, session, diff })
    }
}

/// Connects: proves the user, and that there are a role, a warehouse and a database.
async fn session(api: &Api) -> Result<Session, Failure> {
    let plan = &api.plan;
    let rows = api.rows(&Statement::own(SESSION, &[])).await;
    let rows = rows.map_err(|failed| failed.or_tell(|error| errors::state(error, &quote(&plan.database), plan)))?;
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
        self.table.check(&self.session.role, self.diff == DiffEngine::Pushdown).await?;
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
        diff::pushdown::open(self.clone(), self.state(), request).await
    }
}
