//! Tables that the pushdown engine has beside those of the store.

use sqlx::{PgConnection, Row as _};

use super::PostgresState;
use crate::diff::pushdown::tables;
use crate::diff::pushdown::transport::Table;
use crate::sql::quote;

impl PostgresState {
    /// The tables that the pushdown engine has for a state.
    pub(in super::super) async fn own_tables(
        &self,
        connection: &mut PgConnection,
        state_key: &str,
    ) -> Result<Vec<Table>, sqlx::Error> {
        let rows = self
            .sql(
                "SELECT c.relname::text AS name, coalesce(array_agg(a.attname::text ORDER BY a.attnum) \
                 FILTER (WHERE a.attname ~ '^key[0-9]+_'), ARRAY[]::text[]) AS keys, bool_or(a.attname = 'record') AS records \
                 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
                 WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND strpos(c.relname, $2) > 0 \
                 GROUP BY c.oid, c.relname",
            )
            .bind(self.schema.clone())
            .bind(tables::infix(state_key))
            .fetch_all(connection)
            .await?;
        let mut found = Vec::new();
        for row in rows {
            let table =
                Table { name: row.try_get("name")?, keys: row.try_get("keys")?, records: row.try_get("records")? };
            if tables::belongs(state_key, &table.name) {
                found.push(table);
            }
        }
        Ok(found)
    }

    /// Forgets what the pushdown engine has of a state.
    pub(super) async fn drop_tables(&self, connection: &mut PgConnection, state_key: &str) -> Result<(), sqlx::Error> {
        for table in self.own_tables(connection, state_key).await? {
            let drop = format!("DROP TABLE {{}}.{}", quote(&table.name));
            self.sql(&drop).execute(&mut *connection).await?;
        }
        Ok(())
    }
}
