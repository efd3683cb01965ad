//! State beside the data: the tables of the Postgres store, with a prefix where Postgres has a schema (`_backflow_mappings` …).

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::failpoint;
use backflow_core::state::{Commit, Head, KEPT_RUNS, PartitionId, RejectChange, RunRow, StateLine, StateStore};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{AssertSqlSafe, Row, Sqlite};
use tokio::sync::Mutex;

use super::{connect, errors};
use crate::claims::Claims;
use crate::state_rows::{HEAD, RunColumns, SCHEMA_VERSION, fenced, head, last_words, line, phase_text, too_new};

/// The tables, `{}` for the prefix.
const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS {}mappings\" (state_key TEXT PRIMARY KEY, format INTEGER NOT NULL, owner TEXT NOT NULL, \
     epoch INTEGER NOT NULL, generation INTEGER NOT NULL, segment INTEGER NOT NULL, document TEXT NOT NULL, \
     updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS {}partitions\" (state_key TEXT NOT NULL, generation INTEGER NOT NULL, idx INTEGER NOT NULL, \
     bytes BLOB NOT NULL, PRIMARY KEY (state_key, generation, idx))",
    "CREATE TABLE IF NOT EXISTS {}journal\" (state_key TEXT NOT NULL, segment INTEGER NOT NULL, epoch INTEGER NOT NULL, \
     bytes BLOB NOT NULL, PRIMARY KEY (state_key, segment))",
    "CREATE TABLE IF NOT EXISTS {}runs\" (state_key TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL, \
     first_epoch INTEGER NOT NULL, epoch INTEGER NOT NULL, phase TEXT NOT NULL, counters TEXT NOT NULL, \
     started_at TEXT NOT NULL, updated_at TEXT NOT NULL, PRIMARY KEY (state_key, name)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS {}rejects\" (state_key TEXT NOT NULL, key_sha256 BLOB NOT NULL, key TEXT NOT NULL, \
     operation TEXT NOT NULL, code TEXT NOT NULL, field TEXT, message TEXT NOT NULL, \
     first_seen TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')), \
     last_seen TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')), PRIMARY KEY (state_key, key_sha256)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS {}meta\" (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
];

/// State in a SQLite file.
pub(crate) struct SqliteState {
    path: String,
    /// An opening quote, the prefix and `_`: names are finished as `{prefix}mappings"`.
    prefix: String,
    connection: Mutex<Option<SqliteConnection>>,
    claims: Claims,
}

/// What a step inside a transaction came to.
enum Step<T> {
    Done(T),
    /// Ends the transaction without a change.
    Refused(Failure),
}

impl SqliteState {
    pub(crate) fn new(path: String, prefix: &str) -> Self {
        let prefix = format!("\"{}_", prefix.replace('"', "\"\""));
        Self { path, prefix, connection: Mutex::new(None), claims: Claims::default() }
    }

    /// Whether `prepare` would succeed; changes nothing.
    pub(crate) async fn probe(&self) -> Result<(), Failure> {
        self.ensure(false).await
    }

    async fn ensure(&self, keep: bool) -> Result<(), Failure> {
        let done = self
            .transaction(|mut connection| async move {
                for table in TABLES {
                    self.sql(table).execute(&mut connection).await?;
                }
                self.sql("INSERT OR IGNORE INTO {}meta\" (key, value) VALUES ('schema_version', ?)")
                    .bind(SCHEMA_VERSION.to_string())
                    .execute(&mut connection)
                    .await?;
                let row = self
                    .sql("SELECT value FROM {}meta\" WHERE key = 'schema_version'")
                    .fetch_one(&mut connection)
                    .await?;
                let found: String = row.try_get(0)?;
                Ok(match found.parse::<u32>() {
                    Ok(version) if version > SCHEMA_VERSION => {
                        (connection, Step::Refused(too_new(&format!("the file {}", self.path), &found)))
                    }
                    _ if keep => (connection, Step::Done(())),
                    // A refusal is what rolls back; this code is never seen.
                    _ => (connection, Step::Refused(Failure::new(Code::Canceled, "probe"))),
                })
            })
            .await;
        match done {
            Err(failure) if !keep && failure.code == Code::Canceled => Ok(()),
            other => other,
        }
    }

