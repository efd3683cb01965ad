//! Postgres: rows into a table, a part of a batch by one statement in a transaction of its own.
//!
//! A lost connection leaves the part undone unless the answer to its COMMIT was lost; then the same rows are written again, which does
//! no harm where rows are found by a key. Where they are appended they are not, unless a column takes the key of each delivery.

mod account;
mod batch;
mod errors;
mod statement;
mod table;
mod values;
mod wanted;

use std::collections::HashSet;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::plan::MappingPlan;
use backflow_core::record::{Outcome, Record, Rejection};
use backflow_core::sink::BatchLimits;
use backflow_definitions::{DeliveryPromise, complete};
use backflow_expressions::Json;
use backflow_postgres::{Connector, Purpose, begin, end, quote, run};
use sqlx::postgres::PgArguments;
use sqlx::{Arguments as _, AssertSqlSafe, PgConnection, Row as _};

use account::Account;
pub(super) use account::check;
use batch::Batch;
use errors::Means;
use statement::{Verb, statement};
use table::Table;
use wanted::Wanted;

use super::Given;
use crate::action::Rates;
use crate::delivery::{Backoff, Line, Prepared, Reply, Settings, Transport, Trouble};
use crate::pace::Concurrency;
use crate::results::{Fault, Verdict};

/// How long a statement may take, its answer included: longer than the server allows it to.
const STATEMENT: Duration = Duration::from_secs(90);
/// How long a question about the table may take.
const QUESTION: Duration = Duration::from_secs(30);

/// A table of a database, for one run.
pub(super) struct Postgres {
    connector: Connector,
    wanted: Wanted,
    table: OnceLock<Table>,
    /// Rows that may have arrived are not sent again.
    once: bool,
    /// What a statement takes of the Destination's own rate, if it has one.
    spend: Vec<(usize, u64)>,
}

/// The transport of a run, and how it is spoken to. Connects to nothing.
pub(super) fn open(given: Given<'_>, mapping: &MappingPlan) -> Result<(Postgres, Settings), Failure> {
    let Given { definition, destination, .. } = given;
    let invalid = |message: String| Failure::new(Code::PlanInvalid, message);
    let action = definition.action(&mapping.action).map_err(|finding| invalid(finding.message))?;
    let settings = complete(&definition.settings, &destination.settings);
    if let Some(finding) = action.check_config(&mapping.config, &settings).into_iter().next() {
        return Err(invalid(finding.message));
    }
    let schema = match settings.get("schema") {
        Some(Json::Text(schema)) => schema.as_str(),
        _ => "public",
    };
    let wanted = Wanted::new(action, mapping, schema);
    let concurrency = destination.limits.concurrency.unwrap_or(definition.concurrency()).max(1) as usize;
    let rates = Rates::new(&[], destination.limits.requests_per_second);
    let settings = Settings {
        limits: BatchLimits {
            max_records: action.batch.max_records.max(1) as usize,
            max_bytes: usize::try_from(action.batch.max_bytes).unwrap_or(usize::MAX),
            concurrency,
        },
        concurrency: Concurrency { max: concurrency, initial: concurrency, adaptive: false },
        rates: rates.gate(),
        usage: None,
        retry: mapping.retry,
        backoff: Backoff::default(),
    };
    let once = action.delivery == DeliveryPromise::AtMostOnce && wanted.key_columns().is_empty();
    let transport = Postgres {
        connector: account::connector(given, concurrency)?,
        wanted,
        table: OnceLock::new(),
        once,
        spend: rates.of(None, "", &[]).into_iter().map(|(rate, _)| (rate, 1)).collect(),
    };
    Ok((transport, settings))
}

/// What a statement did.
enum Written {
    /// All rows are as they should be.
    All,
    /// Those at these places of the part, from 1; the others have no row to change.
    These(HashSet<i64>),
}

/// Why a part was not written.
enum Unwritten {
    /// The statement failed: nothing was written.
    Failed(sqlx::Error),
    /// Nothing was said to it in time: nothing was written.
    Silent,
    /// The answer to COMMIT was lost.
    Perhaps(Failure),
}

