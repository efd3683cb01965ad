//! The head, and what moves with it: the run's row and the list of rejects.

use backflow_core::record::Rejection;
use backflow_core::state::{Commit, Head, RejectChange, RunRow};
use sqlx::PgConnection;

use super::PostgresState;
use crate::state_rows::{last_words, phase_text};

impl PostgresState {
    /// Locks the head on condition that it is the one that was written last.
    pub(in super::super) async fn lock(
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

    pub(super) async fn put_run(
        &self,
        connection: &mut PgConnection,
        state_key: &str,
        run: &RunRow,
    ) -> Result<(), sqlx::Error> {
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
    pub(in super::super) async fn move_head(
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
}
