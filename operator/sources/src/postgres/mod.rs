//! Postgres.

mod compose;
mod connect;
mod decode;
mod errors;
mod instant;
mod rows;
mod schema;
mod state;
mod types;

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::cell::Column;
use backflow_core::code::Failure;
use backflow_core::plan::{ModelPlan, Postgres};
use backflow_core::secret::Secrets;
use backflow_core::state::StateStore;
use futures::StreamExt;
use sqlx::postgres::PgTypeInfo;
use sqlx::{AssertSqlSafe, Column as _, PgConnection, Row};

use self::compose::Composed;
use self::connect::{Connector, Purpose, begin, end};
use self::rows::Reader;
use self::state::PostgresState;
use crate::model;
use crate::warehouse::{Query, Rows, Warehouse};

/// A Postgres database.
pub(crate) struct PostgresWarehouse {
    connector: Arc<Connector>,
    state: Arc<PostgresState>,
}

/// A described column with its full type.
struct Described {
    column: Column,
    info: PgTypeInfo,
}

impl PostgresWarehouse {
    pub(crate) async fn open(
        plan: &Postgres,
        schema: &str,
        secrets: &dyn Secrets,
        application_name: &str,
    ) -> Result<Self, Failure> {
        let connector = Arc::new(Connector::new(plan, secrets, application_name)?);
        let connection = connector.connect().await?;
        connector.give_back(connection).await;
        let state = Arc::new(PostgresState { connector: Arc::clone(&connector), schema: schema.to_owned() });
        Ok(Self { connector, state })
    }

    /// Describes in the transaction that the caller began.
    async fn described(&self, connection: &mut PgConnection, model: &ModelPlan) -> Result<Vec<Described>, Failure> {
        let composed = Composed::describe(&compose::relation(model)?);
        // By the extended protocol, which refuses a second statement whatever its quotes look like.
        let row = sqlx::query(AssertSqlSafe(composed.sql.clone()))
            .persistent(false)
            .fetch_one(connection)
            .await
            .map_err(|error| errors::query(&error, &model.name, &composed, &self.connector.target))?;
        let described: Vec<Described> = row
            .columns()
            .iter()
            .map(|column| Described {
                column: Column { name: column.name().to_owned(), kind: types::display_name(column.type_info()) },
                info: column.type_info().clone(),
            })
            .collect();
        let names = described.iter().map(|described| described.column.name.as_str());
        model::check_columns(model, names, "Postgres folds names without double quotes to lower case")?;
        Ok(described)
    }

    async fn begin(&self, connection: &mut PgConnection) -> Result<(), Failure> {
        begin(connection, Purpose::Read)
            .await
            .map_err(|error| errors::state(&error, &self.state.schema, &self.connector.target))
    }
}

#[async_trait]
impl Warehouse for PostgresWarehouse {
    async fn server(&self) -> Result<String, Failure> {
        let mut connection = self.connector.take().await?;
        let version: String = sqlx::query_scalar("SELECT current_setting('server_version')")
            .persistent(false)
            .fetch_one(&mut connection)
            .await
            .map_err(|error| errors::state(&error, &self.state.schema, &self.connector.target))?;
        self.connector.give_back(connection).await;
        // Packagers append their own name: `15.18 (Debian 15.18-0+deb12u1)`.
        Ok(format!("PostgreSQL {}", version.split(' ').next().unwrap_or_default()))
    }

    async fn check(&self) -> Result<String, Failure> {
        let server = self.server().await?;
        schema::probe(&self.state).await?;
        Ok(server)
    }

    async fn describe(&self, model: &ModelPlan) -> Result<Vec<Column>, Failure> {
        let mut connection = self.connector.take().await?;
        self.begin(&mut connection).await?;
        let described = self.described(&mut connection, model).await?;
        if end(&mut connection, "ROLLBACK").await.is_ok() {
            self.connector.give_back(connection).await;
        }
        Ok(described.into_iter().map(|described| described.column).collect())
    }

    async fn rows(&self, query: Query) -> Result<Rows, Failure> {
        compose::check_filter(query.filter.as_deref())?;
        let mut connection = self.connector.take().await?;
        self.begin(&mut connection).await?;
        let described = self.described(&mut connection, &query.model).await?;
        let relation = compose::relation(&query.model)?;
        let query_failure = |error: sqlx::Error, composed: &Composed| {
            errors::query(&error, &query.model.name, composed, &self.connector.target)
        };
        if let Some(filter) = &query.filter {
            let probe = Composed::probe_filter(&relation, filter);
            sqlx::query(AssertSqlSafe(probe.sql.clone()))
                .persistent(false)
                .execute(&mut connection)
                .await
                .map_err(|error| query_failure(error, &probe))?;
        }
        let mut expressions = Vec::with_capacity(query.columns.len());
        let mut wires = Vec::with_capacity(query.columns.len());
        for name in &query.columns {
            let column = described.iter().find(|described| &described.column.name == name).ok_or_else(|| {
                model::unknown_column(&query.model, name, described.iter().map(|d| d.column.name.as_str()))
            })?;
            let reading = types::reading(name, &column.info);
            expressions.push(reading.expression);
            wires.push(reading.wire);
        }
        let composed = Composed::copy(&relation, &expressions, query.filter.as_deref(), query.limit);
        let backend = sqlx::query_scalar("SELECT pg_backend_pid()")
            .persistent(false)
            .fetch_one(&mut connection)
            .await
            .map_err(|error| query_failure(error, &composed))?;
        let reader = Reader {
            connector: Arc::clone(&self.connector),
            connection,
            backend,
            model: query.model.name,
            columns: query.columns,
            wires,
            composed,
        };
        Ok(reader.start().boxed())
    }

    fn state(&self) -> Arc<dyn StateStore> {
        Arc::clone(&self.state) as Arc<dyn StateStore>
    }
}
