//! The pushdown engine's way to a Postgres.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::cell::{Cell, Column};
use backflow_core::code::{Code, Failure};
use backflow_core::failpoint;
use backflow_core::state::Commit;
use backflow_postgres::{Purpose, begin, end, run};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::sync::oneshot;

use super::compose::{self, Composed};
use super::forms::{form, typed};
use super::rows::{cancel, copy_all};
use super::state::{PostgresState, Step};
use super::types::Wire;
use super::{PostgresWarehouse, errors};
use crate::diff::pushdown::dialect::Dialect as _;
use crate::diff::pushdown::dialects::postgres::Postgres;
use crate::diff::pushdown::statement::{Around, Bind, Statement};
use crate::diff::pushdown::transport::{Fence, Plain, Reading, Table, Transport};
use crate::diff::pushdown::typed::{KeyForm, Typed};
use crate::model;
use crate::sql::quote;
use crate::state_rows::fenced;

/// The last commit of a run may move as many entries as there are.
const LONG_STEP: Duration = Duration::from_secs(3600);

type Work<T> = BoxFuture<'static, Result<(PgConnection, Step<T>), Failure>>;

impl PostgresWarehouse {
    /// Runs `work` in a transaction that may take long, on a task of its own: when the future of this is dropped, the server cancels
    /// what it does.
    async fn long<T: Send + 'static>(
        &self,
        purpose: Purpose,
        work: impl FnOnce(PgConnection) -> Work<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let (schema, target) = (self.state.schema.clone(), self.connector.target.clone());
        let failure = move |error: sqlx::Error| errors::state(&error, &schema, &target);
        let mut connection = self.connector.take().await?;
        begin(&mut connection, purpose).await.map_err(&failure)?;
        let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .persistent(false)
            .fetch_one(&mut connection)
            .await
            .map_err(&failure)?;
        let reading = Arc::clone(&self.reading).read_owned().await;
        let connector = Arc::clone(&self.connector);
        let (mut sender, receiver) = oneshot::channel();
        tokio::spawn(async move {
            let ended = tokio::select! {
                // Dropping the work closes its connection in the middle of what it does.
                biased;
                () = sender.closed() => None,
                ended = work(connection) => Some(ended),
            };
            let result = match ended {
                None => {
                    cancel(&connector, backend).await;
                    return;
                }
                Some(Err(failure)) => Err(failure),
                Some(Ok((mut connection, step))) => {
                    let (how, result) = match step {
                        Step::Done(value) => ("COMMIT", Ok(value)),
                        Step::Refused(refusal) => ("ROLLBACK", Err(refusal)),
                    };
                    match end(&mut connection, how).await {
                        Ok(()) => {
                            connector.give_back(connection).await;
                            result
                        }
                        Err(error) => Err(failure(error)),
                    }
                }
            };
            let _ = sender.send(result);
            drop(reading);
        });
        receiver.await.unwrap_or_else(|_| {
            Err(Failure::new(
                Code::Internal,
                "a statement ended without an answer; this is an error of Backflow, please report it",
            ))
        })
    }
}

impl PostgresWarehouse {
    /// Refuses unless the role may make tables in the state schema, or will make the schema itself.
    pub(super) async fn may_make_tables(&self) -> Result<(), Failure> {
        self.state
            .transaction(true, |mut connection| async move {
                let may: bool = sqlx::query_scalar(
                    "SELECT coalesce(bool_and(has_schema_privilege(oid, 'CREATE')), true) FROM pg_catalog.pg_namespace WHERE nspname = $1",
                )
                .bind(&self.state.schema)
                .persistent(false)
                .fetch_one(&mut connection)
                .await?;
                let denied = || errors::state_denied(&quote(&self.state.schema), &self.connector.target.user);
                Ok((connection, if may { Step::Done(()) } else { Step::Refused(denied()) }))
            })
            .await
    }
}

/// Runs statements one after another.
async fn run_all(connection: &mut PgConnection, statements: &[String]) -> Result<(), sqlx::Error> {
    for statement in statements {
        run(connection, statement.clone()).await?;
    }
    Ok(())
}

