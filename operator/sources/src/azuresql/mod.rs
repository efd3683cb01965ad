//! Azure SQL Database, dedicated SQL pools of Synapse, warehouses of Fabric and SQL Server, by their own protocol (TDS 7.4).
//!
//! [`wire`] has its frames, [`wrapped`] TLS inside of them, [`login`] how a connection begins, [`tokens`] what answers are made of, [`client`] a
//! connection; [`connect`] makes sessions, and [`entra`] the tokens of those who have no password. A model is read by one SELECT.

mod client;
mod connect;
mod entra;
mod errors;
mod forms;
mod login;
mod objects;
mod product;
mod pushdown;
mod rows;
mod state;
#[cfg(test)]
mod tests;
mod tokens;
mod types;
mod values;
mod wire;
mod wrapped;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::cell::Column;
use backflow_core::code::{Code, Failure};
use backflow_core::extraction::Extraction;
use backflow_core::plan::{AzureSql, DiffEngine, ModelPlan};
use backflow_core::secret::Secrets;
use backflow_core::state::StateStore;
use tokio::sync::RwLock;

use self::client::{Answer, Error};
use self::connect::{Connector, Session};
pub(crate) use self::objects::literal;
use self::product::Kind;
use self::rows::Reader;
use self::state::AzureSqlTable;
pub(crate) use self::types::quote;
use crate::batch;
use crate::diff::Request;
use crate::model;
use crate::rest::compose::Composed;
use crate::sql::Lexis;
use crate::store::PackedState;
use crate::store::table::ObjectTable;
use crate::warehouse::{Query, Rows, Warehouse};

/// The longest that the columns of a model may be waited for: in a pool this queues as a read does.
const DESCRIBED: Duration = Duration::from_secs(10 * 60);
/// How a session reads one state of the database, and how it does usually.
const SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL SNAPSHOT";
const USUAL: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";
/// 1 where snapshots may be read.
const MAY_SNAPSHOT: &str = "SELECT snapshot_isolation_state FROM sys.databases WHERE name = DB_NAME()";

/// A database.
#[derive(Clone)]
pub(crate) struct AzureSqlWarehouse {
    connector: Arc<Connector>,
    state: Arc<PackedState>,
    table: Arc<AzureSqlTable>,
    server: String,
    /// How changes are found.
    diff: DiffEngine,
    /// Read-locked by every stream until its query has ended or is stopped.
    reading: Arc<RwLock<()>>,
}

impl AzureSqlWarehouse {
    pub(crate) async fn open(
        plan: &AzureSql,
        schema: &str,
        diff: DiffEngine,
        secrets: &dyn Secrets,
        application_name: &str,
    ) -> Result<Self, Failure> {
        let connector = Arc::new(Connector::new(plan, secrets, application_name)?);
        let session = connector.connect().await?;
        let product = session.product.clone();
        connector.give_back(session).await;
        let server = product.name.clone();
        let table = Arc::new(AzureSqlTable::new(Arc::clone(&connector), schema, product));
        let state = Arc::new(PackedState::in_table(Arc::clone(&table) as Arc<dyn ObjectTable>));
        Ok(Self { connector, state, table, server, diff, reading: Arc::default() })
    }

    async fn described(
        &self,
        session: &mut Session,
        model: &ModelPlan,
        filter: Option<&str>,
    ) -> Result<Vec<types::Column>, Failure> {
        let composed = Composed::describe(model, Lexis::TransactSql, filter)?;
        let user = session.product.user.clone();
        let failure = |error: Error| errors::query(&error, &model.name, &composed, &user, &self.connector);
        let answer = session.client.start(&composed.sql, DESCRIBED).await.map_err(failure)?;
        let Answer::Columns(columns) = answer else {
            let message = format!("model \"{}\": the SQL returns no rows; write one SELECT", model.name);
            return Err(Failure::new(Code::SqlError, message));
        };
        while session.client.row(DESCRIBED).await.map_err(failure)?.is_some() {}
        let names = columns.iter().map(|column| column.name.as_str());
        model::check_columns(model, names, "here names are compared letter by letter")?;
        Ok(columns)
    }

    /// Whether a model can be read in a snapshot. A warehouse of Fabric always is; a dedicated pool never.
    async fn may_snapshot(&self, session: &mut Session) -> Result<bool, Failure> {
        if session.product.kind != Kind::Server {
            return Ok(false);
        }
        let rows = session.client.rows(MAY_SNAPSHOT).await.map_err(|error| errors::connect(&error, &self.connector))?;
        Ok(rows.into_iter().flatten().flatten().any(|state| state == "1"))
    }
}

#[async_trait]
impl Warehouse for AzureSqlWarehouse {
    async fn server(&self) -> Result<String, Failure> {
        Ok(self.server.clone())
    }

    async fn check(&self) -> Result<String, Failure> {
        let pushdown = self.diff == DiffEngine::Pushdown;
        if pushdown {
            self.may_compare()?;
        }
        self.table.check(pushdown).await?;
        self.server().await
    }

    async fn describe(&self, model: &ModelPlan) -> Result<Vec<Column>, Failure> {
        let mut session = self.connector.take().await?;
        let columns = self.described(&mut session, model, None).await?;
        self.connector.give_back(session).await;
        Ok(columns.into_iter().map(|column| Column { kind: types::name(&column.kind), name: column.name }).collect())
    }

    async fn rows(&self, query: Query) -> Result<Rows, Failure> {
        let mut session = self.connector.take().await?;
        let described = self.described(&mut session, &query.model, query.filter.as_deref()).await?;
        let mut expressions = Vec::new();
        for name in &query.columns {
            let Some(column) = described.iter().find(|column| &column.name == name) else {
                let names = described.iter().map(|column| column.name.as_str());
                return Err(model::unknown_column(&query.model, name, names));
            };
            expressions.push(values::reading(column).ok_or_else(|| values::unread(&query.model.name, column))?);
        }
        let composed =
            Composed::read(&query.model, Lexis::TransactSql, &expressions, query.filter.as_deref(), query.limit)?;
        let snapshot = self.may_snapshot(&mut session).await?;
        let reader = Reader {
            guard: Arc::clone(&self.reading).read_owned().await,
            connector: Arc::clone(&self.connector),
            session,
            snapshot,
            model: query.model.name,
            columns: query.columns,
            composed,
        };
        Ok(batch::read(reader))
    }

    async fn idle(&self) {
        drop(self.reading.write().await);
    }

    fn state(&self) -> Arc<dyn StateStore> {
        Arc::clone(&self.state) as Arc<dyn StateStore>
    }

    async fn pushdown(&self, request: Request<'_>) -> Result<Box<dyn Extraction>, Failure> {
        self.may_compare()?;
        crate::diff::pushdown::open(self.clone(), self.state(), request).await
    }
}
