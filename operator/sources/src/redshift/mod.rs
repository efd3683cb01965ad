//! Amazon Redshift, by the wire protocol of Postgres and by that alone: not by its extended half, nor by COPY, neither of which is what
//! Postgres has. Every statement is text, every value arrives as text, and types are known by their ids.

mod api;
mod connect;
mod errors;
mod forms;
mod objects;
mod own;
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
use backflow_core::plan::{DiffEngine, ModelPlan, Redshift};
use backflow_core::secret::Secrets;
use backflow_core::state::StateStore;
use sqlx::postgres::PgColumn;
use sqlx::{AssertSqlSafe, Column as _, PgConnection, Row as _};
use tokio::sync::RwLock;

use self::connect::Sessions;
use self::rows::Reader;
use self::state::RedshiftTable;
use self::types::ResultColumn;
use crate::batch;
use crate::diff::Request;
use crate::model;
use crate::rest::compose::Composed;
use crate::rest::row::Described as _;
use crate::sql::Lexis;
use crate::store::PackedState;
use crate::store::table::ObjectTable;
use crate::warehouse::{Query, Rows, Warehouse};

/// A database of a Redshift cluster or workgroup.
#[derive(Clone)]
pub(crate) struct RedshiftWarehouse {
    sessions: Arc<Sessions>,
    state: Arc<PackedState>,
    table: Arc<RedshiftTable>,
    diff: DiffEngine,
    /// Read-locked by every stream until its query has ended or is cancelled.
    reading: Arc<RwLock<()>>,
}

impl RedshiftWarehouse {
    pub(crate) async fn open(
        plan: &Redshift,
        schema: &str,
        diff: DiffEngine,
        secrets: &dyn Secrets,
        application_name: &str,
    ) -> Result<Self, Failure> {
        let sessions = Arc::new(Sessions::new(plan, secrets, application_name)?);
        let (connector, connection) = sessions.take().await?;
        connector.give_back(connection).await;
        let table = Arc::new(RedshiftTable::new(Arc::clone(&sessions), schema));
        let state = Arc::new(PackedState::in_table(Arc::clone(&table) as Arc<dyn ObjectTable>));
        Ok(Self { sessions, state, table, diff, reading: Arc::default() })
    }

    /// The columns of a model.
    async fn described(
        &self,
        connection: &mut PgConnection,
        model: &ModelPlan,
        filter: Option<&str>,
    ) -> Result<Vec<ResultColumn>, Failure> {
        let composed = Composed::describe(model, Lexis::Redshift, filter)?;
        // The driver tells columns with a row only: there is one, of NULLs. On the first line, so that no line of the model's moves.
        let sql = format!("SELECT _d.* FROM (SELECT 1 AS _one) AS _o LEFT JOIN ({}) AS _d ON 1 = 1", composed.sql);
        let row = sqlx::raw_sql(AssertSqlSafe(sql.clone()))
            .fetch_one(connection)
            .await
            .map_err(|error| errors::query(&error, &model.name, &composed, &sql, &self.sessions))?;
        let names = row.columns().iter().map(|column| column.name());
        model::check_columns(model, names, "Redshift folds all names to lower case")?;
        let column = |column: &PgColumn| ResultColumn {
            name: column.name().to_owned(),
            id: column.type_info().oid().map_or(0, |oid| oid.0),
        };
        Ok(row.columns().iter().map(column).collect())
    }
}

#[async_trait]
impl Warehouse for RedshiftWarehouse {
    async fn server(&self) -> Result<String, Failure> {
        let (connector, mut connection) = self.sessions.take().await?;
        let rows = connect::texts(&mut connection, "SELECT version()")
            .await
            .map_err(|error| errors::own(&error, &self.sessions))?;
        connector.give_back(connection).await;
        // `PostgreSQL 8.0.2 on …, compiled by …, Redshift 1.0.75379`.
        let version = rows.into_iter().flatten().flatten().next().unwrap_or_default();
        match version.rsplit_once("Redshift ") {
            Some((_, version)) if version.bytes().all(|c| c.is_ascii_digit() || c == b'.') => {
                Ok(format!("Redshift {version}"))
            }
            _ => Err(errors::no_redshift(&self.sessions)),
        }
    }

    async fn check(&self) -> Result<String, Failure> {
        let server = self.server().await?;
        self.table.check().await?;
        if self.diff == DiffEngine::Pushdown {
            self.table.may_make_tables().await?;
        }
        Ok(server)
    }

    async fn describe(&self, model: &ModelPlan) -> Result<Vec<Column>, Failure> {
        let (connector, mut connection) = self.sessions.take_for_model().await?;
        let columns = self.described(&mut connection, model, None).await?;
        connector.give_back(connection).await;
        Ok(columns.into_iter().map(|column| Column { kind: column.kind(), name: column.name }).collect())
    }

    async fn rows(&self, query: Query) -> Result<Rows, Failure> {
        let (connector, mut connection) = self.sessions.take_for_model().await?;
        let described = self.described(&mut connection, &query.model, query.filter.as_deref()).await?;
        let (mut expressions, mut wires) = (Vec::new(), Vec::new());
        for name in &query.columns {
            let Some(column) = described.iter().find(|column| &column.name == name) else {
                let names = described.iter().map(|column| column.name.as_str());
                return Err(model::unknown_column(&query.model, name, names));
            };
            let reading = column.reading().ok_or_else(|| errors::unread(&query.model.name, column))?;
            expressions.push(reading.expression);
            wires.push(reading.wire);
        }
        let composed =
            Composed::read(&query.model, Lexis::Redshift, &expressions, query.filter.as_deref(), query.limit)?;
        let begun = connect::begin_read(&mut connection).await;
        let backend = begun.map_err(|error| errors::own(&error, &self.sessions))?;
        Ok(batch::read(Reader {
            reading: Arc::clone(&self.reading).read_owned().await,
            sessions: Arc::clone(&self.sessions),
            connector,
            connection,
            backend,
            model: query.model.name,
            columns: query.columns,
            wires,
            composed,
            running: false,
        }))
    }

    async fn idle(&self) {
        drop(self.reading.write().await);
    }

    fn state(&self) -> Arc<dyn StateStore> {
        Arc::clone(&self.state) as Arc<dyn StateStore>
    }

    async fn pushdown(&self, request: Request<'_>) -> Result<Box<dyn Extraction>, Failure> {
        crate::diff::pushdown::open(self.clone(), self.state(), request).await
    }
}