    /// Runs `work` in a write transaction. On an error the connection is closed, which rolls back.
    async fn transaction<T, F, R>(&self, work: F) -> Result<T, Failure>
    where
        F: FnOnce(SqliteConnection) -> R,
        R: Future<Output = Result<(SqliteConnection, Step<T>), sqlx::Error>>,
    {
        let failure = |error: sqlx::Error| errors::state(&error, &self.path);
        let mut slot = self.connection.lock().await;
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => connect(&self.path, false).await?,
        };
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.map_err(failure)?;
        let (mut connection, step) = work(connection).await.map_err(failure)?;
        let (how, result) = match step {
            Step::Done(value) => ("COMMIT", Ok(value)),
            Step::Refused(refusal) => ("ROLLBACK", Err(refusal)),
        };
        sqlx::query(how).execute(&mut connection).await.map_err(failure)?;
        *slot = Some(connection);
        result
    }

    fn sql(&self, text: &str) -> Query<'static, Sqlite, SqliteArguments> {
        sqlx::query(AssertSqlSafe(text.replace("{}", &self.prefix)))
    }

    async fn put_run(
        &self,
        connection: &mut SqliteConnection,
        state_key: &str,
        run: &RunRow,
    ) -> Result<(), sqlx::Error> {
        self.sql(
            "INSERT INTO {}runs\" (state_key, name, number, first_epoch, epoch, phase, counters, started_at, updated_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (state_key, name) DO UPDATE SET number = excluded.number, \
             first_epoch = excluded.first_epoch, epoch = excluded.epoch, phase = excluded.phase, counters = excluded.counters, started_at = excluded.started_at, \
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

    /// Moves head, run and rejects, if the head is the one that this process wrote last.
    async fn move_head(&self, connection: &mut SqliteConnection, commit: &Commit<'_>) -> Result<bool, sqlx::Error> {
        let head = commit.head;
        if !self.is_last(connection, commit.state_key, head.epoch).await? {
            return Ok(false);
        }
        self.sql(
            "UPDATE {}mappings\" SET format = ?2, owner = ?3, generation = ?4, segment = ?5, document = ?6, \
             updated_at = strftime('%Y-%m-%dT%H:%M:%fZ') WHERE state_key = ?1",
        )
        .bind(commit.state_key.to_owned())
        .bind(i64::from(head.format))
        .bind(head.owner.clone())
        .bind(head.generation as i64)
        .bind(head.segment as i64)
        .bind(head.document.clone())
        .execute(&mut *connection)
        .await?;
        self.put_run(connection, commit.state_key, commit.run).await?;
        for (hash, change) in last_words(commit.rejects) {
            match change {
                RejectChange::Remove(_) => {
                    self.sql("DELETE FROM {}rejects\" WHERE state_key = ? AND key_sha256 = ?")
                        .bind(commit.state_key.to_owned())
                        .bind(hash)
                        .execute(&mut *connection)
                        .await?;
                }
                RejectChange::Put(row) => {
                    self.sql(
                        "INSERT INTO {}rejects\" (state_key, key_sha256, key, operation, code, field, message) \
                         VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (state_key, key_sha256) DO UPDATE SET key = excluded.key, \
                         operation = excluded.operation, code = excluded.code, field = excluded.field, \
                         message = excluded.message, last_seen = strftime('%Y-%m-%dT%H:%M:%fZ')",
                    )
                    .bind(commit.state_key.to_owned())
                    .bind(hash)
                    .bind(row.key.clone())
                    .bind(row.operation.clone())
                    .bind(row.rejection.code.clone())
                    .bind(row.rejection.field.clone())
                    .bind(row.rejection.message.clone())
                    .execute(&mut *connection)
                    .await?;
                }
            }
        }
        Ok(true)
    }

    async fn delete(
        &self,
        connection: &mut SqliteConnection,
        tables: &[&str],
        state_key: &str,
    ) -> Result<(), sqlx::Error> {
        for table in tables {
            let delete = format!("DELETE FROM {{}}{table}\" WHERE state_key = ?");
            self.sql(&delete).bind(state_key.to_owned()).execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Whether the stored head is the one that this process wrote last under its claim of `epoch`.
    async fn is_last(
        &self,
        connection: &mut SqliteConnection,
        state_key: &str,
        epoch: u64,
    ) -> Result<bool, sqlx::Error> {
        match self.claims.last(state_key, epoch) {
            Some(last) => Ok(self.stored(connection, state_key).await? == Some(last)),
            None => Ok(false),
        }
    }

    async fn epoch(&self, connection: &mut SqliteConnection, state_key: &str) -> Result<Option<u64>, sqlx::Error> {
        let row = self
            .sql("SELECT epoch FROM {}mappings\" WHERE state_key = ?")
            .bind(state_key.to_owned())
            .fetch_optional(connection)
            .await?;
        row.map(|row| row.try_get::<i64, _>(0).map(|epoch| epoch as u64)).transpose()
    }

    async fn stored(&self, connection: &mut SqliteConnection, state_key: &str) -> Result<Option<Head>, sqlx::Error> {
        let row = self
            .sql(&format!("SELECT {HEAD} FROM {{}}mappings\" WHERE state_key = ?"))
            .bind(state_key.to_owned())
            .fetch_optional(connection)
            .await?;
        Ok(row.as_ref().map(head).transpose()?.map(|(_, head)| head))
    }

    async fn bytes(&self, text: &str, state_key: &str, numbers: &[i64]) -> Result<Option<Vec<u8>>, Failure> {
        self.transaction(|mut connection| async move {
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
impl StateStore for SqliteState {
    async fn prepare(&self) -> Result<(), Failure> {
        self.ensure(true).await
    }

    async fn head(&self, state_key: &str) -> Result<Option<Head>, Failure> {
        self.transaction(|mut connection| async move {
            let stored = self.stored(&mut connection, state_key).await?;
            Ok((connection, Step::Done(stored)))
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
        self.transaction(|mut connection| async move {
            let stored = self.stored(&mut connection, state_key).await?;
            if stored.as_ref() != expected {
                return Ok((connection, Step::Refused(fenced(state_key))));
            }
            self.sql(
                "INSERT INTO {}mappings\" (state_key, format, owner, epoch, generation, segment, document) \
                 VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (state_key) DO UPDATE SET format = excluded.format, \
                 owner = excluded.owner, epoch = excluded.epoch, generation = excluded.generation, segment = excluded.segment, \
                 document = excluded.document, updated_at = strftime('%Y-%m-%dT%H:%M:%fZ')",
            )
            .bind(state_key.to_owned())
            .bind(i64::from(head.format))
            .bind(head.owner.clone())
            .bind(head.epoch as i64)
            .bind(head.generation as i64)
            .bind(head.segment as i64)
            .bind(head.document.clone())
            .execute(&mut connection)
            .await?;
            self.put_run(&mut connection, state_key, run).await?;
            self.sql("DELETE FROM {}runs\" WHERE state_key = ? AND number <= ?")
                .bind(state_key.to_owned())
                .bind(run.number.saturating_sub(KEPT_RUNS) as i64)
                .execute(&mut connection)
                .await?;
            if reset {
                self.delete(&mut connection, &["partitions", "journal", "rejects"], state_key).await?;
            }
            Ok((connection, Step::Done(())))
        })
        .await?;
        self.claims.wrote(state_key, head);
        Ok(())
    }

    async fn run(&self, state_key: &str, name: &str) -> Result<Option<RunRow>, Failure> {
        let found = self
            .transaction(|mut connection| async move {
                let row = self
                    .sql(
                        "SELECT name, number, first_epoch, epoch, phase, counters, started_at, updated_at FROM {}runs\" \
                         WHERE state_key = ? AND name = ?",
                    )
                    .bind(state_key.to_owned())
                    .bind(name.to_owned())
                    .fetch_optional(&mut connection)
                    .await?;
                let columns = row.as_ref().map(RunColumns::read).transpose()?;
                Ok((connection, Step::Done(columns)))
            })
            .await?;
        found.map(|columns| columns.into_row(state_key)).transpose()
    }

    async fn partition(&self, state_key: &str, id: PartitionId) -> Result<Option<Vec<u8>>, Failure> {
        let text = "SELECT bytes FROM {}partitions\" WHERE state_key = ? AND generation = ? AND idx = ?";
        self.bytes(text, state_key, &[id.generation as i64, i64::from(id.index)]).await
    }

    async fn segment(&self, state_key: &str, number: u64) -> Result<Option<Vec<u8>>, Failure> {
        self.bytes("SELECT bytes FROM {}journal\" WHERE state_key = ? AND segment = ?", state_key, &[number as i64])
            .await
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<(), Failure> {
        let commit = &commit;
        self.transaction(|mut connection| async move {
            if !self.move_head(&mut connection, commit).await? {
                return Ok((connection, Step::Refused(fenced(commit.state_key))));
            }
            failpoint::hit("inside-commit");
            if let Some(segment) = commit.segment {
                self.sql("INSERT OR REPLACE INTO {}journal\" (state_key, segment, epoch, bytes) VALUES (?, ?, ?, ?)")
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
        self.transaction(|mut connection| async move {
            if !self.is_last(&mut connection, state_key, epoch).await? {
                return Ok((connection, Step::Refused(fenced(state_key))));
            }
            self.sql("INSERT OR REPLACE INTO {}partitions\" (state_key, generation, idx, bytes) VALUES (?, ?, ?, ?)")
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
        self.transaction(|mut connection| async move {
            if !self.move_head(&mut connection, commit).await? {
                return Ok((connection, Step::Refused(fenced(commit.state_key))));
            }
            let stored = self
                .sql("SELECT generation, idx FROM {}partitions\" WHERE state_key = ?")
                .bind(commit.state_key.to_owned())
                .fetch_all(&mut connection)
                .await?;
            for row in stored {
                let (generation, index): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
                if keep.contains(&PartitionId { generation: generation as u64, index: index as u32 }) {
                    continue;
                }
                self.sql("DELETE FROM {}partitions\" WHERE state_key = ? AND generation = ? AND idx = ?")
                    .bind(commit.state_key.to_owned())
                    .bind(generation)
                    .bind(index)
                    .execute(&mut connection)
                    .await?;
            }
            failpoint::hit("inside-fold");
            self.sql("DELETE FROM {}journal\" WHERE state_key = ? AND segment <= ?")
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
        self.transaction(|mut connection| async move {
            match self.epoch(&mut connection, state_key).await? {
                None => return Ok((connection, Step::Done(false))),
                Some(epoch) if epoch != expected => return Ok((connection, Step::Refused(fenced(state_key)))),
                Some(_) => {}
            }
            self.delete(&mut connection, &["partitions", "journal", "rejects", "runs", "mappings"], state_key).await?;
            Ok((connection, Step::Done(true)))
        })
        .await
    }

    async fn list(&self, limit: u32) -> Result<Vec<StateLine>, Failure> {
        self.transaction(|mut connection| async move {
            let rows = self
                .sql(&format!(
                    "SELECT {HEAD}, coalesce((SELECT sum(length(p.bytes)) FROM {{}}partitions\" p WHERE p.state_key = m.state_key), 0) \
                     + coalesce((SELECT sum(length(j.bytes)) FROM {{}}journal\" j WHERE j.state_key = m.state_key), 0) AS bytes \
                     FROM {{}}mappings\" m WHERE substr(m.state_key, 1, 1) <> '!' ORDER BY state_key LIMIT ?",
                ))
                .bind(i64::from(limit))
                .fetch_all(&mut connection)
                .await?;
            let lines = rows.iter().map(line).collect::<Result<_, _>>()?;
            Ok((connection, Step::Done(lines)))
        })
        .await
    }
}
