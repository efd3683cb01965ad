//! The store: each step is a transaction.

use async_trait::async_trait;
use backflow_core::code::Failure;
use backflow_core::failpoint;
use backflow_core::state::{Commit, Head, KEPT_RUNS, PartitionId, RunRow, StateLine, StateStore};
use sqlx::Row as _;

use super::super::schema;
use super::{PostgresState, Step};
use crate::state_rows::{HEAD, RunColumns, fenced, head, line};

impl PostgresState {
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
                     FROM {{}}.mappings m WHERE left(m.state_key, 1) <> '!' ORDER BY state_key COLLATE \"C\" LIMIT $1",
                ))
                .bind(i64::from(limit));
            let rows = query.fetch_all(&mut connection).await?;
            let lines = rows.iter().map(line).collect::<Result<_, _>>()?;
            Ok((connection, Step::Done(lines)))
        })
        .await
    }
}