/// Runs a statement with its values.
async fn execute(connection: &mut PgConnection, statement: &Statement) -> Result<(), sqlx::Error> {
    let mut query = sqlx::query(AssertSqlSafe(statement.sql.clone())).persistent(false);
    for bind in &statement.binds {
        query = match bind {
            Bind::Numbers(numbers) => query.bind(numbers),
            Bind::Texts(texts) => query.bind(texts),
        };
    }
    query.execute(connection).await.map(drop)
}

/// Refuses unless the claim is still ours, and keeps it so until the transaction ends.
async fn locked(
    state: &PostgresState,
    connection: &mut PgConnection,
    state_key: &str,
    claim: Option<u64>,
) -> Result<bool, sqlx::Error> {
    // A DryRun touches nothing that is anybody else's.
    let Some(epoch) = claim else { return Ok(true) };
    let Some(last) = state.claims.last(state_key, epoch) else { return Ok(false) };
    match state.lock(connection, state_key, &last).await {
        // In a snapshot, that the row has moved since is an error.
        Err(error) if error.as_database_error().and_then(|error| error.code()).as_deref() == Some("40001") => Ok(false),
        other => other,
    }
}

#[async_trait]
impl Transport for PostgresWarehouse {
    type Dialect = Postgres;
    type Wire = Wire;

    fn dialect(&self) -> &Postgres {
        &Postgres
    }

    fn table(&self, name: &str) -> String {
        Postgres.table(&quote(&self.state.schema), name)
    }

    fn wire(&self, plain: Plain) -> Wire {
        match plain {
            Plain::Int => Wire::Int8,
            Plain::Bool => Wire::Bool,
            Plain::Bytes => Wire::Bytea,
            Plain::Text => Wire::Text,
        }
    }

    fn key_form(&self, class: &str) -> Option<KeyForm<Wire>> {
        form(class)
    }

    async fn typed(&self, reading: Reading<'_>, columns: &[Column]) -> Result<Vec<Typed<Wire>>, Failure> {
        let Reading { model, filter } = reading;
        compose::check_filter(filter)?;
        let mut connection = self.connector.take().await?;
        self.begin(&mut connection).await?;
        let described = self.described(&mut connection, model, filter).await?;
        if end(&mut connection, "ROLLBACK").await.is_ok() {
            self.connector.give_back(connection).await;
        }
        let said = columns.iter().map(|column| {
            let at = described.columns.iter().position(|known| known.name == column.name);
            at.and_then(|at| typed(&described.catalog, &column.name, described.ids[at])).ok_or_else(|| {
                let names = described.columns.iter().map(|column| column.name.as_str());
                model::unknown_column(model, &column.name, names)
            })
        });
        said.collect()
    }

    async fn stored(&self, reading: Reading<'_>) -> Result<bool, Failure> {
        let Some(table) = compose::table_of(reading.model)?.filter(|_| reading.filter.is_none()) else {
            return Ok(false);
        };
        self.state
            .transaction(true, |mut connection| {
                let table = table.clone();
                async move {
                    // What a view or a foreign server takes to count its rows is not known.
                    let stored: Option<bool> = sqlx::query_scalar(
                        "SELECT relkind IN ('r', 'p', 'm') FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass($1)",
                    )
                    .bind(table)
                    .persistent(false)
                    .fetch_optional(&mut connection)
                    .await?;
                    Ok((connection, Step::Done(stored.unwrap_or_default())))
                }
            })
            .await
    }

    async fn tables(&self, state_key: &str) -> Result<Vec<Table>, Failure> {
        self.may_make_tables().await?;
        let found = self
            .state
            .transaction(true, |mut connection| async move {
                let found = self.state.own_tables(&mut connection, state_key).await?;
                Ok((connection, Step::Done(found)))
            })
            .await?;
        Ok(found)
    }

    async fn fenced(&self, fence: Fence<'_>, statements: Vec<Statement>) -> Result<(), Failure> {
        let (state, state_key, claim) = (Arc::clone(&self.state), fence.state_key.to_owned(), fence.claim);
        self.long(Purpose::Write, move |mut connection| {
            async move {
                let failure = |error: sqlx::Error| errors::state(&error, &state.schema, &state.connector.target);
                if !locked(&state, &mut connection, &state_key, claim).await.map_err(failure)? {
                    return Ok((connection, Step::Refused(fenced(&state_key))));
                }
                for statement in &statements {
                    execute(&mut connection, statement).await.map_err(failure)?;
                }
                Ok((connection, Step::Done(())))
            }
            .boxed()
        })
        .await
    }

