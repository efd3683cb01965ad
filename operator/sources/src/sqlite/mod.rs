//! SQLite files, for local runs.

mod cells;
mod errors;
mod rows;
mod state;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::cell::Column;
use backflow_core::code::{Code, Failure};
use backflow_core::plan::{ModelPlan, ModelQuery, Sqlite};
use backflow_core::state::StateStore;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Column as _, ConnectOptions, Connection, Executor, Row, SqlSafeStr, Statement};

use self::cells::Declared;
use self::rows::Reader;
use self::state::SqliteState;
use crate::batch;
use crate::model;
use crate::sql::{Lexis, Subject, check_expression, check_statement, quote, table};
use crate::warehouse::{Query, Rows, Warehouse};

/// How long a lock of another process, or of our own reader, is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// A SQLite file.
pub(crate) struct SqliteWarehouse {
    path: String,
    state: Arc<SqliteState>,
}

impl SqliteWarehouse {
    pub(crate) async fn open(plan: &Sqlite, prefix: &str) -> Result<Self, Failure> {
        if !Path::new(&plan.path).is_file() {
            return Err(Failure::new(
                Code::DatabaseNotFound,
                format!("the SQLite file {} does not exist; check sqlite.path", plan.path),
            ));
        }
        let mut connection = connect(&plan.path, true).await?;
        // Opening reads nothing: the first statement shows whether it is a database.
        let probe = sqlx::query("SELECT count(*) FROM sqlite_schema").execute(&mut connection).await;
        probe.map_err(|error| errors::file(&error, &plan.path))?;
        let state = Arc::new(SqliteState::new(plan.path.clone(), prefix));
        Ok(Self { path: plan.path.clone(), state })
    }

    /// The model in parentheses, checked: the one guard against a second statement, beside a connection that cannot write.
    fn relation(model: &ModelPlan) -> Result<String, Failure> {
        let name = format!("model \"{}\"", model.name);
        Ok(match &model.query {
            ModelQuery::Sql(sql) => {
                check_statement(sql, Lexis::Sqlite, Subject(&name))?;
                format!("(\n{sql}\n)")
            }
            ModelQuery::Table(text) => format!("(SELECT * FROM {})", table(text, Lexis::Sqlite, Subject(&name))?),
        })
    }

    async fn described(&self, connection: &mut SqliteConnection, model: &ModelPlan) -> Result<Vec<Column>, Failure> {
        let relation = Self::relation(model)?;
        let failure = |error: sqlx::Error| errors::query(&error, &model.name, &self.path);
        // The model itself and not its wrapping, in which SQLite would rename a second column of one name.
        let bare = relation[1..relation.len() - 1].to_owned();
        let statement = connection.prepare(AssertSqlSafe(bare).into_sql_str()).await.map_err(failure)?;
        let names: Vec<String> = statement.columns().iter().map(|column| column.name().to_owned()).collect();
        drop(statement);
        model::check_columns(model, names.iter().map(String::as_str), "names are compared letter by letter")?;
        // A temporary view tells the declared types, also those that the driver has no name for.
        let view = format!("CREATE TEMP VIEW _backflow_model AS SELECT * FROM {relation} AS _m");
        sqlx::query(AssertSqlSafe(view)).execute(&mut *connection).await.map_err(failure)?;
        let types = sqlx::query("SELECT name, type FROM pragma_table_info('_backflow_model')")
            .fetch_all(&mut *connection)
            .await
            .map_err(failure)?;
        sqlx::query("DROP VIEW temp._backflow_model").execute(connection).await.map_err(failure)?;
        names
            .into_iter()
            .enumerate()
            .map(|(at, name)| {
                let kind: String =
                    types.get(at).map_or(Ok(String::new()), |row| row.try_get("type")).map_err(failure)?;
                Ok(Column { name, kind: kind.to_lowercase() })
            })
            .collect()
    }
}

#[async_trait]
impl Warehouse for SqliteWarehouse {
    async fn server(&self) -> Result<String, Failure> {
        let mut connection = connect(&self.path, true).await?;
        let version: String = sqlx::query_scalar("SELECT sqlite_version()")
            .fetch_one(&mut connection)
            .await
            .map_err(|error| errors::file(&error, &self.path))?;
        Ok(format!("SQLite {version}"))
    }

    async fn check(&self) -> Result<String, Failure> {
        let server = self.server().await?;
        self.state.probe().await?;
        Ok(server)
    }

    async fn describe(&self, model: &ModelPlan) -> Result<Vec<Column>, Failure> {
        let mut connection = connect(&self.path, true).await?;
        self.described(&mut connection, model).await
    }

    async fn rows(&self, query: Query) -> Result<Rows, Failure> {
        if let Some(filter) = &query.filter {
            check_expression(filter, Lexis::Sqlite, Subject("where"))?;
        }
        let mut connection = connect(&self.path, true).await?;
        let described = self.described(&mut connection, &query.model).await?;
        let mut kinds = Vec::with_capacity(query.columns.len());
        for name in &query.columns {
            let column = described
                .iter()
                .find(|column| &column.name == name)
                .ok_or_else(|| model::unknown_column(&query.model, name, described.iter().map(|c| c.name.as_str())))?;
            kinds.push(Declared::of(&column.kind));
        }
        let columns: Vec<String> = query.columns.iter().map(|name| format!("_m.{}", quote(name))).collect();
        let mut sql = format!("SELECT {} FROM {} AS _m", columns.join(", "), Self::relation(&query.model)?);
        if let Some(filter) = &query.filter {
            sql.push_str(&format!(" WHERE (\n{filter}\n)"));
        }
        if let Some(limit) = query.limit {
            sql.push_str(&format!(" LIMIT {limit}"));
        }
        // Prepared before the stream starts, so that a wrong filter is an error of this call.
        let prepared = connection.prepare(AssertSqlSafe(sql.clone()).into_sql_str()).await.map(drop);
        prepared.map_err(|error| errors::query(&error, &query.model.name, &self.path))?;
        let (model, path) = (query.model.name, self.path.clone());
        Ok(batch::read(Reader { connection, sql, kinds, model, path, stop: Arc::default() }))
    }

    fn state(&self) -> Arc<dyn StateStore> {
        Arc::clone(&self.state) as Arc<dyn StateStore>
    }
}

/// Opens the file, which exists.
async fn connect(path: &str, read_only: bool) -> Result<SqliteConnection, Failure> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(read_only)
        .create_if_missing(false)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(if read_only { 0 } else { 32 })
        // Rows are batched by our own reader; this many wait in the driver.
        .row_buffer_size(64)
        .disable_statement_logging();
    SqliteConnection::connect_with(&options).await.map_err(|error| errors::file(&error, path))
}