impl Postgres {
    async fn look(&self, connection: &mut PgConnection) -> Result<String, Trouble> {
        let account = Account::ask(connection, &self.connector).await?;
        account.writable(&self.connector).map_err(Trouble::fatal)?;
        let failed = |error: sqlx::Error| errors::trouble(&error, &self.connector);
        begin(connection, Purpose::Read).await.map_err(failed)?;
        run(connection, "SET LOCAL search_path = pg_catalog".to_owned()).await.map_err(failed)?;
        let Wanted { schema, table, .. } = &self.wanted;
        let found = table::look_up(connection, schema, table).await.map_err(failed)?;
        let Some(found) = found else {
            let others = table::others(connection, schema, table).await.map_err(failed)?;
            let message = format!(
                "database \"{}\" has no table {}.{}; create it, or correct config.table {others}",
                self.connector.target.database,
                quote(schema),
                quote(table)
            );
            return Err(Trouble::fatal(Failure::new(Code::DestinationMisconfigured, message)));
        };
        end(connection, "ROLLBACK").await.map_err(failed)?;
        // Of several that look, the first is right.
        let _ = self.table.set(found);
        Ok(account.identity)
    }

    /// Writes a part.
    async fn write(
        &self,
        connection: &mut PgConnection,
        batch: &Batch,
        part: &[u32],
        sql: &str,
    ) -> Result<Written, Unwritten> {
        let columns = batch.shape(part).map_or(0, |shape| shape.columns.len());
        let stated = async {
            begin(connection, Purpose::Deliver).await?;
            let mut arguments = PgArguments::default();
            for at in 0..columns {
                arguments.add(batch.column(part, at)).map_err(sqlx::Error::Encode)?;
            }
            let query = sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(false);
            if !sql.ends_with(statement::PLACES) {
                return query.execute(&mut *connection).await.map(|_| Written::All);
            }
            let rows = query.fetch_all(&mut *connection).await?;
            rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map(Written::These)
        };
        let written = match tokio::time::timeout(STATEMENT, stated).await {
            Ok(Ok(written)) => written,
            Ok(Err(error)) => return Err(Unwritten::Failed(error)),
            Err(_) => return Err(Unwritten::Silent),
        };
        match tokio::time::timeout(STATEMENT, end(connection, "COMMIT")).await {
            Ok(Ok(())) => Ok(written),
            // A constraint that is looked at last, or a standby that must have it first: the server says that it is undone.
            Ok(Err(error)) if backflow_postgres::database(&error).is_some_and(|error| !is_ended(error.code())) => {
                Err(Unwritten::Failed(error))
            }
            Ok(Err(error)) => {
                Err(Unwritten::Perhaps(errors::renamed(backflow_postgres::broken(&error, &self.connector.target))))
            }
            Err(_) => Err(Unwritten::Perhaps(errors::silent(&self.connector, STATEMENT))),
        }
    }

    /// What became of a part that the server would not write. The connection is outside of any transaction.
    async fn refused(
        &self,
        connection: &mut PgConnection,
        batch: &Batch,
        part: &[u32],
        table: &Table,
        error: &sqlx::Error,
    ) -> Reply {
        match errors::means(error, table, &self.connector.target) {
            Means::Again(why) => Reply::Again { why, wait: None, throttled: false },
            Means::Stop(failure) => Reply::Stop(failure),
            // Halves tell which row it is.
            Means::Refused if part.len() > 1 => Reply::Refused { status: 0, fault: Fault::default() },
            Means::Refused => {
                let column =
                    if errors::is_value(error) { self.blamed(connection, batch, part, table).await } else { None };
                let outcome = Outcome::Rejected(errors::rejection(error, table, column));
                Reply::Verdicts { verdicts: vec![Verdict::Settled(outcome)], ambiguous: false, stop: None }
            }
        }
    }

    /// The column whose type does not read its value: each value alone, until one fails.
    async fn blamed<'t>(
        &self,
        connection: &mut PgConnection,
        batch: &Batch,
        part: &[u32],
        table: &'t Table,
    ) -> Option<&'t str> {
        let shape = batch.shape(part)?;
        let tried = async {
            begin(connection, Purpose::Deliver).await.ok()?;
            for (at, place) in shape.columns.iter().enumerate() {
                let column = table.columns.get(*place)?;
                let Some(Some(value)) = batch.column(part, at).first().copied() else { continue };
                if column.kind.is_sure() {
                    continue;
                }
                let cast = format!("SELECT CAST($1::text AS {}) IS NULL", column.type_name);
                let cast = sqlx::query(AssertSqlSafe(cast)).bind(value).persistent(false);
                if cast.execute(&mut *connection).await.is_err() {
                    return Some(column.name.as_str());
                }
            }
            None
        };
        let found = tokio::time::timeout(QUESTION, tried).await.ok().flatten();
        let _ = tokio::time::timeout(QUESTION, end(connection, "ROLLBACK")).await;
        found
    }
}

#[async_trait]
impl Transport for Postgres {
    type Batch = Batch;