    async fn make(
        &self,
        fence: Fence<'_>,
        reading: Reading<'_>,
        first: Vec<String>,
        around: Around,
        then: Vec<String>,
    ) -> Result<(), Failure> {
        let Reading { model, filter } = reading;
        compose::check_filter(filter)?;
        let composed = Composed::around(&compose::relation(model)?, filter, &around);
        let (state, state_key, claim) = (Arc::clone(&self.state), fence.state_key.to_owned(), fence.claim);
        let model = model.name.clone();
        self.long(Purpose::Compare, move |mut connection| {
            async move {
                let failure = |error: sqlx::Error| errors::state(&error, &state.schema, &state.connector.target);
                run_all(&mut connection, &first).await.map_err(failure)?;
                // By the extended protocol, which takes one statement.
                sqlx::query(AssertSqlSafe(composed.sql.clone()))
                    .persistent(false)
                    .execute(&mut connection)
                    .await
                    .map_err(|error| errors::query(&error, &model, &composed, &state.connector.target))?;
                run_all(&mut connection, &then).await.map_err(failure)?;
                // Not before: a claim would have to wait for it, and a pod that is replaced would hold it up.
                if !locked(&state, &mut connection, &state_key, claim).await.map_err(failure)? {
                    return Ok((connection, Step::Refused(fenced(&state_key))));
                }
                Ok((connection, Step::Done(())))
            }
            .boxed()
        })
        .await
    }

    async fn numbers(&self, state_key: &str, sql: String) -> Result<Vec<Vec<i64>>, Failure> {
        let (state, state_key) = (Arc::clone(&self.state), state_key.to_owned());
        self.long(Purpose::Compare, move |mut connection| {
            async move {
                let found: Result<Vec<Vec<i64>>, _> =
                    sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_all(&mut connection).await;
                found.map(|rows| (connection, Step::Done(rows))).map_err(|error| gone(&error, &state, &state_key))
            }
            .boxed()
        })
        .await
    }

    async fn page(&self, state_key: &str, sql: String, wires: &[Wire]) -> Result<Vec<Vec<Cell>>, Failure> {
        let sql = &format!("COPY ({sql}) TO STDOUT (FORMAT binary)");
        let rows = self
            .state
            .transaction(true, |mut connection| async move {
                match copy_all(&mut connection, sql, wires).await {
                    Err(error) if is_gone(&error) => Ok((connection, Step::Refused(fenced(state_key)))),
                    other => other.map(|rows| (connection, Step::Done(rows))),
                }
            })
            .await?;
        rows.map(|rows| rows.into_iter().collect()).ok_or_else(|| {
            Failure::new(
                Code::Internal,
                "a page of changes arrives in a form that this version does not read; please report it",
            )
        })
    }

    async fn commit(&self, commit: Commit<'_>, statements: &[Statement], again: bool) -> Result<(), Failure> {
        let commit = &commit;
        let last = self.state.claims.last(commit.state_key, commit.head.epoch);
        let last = &last.ok_or_else(|| fenced(commit.state_key))?;
        self.state
            .transaction_within(LONG_STEP, again, |mut connection| async move {
                if !self.state.move_head(&mut connection, commit, last).await? {
                    return Ok((connection, Step::Refused(fenced(commit.state_key))));
                }
                failpoint::hit("inside-commit");
                for statement in statements {
                    execute(&mut connection, statement).await?;
                    failpoint::hit("inside-apply");
                }
                Ok((connection, Step::Done(())))
            })
            .await?;
        self.state.claims.wrote(commit.state_key, commit.head);
        Ok(())
    }
}

fn is_gone(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).as_deref() == Some("42P01")
}

/// A later claim drops the delta of an earlier one.
fn gone(error: &sqlx::Error, state: &PostgresState, state_key: &str) -> Failure {
    if is_gone(error) { fenced(state_key) } else { errors::state(error, &state.schema, &state.connector.target) }
}
