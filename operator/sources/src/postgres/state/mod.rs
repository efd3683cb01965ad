//! State in tables of the warehouse.
//!
//! | table | holds |
//! |---|---|
//! | `meta` | `schema_version` of these tables |
//! | `mappings` | one row per state key: the head, with the fencing epoch |
//! | `partitions` | packed entries by generation and index |
//! | `journal` | segments that were committed since the last fold |
//! | `runs` | one row per run: phase, counters, times |
//! | `rejects` | records that the destination or the mapping refused, with code and message |
//!
//! A state of the pushdown engine has tables of its own beside them: its entries, and while it runs a delta.
//!
//! Every write takes the lock of its `mappings` row first, on condition that the head there is the one that this process wrote last: a
//! run that lost its claim changes nothing.

mod head;
mod own;
mod store;

use std::sync::Arc;
use std::time::Duration;

use backflow_core::code::{Code, Failure};
use backflow_postgres::{Connector, Purpose, begin, end};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres};

use super::errors;
use crate::claims::Claims;
use crate::sql::quote;

/// The longest that one step may take: the waits for locks included, which end before it.
const STEP_TIMEOUT: Duration = Duration::from_secs(180);

/// A state schema of a Postgres database.
pub(crate) struct PostgresState {
    pub(super) connector: Arc<Connector>,
    pub(super) schema: String,
    pub(super) claims: Claims,
}

/// What a step inside a transaction came to.
pub(super) enum Step<T> {
    Done(T),
    /// Ends the transaction without a change.
    Refused(Failure),
}

impl PostgresState {
    /// Runs `work` in a transaction of its own. `repeatable` work has the same effect when it is done twice: it is tried once more on
    /// a new connection if the first broke, also when the break hid whether the commit came through.
    pub(super) async fn transaction<T, F, R>(&self, repeatable: bool, work: F) -> Result<T, Failure>
    where
        F: Fn(PgConnection) -> R,
        R: Future<Output = Result<(PgConnection, Step<T>), sqlx::Error>>,
    {
        self.transaction_within(STEP_TIMEOUT, repeatable, work).await
    }

    /// As [`PostgresState::transaction`], for as long as `limit` each time.
    pub(super) async fn transaction_within<T, F, R>(
        &self,
        limit: Duration,
        repeatable: bool,
        work: F,
    ) -> Result<T, Failure>
    where
        F: Fn(PgConnection) -> R,
        R: Future<Output = Result<(PgConnection, Step<T>), sqlx::Error>>,
    {
        match self.bounded(limit, &work).await {
            Err(failure) if repeatable && failure.code == Code::ConnectionFailed => self.bounded(limit, &work).await,
            other => other,
        }
    }

    /// A connection whose other end is gone without a word must not stop a run for good.
    async fn bounded<T, F, R>(&self, limit: Duration, work: &F) -> Result<T, Failure>
    where
        F: Fn(PgConnection) -> R,
        R: Future<Output = Result<(PgConnection, Step<T>), sqlx::Error>>,
    {
        tokio::time::timeout(limit, self.attempt(work)).await.unwrap_or_else(|_| {
            Err(Failure::new(
                Code::ConnectionFailed,
                format!(
                    "{} did not answer within {} s while the state was read or written; it is tried again",
                    self.connector.target.address(),
                    limit.as_secs()
                ),
            ))
        })
    }

    /// On any error the connection is dropped, and the server rolls back.
    async fn attempt<T, F, R>(&self, work: &F) -> Result<T, Failure>
    where
        F: Fn(PgConnection) -> R,
        R: Future<Output = Result<(PgConnection, Step<T>), sqlx::Error>>,
    {
        let failure = |error: sqlx::Error| errors::state(&error, &self.schema, &self.connector.target);
        let mut connection = self.connector.take().await?;
        begin(&mut connection, Purpose::Write).await.map_err(failure)?;
        let (mut connection, step) = work(connection).await.map_err(failure)?;
        let (how, result) = match step {
            Step::Done(value) => ("COMMIT", Ok(value)),
            Step::Refused(refusal) => ("ROLLBACK", Err(refusal)),
        };
        end(&mut connection, how).await.map_err(failure)?;
        self.connector.give_back(connection).await;
        result
    }

    /// A statement over our tables, where `{}` stands for the quoted schema. Unnamed, for poolers.
    pub(super) fn sql(&self, text: &str) -> Query<'static, Postgres, PgArguments> {
        sqlx::query(AssertSqlSafe(text.replace("{}", &quote(&self.schema)))).persistent(false)
    }
}
