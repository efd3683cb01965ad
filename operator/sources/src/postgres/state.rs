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

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::failpoint;
use backflow_core::record::Rejection;
use backflow_core::state::{Commit, Head, KEPT_RUNS, PartitionId, RejectChange, RunRow, StateLine, StateStore};
use backflow_postgres::{Connector, Purpose, begin, end};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row};

use super::{errors, schema};
use crate::claims::Claims;
use crate::diff::pushdown::tables;
use crate::sql::quote;
use crate::state_rows::{HEAD, RunColumns, fenced, head, last_words, line, phase_text};

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

    /// Locks the head on condition that it is the one that was written last.
    pub(super) async fn lock(
        &self,
        connection: &mut PgConnection,
        state_key: &str,
        last: &Head,
    ) -> Result<bool, sqlx::Error> {
        let row = self
            .sql(
                "SELECT 1 FROM {}.mappings WHERE state_key = $1 AND epoch = $2 AND generation = $3 AND segment = $4 AND document = $5 \
                 FOR UPDATE",
            )
            .bind(state_key.to_owned())
            .bind(last.epoch as i64)
            .bind(last.generation as i64)
            .bind(last.segment as i64)
            .bind(last.document.clone())
            .fetch_optional(connection)
            .await?;
        Ok(row.is_some())
    }

    async fn put_run(&self, connection: &mut PgConnection, state_key: &str, run: &RunRow) -> Result<(), sqlx::Error> {
        self.sql(
            "INSERT INTO {}.runs (state_key, name, number, first_epoch, epoch, phase, counters, started_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8, $9) ON CONFLICT (state_key, name) DO UPDATE SET \
             number = excluded.number, first_epoch = excluded.first_epoch, epoch = excluded.epoch, phase = excluded.phase, counters = excluded.counters, started_at = excluded.started_at, \
             updated_at = excluded.updated_at",
        )
        .bind(state_key.to_owned())
        .bind(run.name.clone())
        .bind(run.number as i64)
        .bind(run.first_epoch as i64)
        .bind(run.epoch as i64)
        .bind(phase_text(run))
        .bind(serde_json::to_string(&run.counters).unwrap_or_default())
        .bind(run.started_at.clone())
        .bind(run.updated_at.clone())
        .execute(connection)
        .await
        .map(drop)
    }

    /// Moves head, run and rejects, if the head is the one that was written last, or already the new one: the step may be repeated
    /// because a break hid that it came through.
    pub(super) async fn move_head(
        &self,
        connection: &mut PgConnection,
        commit: &Commit<'_>,
        last: &Head,
    ) -> Result<bool, sqlx::Error> {
        let head = commit.head;
        let moved = self
            .sql(
                "UPDATE {}.mappings SET format = $3, owner = $4, generation = $5, segment = $6, document = $7, \
                 updated_at = clock_timestamp() WHERE state_key = $1 AND epoch = $2 AND (\
                 (generation = $8 AND segment = $9 AND document = $10) OR (generation = $5 AND segment = $6 AND document = $7))",
            )
            .bind(commit.state_key.to_owned())
            .bind(head.epoch as i64)
            .bind(i64::from(head.format))
            .bind(head.owner.clone())
            .bind(head.generation as i64)
            .bind(head.segment as i64)
            .bind(head.document.clone())
            .bind(last.generation as i64)
            .bind(last.segment as i64)
            .bind(last.document.clone())
            .execute(&mut *connection)
            .await?;
        if moved.rows_affected() == 0 {
            return Ok(false);
        }
        self.put_run(connection, commit.state_key, commit.run).await?;
        self.move_rejects(connection, commit).await?;
        Ok(true)
    }

    async fn move_rejects(&self, connection: &mut PgConnection, commit: &Commit<'_>) -> Result<(), sqlx::Error> {
        // One statement for each kind: the last word on a key counts, as it would one by one.
        let moves = last_words(commit.rejects);
        let removed: Vec<Vec<u8>> = moves
            .iter()
            .filter(|(_, change)| matches!(change, RejectChange::Remove(_)))
            .map(|(hash, _)| hash.clone())
            .collect();
        if !removed.is_empty() {
            self.sql("DELETE FROM {}.rejects WHERE state_key = $1 AND key_sha256 = ANY($2)")
                .bind(commit.state_key.to_owned())
                .bind(removed)
                .execute(&mut *connection)
                .await?;
        }
        let mut hashes = Vec::new();
        let (mut keys, mut operations, mut codes, mut fields, mut messages) = (vec![], vec![], vec![], vec![], vec![]);
        for (hash, change) in moves {
            let RejectChange::Put(row) = change else { continue };
            let Rejection { code, field, message } = &row.rejection;
            hashes.push(hash);
            keys.push(row.key.clone());
            operations.push(row.operation.clone());
            codes.push(code.clone());
            fields.push(field.clone());
            messages.push(message.clone());
        }
        if hashes.is_empty() {
            return Ok(());
        }
        self.sql(
            "INSERT INTO {}.rejects (state_key, key_sha256, key, operation, code, field, message) \
             SELECT $1, * FROM unnest($2::bytea[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) \
             ON CONFLICT (state_key, key_sha256) DO UPDATE SET key = excluded.key, operation = excluded.operation, \
             code = excluded.code, field = excluded.field, message = excluded.message, last_seen = clock_timestamp()",
        )
        .bind(commit.state_key.to_owned())
        .bind(hashes)
        .bind(keys)
        .bind(operations)
        .bind(codes)
        .bind(fields)
        .bind(messages)
        .execute(connection)
        .await
        .map(drop)
    }

    /// The tables that the pushdown engine has for a state, each with its key columns.
    pub(super) async fn own_tables(
        &self,
        connection: &mut PgConnection,
        state_key: &str,
    ) -> Result<Vec<(String, Vec<String>)>, sqlx::Error> {
        let rows = self
            .sql(
                "SELECT c.relname::text AS name, coalesce(array_agg(a.attname::text ORDER BY a.attnum) \
                 FILTER (WHERE a.attname ~ '^key[0-9]+_'), ARRAY[]::text[]) AS keys \
                 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
                 WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND (c.relname = $2 OR starts_with(c.relname, $3)) \
                 GROUP BY c.oid, c.relname",
            )
            .bind(self.schema.clone())
            .bind(tables::entries(state_key))
            .bind(tables::delta_prefix(state_key))
            .fetch_all(connection)
            .await?;
        let mut found = Vec::new();
        for row in rows {
            let name: String = row.try_get("name")?;
            if tables::belongs(state_key, &name) {
                found.push((name, row.try_get("keys")?));
            }
        }
        Ok(found)
    }

    /// Forgets what the pushdown engine has of a state.
    async fn drop_tables(&self, connection: &mut PgConnection, state_key: &str) -> Result<(), sqlx::Error> {
        for (table, _) in self.own_tables(connection, state_key).await? {
            let drop = format!("DROP TABLE {{}}.{}", quote(&table));
            self.sql(&drop).execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// One value of one row, read outside of any explicit transaction of ours.
    async fn bytes(&self, text: &str, state_key: &str, numbers: &[i64]) -> Result<Option<Vec<u8>>, Failure> {
        self.transaction(true, |mut connection| async move {
            let mut query = self.sql(text).bind(state_key.to_owned());
            for &number in numbers {
                query = query.bind(number);
            }
            let row = query.fetch_optional(&mut connection).await?;
            let bytes = row.map(|row| row.try_get(0)).transpose()?;
            Ok((connection, Step::Done(bytes)))
        })
        .await
    }
}

#[async_trait]
impl StateStore for PostgresState {
    async fn prepare(&self) -> Result<(), Failure> {
        schema::prepare(self).await
    }

    async fn head(&self, state_key: &str) -> Result<Option<Head>, Failure> {
        self.transaction(true, |mut connection| async move {
            let query =
                self.sql(&format!("SELECT {HEAD} FROM {{}}.mappings WHERE state_key = $1")).bind(state_key.to_owned());
            let row = query.fetch_optional(&mut connection).await?;
            let found = row.as_ref().map(head).transpose()?;
            Ok((connection, Step::Done(found.map(|(_, head)| head))))
        })
        .await
    }

    async fn claim(
        &self,
        state_key: &str,
        expected: Option<&Head>,
        head: &Head,
        run: &RunRow,
        reset: bool,
    ) -> Result<(), Failure> {
        // Not repeatable: after a hidden commit the epoch is no longer the expected one.
        self.transaction(false, |mut connection| async move {
                let statement = match expected {
                    None => self.sql(
                        "INSERT INTO {}.mappings (state_key, format, owner, epoch, generation, segment, document) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (state_key) DO NOTHING",
                    ),
                    Some(_) => self.sql(
                        "UPDATE {}.mappings SET format = $2, owner = $3, epoch = $4, generation = $5, segment = $6, document = $7, \
                         updated_at = clock_timestamp() WHERE state_key = $1 AND epoch = $8 AND generation = $9 AND segment = $10 \
                         AND document = $11",
                    ),
                };
                let mut statement = statement
                    .bind(state_key.to_owned())
                    .bind(i64::from(head.format))
                    .bind(head.owner.clone())
                    .bind(head.epoch as i64)
                    .bind(head.generation as i64)
                    .bind(head.segment as i64)
                    .bind(head.document.clone());
                if let Some(seen) = expected {
                    statement = statement
                        .bind(seen.epoch as i64)
                        .bind(seen.generation as i64)
                        .bind(seen.segment as i64)
                        .bind(seen.document.clone());
                }
                if statement.execute(&mut connection).await?.rows_affected() == 0 {
                    return Ok((connection, Step::Refused(fenced(state_key))));
                }
                self.put_run(&mut connection, state_key, run).await?;
                self.sql("DELETE FROM {}.runs WHERE state_key = $1 AND number <= $2")
                    .bind(state_key.to_owned())
                    .bind(run.number.saturating_sub(KEPT_RUNS) as i64)
                    .execute(&mut connection)
                    .await?;
                if reset {
                    self.drop_tables(&mut connection, state_key).await?;
                    for table in ["partitions", "journal", "rejects"] {
                        let delete = format!("DELETE FROM {{}}.{table} WHERE state_key = $1");
                        self.sql(&delete).bind(state_key.to_owned()).execute(&mut connection).await?;
                    }
                }
                Ok((connection, Step::Done(())))
            })
        .await?;
        self.claims.wrote(state_key, head);
        Ok(())
    }

    async fn run(&self, state_key: &str, name: &str) -> Result<Option<RunRow>, Failure> {
        let found = self
            .transaction(true, |mut connection| async move {
                let query = self
                    .sql(
                        "SELECT name, number, first_epoch, epoch, phase, counters::text AS counters, started_at, updated_at \
                         FROM {}.runs WHERE state_key = $1 AND name = $2",
                    )
                    .bind(state_key.to_owned())
                    .bind(name.to_owned());
                    let row = query.fetch_optional(&mut connection).await?;
                    let columns = row.as_ref().map(RunColumns::read).transpose()?;
                    Ok((connection, Step::Done(columns)))
                })
            .await?;
        found.map(|columns| columns.into_row(state_key)).transpose()
    }

    async fn partition(&self, state_key: &str, id: PartitionId) -> Result<Option<Vec<u8>>, Failure> {
        let text = "SELECT bytes FROM {}.partitions WHERE state_key = $1 AND generation = $2 AND index = $3";
        self.bytes(text, state_key, &[id.generation as i64, i64::from(id.index)]).await
    }

    async fn segment(&self, state_key: &str, number: u64) -> Result<Option<Vec<u8>>, Failure> {
        self.bytes("SELECT bytes FROM {}.journal WHERE state_key = $1 AND segment = $2", state_key, &[number as i64])
            .await
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<(), Failure> {
        let commit = &commit;
        let last = self.claims.last(commit.state_key, commit.head.epoch).ok_or_else(|| fenced(commit.state_key))?;
        let last = &last;
        self.transaction(true, |mut connection| async move {
            if !self.move_head(&mut connection, commit, last).await? {
                return Ok((connection, Step::Refused(fenced(commit.state_key))));
            }
            failpoint::hit("inside-commit");
            if let Some(segment) = commit.segment {
                self.sql(
                    "INSERT INTO {}.journal (state_key, segment, epoch, bytes) VALUES ($1, $2, $3, $4) \
                         ON CONFLICT (state_key, segment) DO UPDATE SET epoch = excluded.epoch, bytes = excluded.bytes",
                )
                .bind(commit.state_key.to_owned())
                .bind(commit.head.segment as i64)
                .bind(commit.head.epoch as i64)
                .bind(segment.to_owned())
                .execute(&mut connection)
                .await?;
            }
            Ok((connection, Step::Done(())))
        })
        .await?;
        self.claims.wrote(commit.state_key, commit.head);
        Ok(())
    }

    async fn put_partition(&self, state_key: &str, epoch: u64, id: PartitionId, bytes: &[u8]) -> Result<(), Failure> {
        let last = &self.claims.last(state_key, epoch).ok_or_else(|| fenced(state_key))?;
        self.transaction(true, |mut connection| async move {
            if !self.lock(&mut connection, state_key, last).await? {
                return Ok((connection, Step::Refused(fenced(state_key))));
            }
            self.sql(
                "INSERT INTO {}.partitions (state_key, generation, index, bytes) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (state_key, generation, index) DO UPDATE SET bytes = excluded.bytes",
            )
            .bind(state_key.to_owned())
            .bind(id.generation as i64)
            .bind(i64::from(id.index))
            .bind(bytes.to_owned())
            .execute(&mut connection)
            .await?;
            Ok((connection, Step::Done(())))
        })
        .await
    }

    async fn fold(&self, commit: Commit<'_>, keep: &[PartitionId]) -> Result<(), Failure> {
        let commit = &commit;
        let last = self.claims.last(commit.state_key, commit.head.epoch).ok_or_else(|| fenced(commit.state_key))?;
        let last = &last;
        self.transaction(true, |mut connection| async move {
            if !self.move_head(&mut connection, commit, last).await? {
                return Ok((connection, Step::Refused(fenced(commit.state_key))));
            }
            let (generations, indexes): (Vec<i64>, Vec<i64>) =
                keep.iter().map(|id| (id.generation as i64, i64::from(id.index))).unzip();
            self.sql(
                "DELETE FROM {}.partitions AS p WHERE state_key = $1 AND NOT EXISTS (SELECT 1 FROM \
                 unnest($2::bigint[], $3::bigint[]) AS k (generation, index) \
                 WHERE k.generation = p.generation AND k.index = p.index)",
            )
            .bind(commit.state_key.to_owned())
            .bind(generations)
            .bind(indexes)
            .execute(&mut connection)
            .await?;
            failpoint::hit("inside-fold");
            self.sql("DELETE FROM {}.journal WHERE state_key = $1 AND segment <= $2")
                .bind(commit.state_key.to_owned())
                .bind(commit.head.segment as i64)
                .execute(&mut connection)
                .await?;
            Ok((connection, Step::Done(())))
        })
        .await?;
        self.claims.wrote(commit.state_key, commit.head);
        Ok(())
    }

    async fn forget(&self, state_key: &str, expected: u64) -> Result<bool, Failure> {
        self.transaction(false, |mut connection| async move {
            let stored = self
                .sql("SELECT epoch FROM {}.mappings WHERE state_key = $1 FOR UPDATE")
                .bind(state_key.to_owned())
                .fetch_optional(&mut connection)
                .await?;
            match stored.map(|row| row.try_get::<i64, _>(0)).transpose()? {
                None => return Ok((connection, Step::Done(false))),
                Some(epoch) if epoch as u64 != expected => return Ok((connection, Step::Refused(fenced(state_key)))),
                Some(_) => {}
            }
            self.drop_tables(&mut connection, state_key).await?;
            for table in ["partitions", "journal", "rejects", "runs", "mappings"] {
                let delete = format!("DELETE FROM {{}}.{table} WHERE state_key = $1");
                self.sql(&delete).bind(state_key.to_owned()).execute(&mut connection).await?;
            }
            Ok((connection, Step::Done(true)))
        })
        .await
    }

    async fn list(&self, limit: u32) -> Result<Vec<StateLine>, Failure> {
        self.transaction(true, |mut connection| async move {
            let query = self
                .sql(&format!(
                    "SELECT {HEAD}, (coalesce((SELECT sum(octet_length(p.bytes)) FROM {{}}.partitions p WHERE p.state_key = m.state_key), 0) \
                     + coalesce((SELECT sum(octet_length(j.bytes)) FROM {{}}.journal j WHERE j.state_key = m.state_key), 0))::bigint AS bytes \
                     FROM {{}}.mappings m ORDER BY state_key COLLATE \"C\" LIMIT $1",
                ))
                .bind(i64::from(limit));
            let rows = query.fetch_all(&mut connection).await?;
            let lines = rows.iter().map(line).collect::<Result<_, _>>()?;
            Ok((connection, Step::Done(lines)))
        })
        .await
    }
}
