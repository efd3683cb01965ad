//! Postgres.

mod compose;
mod decode;
mod errors;
mod forms;
mod instant;
mod pushdown;
mod rows;
mod schema;
mod state;
mod types;

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::cell::Column;
use backflow_core::code::Failure;
use backflow_core::extraction::Extraction;
use backflow_core::plan::{DiffEngine, ModelPlan, Postgres};
use backflow_core::secret::Secrets;
use backflow_core::state::StateStore;
use backflow_postgres::{Connector, Purpose, Reach, Words, begin, end};
use sqlx::{AssertSqlSafe, Column as _, PgConnection, Row};
use tokio::sync::RwLock;

use self::compose::Composed;

use self::rows::Reader;
use self::state::PostgresState;
use self::types::Catalog;
use crate::batch;
use crate::claims::Claims;
use crate::diff::Request;
use crate::model;
use crate::warehouse::{Query, Rows, Warehouse};

/// A warehouse may be anywhere, and is read by one connection after the other.
const REACH: Reach = Reach {
    words: Words {
        product: "Postgres",
        kind: "Source",
        password: "password",
        tls_mode: "tls.mode",
        ca: "tls.ca",
        certificate: "tls.clientCertificate",
        key: "tls.clientKey",
    },
    forbidden: |_| false,
    idle: 1,
};

/// A Postgres database.
#[derive(Clone)]
pub(crate) struct PostgresWarehouse {
    connector: Arc<Connector>,
    state: Arc<PostgresState>,
    diff: DiffEngine,
    /// Read-locked by every stream until its query has ended or is cancelled.
    reading: Arc<RwLock<()>>,
}

/// The columns of a model, with the types that they are read by.
struct Described {
    columns: Vec<Column>,
    ids: Vec<u32>,
    catalog: Catalog,
}

impl PostgresWarehouse {
    pub(crate) async fn open(
        plan: &Postgres,
        schema: &str,
        diff: DiffEngine,
        secrets: &dyn Secrets,
        application_name: &str,
    ) -> Result<Self, Failure> {
        let connector = Arc::new(Connector::new(plan, secrets, application_name, REACH)?);
        let connection = connector.connect().await?;
        connector.give_back(connection).await;
        let state = Arc::new(PostgresState {
            connector: Arc::clone(&connector),
            schema: schema.to_owned(),
            claims: Claims::default(),
        });
        Ok(Self { connector, state, diff, reading: Arc::default() })
    }

    /// Describes in the transaction that the caller began.
    async fn described(
        &self,
        connection: &mut PgConnection,
        model: &ModelPlan,
        filter: Option<&str>,
    ) -> Result<Described, Failure> {
        let relation = compose::relation(model)?;
        let failure = |error: sqlx::Error, composed: &Composed| {
            errors::query(&error, &model.name, composed, &self.connector.target)
        };
        // First by the extended protocol, which refuses a second statement whatever its quotes look like.
        let probe = Composed::probe(&relation, filter);
        let probed = sqlx::query(AssertSqlSafe(probe.sql.clone())).persistent(false).execute(&mut *connection).await;
        probed.map_err(|error| failure(error, &probe))?;
        // Then by the simple one, which gives types as ids: the driver's own look-up does not know all of them.
        let composed = Composed::describe(&relation);
        let row = sqlx::raw_sql(AssertSqlSafe(composed.sql.clone()))
            .fetch_one(&mut *connection)
            .await
            .map_err(|error| failure(error, &composed))?;
        let names = row.columns().iter().map(|column| column.name());
        model::check_columns(model, names, "Postgres folds names without double quotes to lower case")?;
        let ids: Vec<u32> =
            row.columns().iter().map(|column| column.type_info().oid().map_or(0, |oid| oid.0)).collect();
        let catalog = Catalog::look_up(connection, &ids).await.map_err(|error| failure(error, &composed))?;
        let columns = row
            .columns()
            .iter()
            .zip(&ids)
            .map(|(column, &id)| Column { name: column.name().to_owned(), kind: catalog.name(id) })
            .collect();
        Ok(Described { columns, ids, catalog })
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
        if self.diff == DiffEngine::Pushdown {
            self.may_make_tables().await?;
        }
        Ok(server)
    }

    async fn describe(&self, model: &ModelPlan) -> Result<Vec<Column>, Failure> {
        let mut connection = self.connector.take().await?;
        self.begin(&mut connection).await?;
        let described = self.described(&mut connection, model, None).await?;
        if end(&mut connection, "ROLLBACK").await.is_ok() {
            self.connector.give_back(connection).await;
        }
        Ok(described.columns)
    }

    async fn rows(&self, query: Query) -> Result<Rows, Failure> {
        compose::check_filter(query.filter.as_deref())?;
        let mut connection = self.connector.take().await?;
        self.begin(&mut connection).await?;
        let described = self.described(&mut connection, &query.model, query.filter.as_deref()).await?;
        let relation = compose::relation(&query.model)?;
        let mut expressions = Vec::with_capacity(query.columns.len());
        let mut wires = Vec::with_capacity(query.columns.len());
        for name in &query.columns {
            let Some(at) = described.columns.iter().position(|column| &column.name == name) else {
                let names = described.columns.iter().map(|column| column.name.as_str());
                return Err(model::unknown_column(&query.model, name, names));
            };
            let reading = described.catalog.reading(name, described.ids[at]);
            expressions.push(reading.expression);
            wires.push(reading.wire);
        }
        let composed = Composed::copy(&relation, &expressions, query.filter.as_deref(), query.limit);
        let backend = sqlx::query_scalar("SELECT pg_backend_pid()")
            .persistent(false)
            .fetch_one(&mut connection)
            .await
            .map_err(|error| errors::query(&error, &query.model.name, &composed, &self.connector.target))?;
        Ok(batch::read(Reader {
            reading: Arc::clone(&self.reading).read_owned().await,
            connector: Arc::clone(&self.connector),
            connection,
            backend,
            model: query.model.name,
            columns: query.columns,
            wires,
            composed,
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