    async fn open(&self, line: &Line<'_>) -> Result<Option<String>, Trouble> {
        let _permit = line.enter(&[], 0).await.map_err(Trouble::fatal)?;
        let mut connection = self.connector.take().await.map_err(errors::unconnected)?;
        let looked = tokio::time::timeout(QUESTION, self.look(&mut connection)).await;
        let account = looked.unwrap_or_else(|_| Err(Trouble::unsent(errors::silent(&self.connector, QUESTION))))?;
        self.connector.give_back(connection).await;
        Ok(Some(account))
    }

    fn fits(&self, fields: &[String]) -> Result<(), Failure> {
        match self.table.get() {
            Some(table) => self.wanted.held_to(table, fields, &self.connector.target.user),
            None => Ok(()),
        }
    }

    fn prepare(&self, records: &[Record]) -> Prepared<Batch> {
        match self.table.get() {
            Some(table) => batch::prepare(&self.wanted, table, records),
            // Nothing is acknowledged.
            None => Prepared {
                batch: Batch::default(),
                parts: Vec::new(),
                settled: Vec::new(),
                followers: Vec::new(),
                lanes: Vec::new(),
            },
        }
    }

    fn size(&self, batch: &Batch, part: &[u32]) -> usize {
        batch.size(part)
    }

    fn bisects(&self, _: &Batch, _: &[u32]) -> bool {
        true
    }

    fn repeats(&self) -> bool {
        !self.once
    }

    async fn attempt(&self, _: &[Record], batch: &Batch, part: &[u32], line: &Line<'_>) -> Reply {
        let (Some(table), Some(shape)) = (self.table.get(), batch.shape(part)) else {
            return Reply::Verdicts { verdicts: vec![Verdict::Unclear; part.len()], ambiguous: false, stop: None };
        };
        let permit = match line.enter(&self.spend, batch.size(part)).await {
            Ok(permit) => permit,
            Err(failure) => return Reply::Stop(failure),
        };
        let mut connection = match self.connector.take().await.map_err(errors::unconnected) {
            Ok(connection) => connection,
            Err(trouble) => return again(trouble),
        };
        let verb = Verb::of(shape.op, self.wanted.appends());
        let sql = statement(table, shape, self.wanted.key_columns().len(), verb);
        match self.write(&mut connection, batch, part, &sql).await {
            Ok(written) => {
                self.connector.give_back(connection).await;
                permit.succeeded();
                Reply::Verdicts { verdicts: verdicts(&written, part.len()), ambiguous: false, stop: None }
            }
            Err(Unwritten::Failed(error)) => {
                let rolled_back = tokio::time::timeout(QUESTION, end(&mut connection, "ROLLBACK")).await;
                let alive = matches!(rolled_back, Ok(Ok(())));
                let reply = self.refused(&mut connection, batch, part, table, &error).await;
                // A row that is refused says nothing against the server.
                if matches!(reply, Reply::Again { .. } | Reply::Stop(_)) {
                    permit.failed();
                }
                // A server that only reads is another one than it was: its name may lead to the right one by now.
                if alive && !matches!(reply, Reply::Again { .. }) {
                    self.connector.give_back(connection).await;
                }
                reply
            }
            Err(Unwritten::Silent) => {
                permit.failed();
                again(Trouble::unsent(errors::silent(&self.connector, STATEMENT)))
            }
            Err(Unwritten::Perhaps(_)) if self.once => {
                permit.failed();
                Reply::Unknown
            }
            Err(Unwritten::Perhaps(failure)) => {
                permit.failed();
                again(Trouble::perhaps_arrived(failure))
            }
        }
    }
}

fn again(trouble: Trouble) -> Reply {
    if trouble.fatal {
        return Reply::Stop(trouble.failure);
    }
    Reply::Again { why: trouble.failure, wait: None, throttled: false }
}

/// Whether the server ended the connection while it answered: what became of the transaction is not said.
fn is_ended(state: &str) -> bool {
    state.starts_with("57P") || state.starts_with("08") || state.starts_with("58")
}

fn verdicts(written: &Written, records: usize) -> Vec<Verdict> {
    let place = |at: usize| i64::try_from(at + 1).unwrap_or(i64::MAX);
    let of = |at: usize| match written {
        Written::These(places) if !places.contains(&place(at)) => Verdict::Settled(Outcome::Rejected(Rejection::new(
            "ROW_NOT_FOUND",
            None,
            "the table has no row with this key to change; sync mode Upsert would insert it",
        ))),
        _ => Verdict::Delivered { remote_id: None },
    };
    (0..records).map(of).collect()
}
