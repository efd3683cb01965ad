//! MySQL and MariaDB, by their own protocol.
//!
//! [`wire`] has its frames, [`client`] a connection, [`auth`] what proves the user; [`connect`] makes sessions that do not depend on how the
//! server is set. A model is read by one SELECT in one snapshot.

mod auth;
mod client;
mod connect;
mod errors;
mod objects;
mod rows;
mod state;
#[cfg(test)]
mod tests;
mod types;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use backflow_core::cell::Column;
use backflow_core::code::{Code, Failure};
use backflow_core::plan::{ModelPlan, Server};
use backflow_core::secret::Secrets;
use backflow_core::state::StateStore;
use tokio::sync::RwLock;

use self::client::{Answer, Client, Definition, Error};
use self::connect::{Connector, LONGEST, begin, end};
use self::rows::Reader;
use self::state::MySqlTable;
use self::types::reading;
use crate::batch;
use crate::model;
use crate::rest::compose::Composed;
use crate::sql::Lexis;
use crate::store::PackedState;
use crate::store::table::ObjectTable;
use crate::warehouse::{Query, Rows, Warehouse};

/// A server of MySQL or MariaDB.
pub(crate) struct MySqlWarehouse {
    connector: Arc<Connector>,
    state: Arc<PackedState>,
    table: Arc<MySqlTable>,
    server: String,
    /// Read-locked by every stream until its query has ended or is killed.
    reading: Arc<RwLock<()>>,
}

impl MySqlWarehouse {
    pub(crate) async fn open(
        plan: &Server,
        schema: &str,
        secrets: &dyn Secrets,
        application_name: &str,
    ) -> Result<Self, Failure> {
        let connector = Arc::new(Connector::new(plan, secrets, application_name)?);
        let client = connector.connect().await?;
        let product = if client.greeting.is_maria() { "MariaDB" } else { "MySQL" };
        let server = format!("{product} {}", client.greeting.number());
        connector.give_back(client).await;
        let table = Arc::new(MySqlTable::new(Arc::clone(&connector), schema));
        let state = Arc::new(PackedState::in_table(Arc::clone(&table) as Arc<dyn ObjectTable>));
        Ok(Self { connector, state, table, server, reading: Arc::default() })
    }

    /// A connection in a snapshot.
    async fn snapshot(&self) -> Result<Client, Failure> {
        let mut client = self.connector.take().await?;
        begin(&mut client).await.map_err(|error| errors::connect(&error, &self.connector))?;
        Ok(client)
    }

    async fn described(
        &self,
        client: &mut Client,
        model: &ModelPlan,
        filter: Option<&str>,
    ) -> Result<Vec<Definition>, Failure> {
        let composed = Composed::describe(model, Lexis::MySql, filter)?;
        let failure = |error: Error| errors::query(&error, &model.name, &composed, &self.connector);
        let answer = client.start(composed.sql.as_bytes(), LONGEST).await.map_err(failure)?;
        let Answer::Columns(columns) = answer else {
            let message = format!("model \"{}\": the SQL returns no rows; write one SELECT", model.name);
            return Err(Failure::new(Code::SqlError, message));
        };
        while client.row(LONGEST).await.map_err(failure)?.is_some() {}
        let names = columns.iter().map(|column| column.name.as_str());
        model::check_columns(model, names, "here names are compared letter by letter")?;
        Ok(columns)
    }
}

#[async_trait]
impl Warehouse for MySqlWarehouse {
    async fn server(&self) -> Result<String, Failure> {
        Ok(self.server.clone())
    }

    async fn check(&self) -> Result<String, Failure> {
        self.table.check().await?;
        self.server().await
    }

    async fn describe(&self, model: &ModelPlan) -> Result<Vec<Column>, Failure> {
        let mut client = self.snapshot().await?;
        let columns = self.described(&mut client, model, None).await?;
        if end(&mut client).await.is_ok() {
            self.connector.give_back(client).await;
        }
        Ok(columns.into_iter().map(|column| Column { kind: types::name(&column), name: column.name }).collect())
    }

    async fn rows(&self, query: Query) -> Result<Rows, Failure> {
        let mut client = self.snapshot().await?;
        let described = self.described(&mut client, &query.model, query.filter.as_deref()).await?;
        let (mut expressions, mut wires) = (Vec::new(), Vec::new());
        for name in &query.columns {
            let Some(column) = described.iter().find(|column| &column.name == name) else {
                let names = described.iter().map(|column| column.name.as_str());
                return Err(model::unknown_column(&query.model, name, names));
            };
            let reading = reading(column).ok_or_else(|| {
                let (model, kind) = (&query.model.name, types::name(column));
                let message = format!(
                    "model \"{model}\": column \"{name}\" has the type {kind}, which is not read; cast it to CHAR in the SQL"
                );
                Failure::new(Code::SqlError, message)
            })?;
            expressions.push(reading.expression);
            wires.push(reading.wire);
        }
        let composed = Composed::read(&query.model, Lexis::MySql, &expressions, query.filter.as_deref(), query.limit)?;
        let reader = Reader {
            guard: Arc::clone(&self.reading).read_owned().await,
            connector: Arc::clone(&self.connector),
            client,
            model: query.model.name,
            columns: query.columns,
            wires,
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
}
