//! The pushdown engine's tables in the state schema.

use backflow_core::code::{Code, Failure};

use super::errors;
use super::state::{RedshiftTable, one};
use crate::diff::pushdown::tables;
use crate::diff::pushdown::transport::Table;
use crate::diff::pushdown::typed::key_part;

impl RedshiftTable {
    /// The tables that the pushdown engine has for a state.
    pub(super) async fn own_tables(&self, state_key: &str) -> Result<Vec<Table>, Failure> {
        let mut found: Vec<Table> = Vec::new();
        for row in self.rows(self.sql.columns(&tables::infix(state_key))).await? {
            let [Some(name), Some(column)] = row.as_slice() else { continue };
            if !tables::belongs(state_key, name) {
                continue;
            }
            if found.last().is_none_or(|table| table.name != *name) {
                found.push(Table { name: name.clone(), keys: Vec::new(), records: false });
            }
            if let Some(table) = found.last_mut() {
                table.records |= column == "record";
                table.keys.extend(key_part(column).map(|_| column.clone()));
            }
        }
        Ok(found)
    }

    /// Refuses unless the user may make tables in the state schema, or will make the schema itself.
    pub(super) async fn may_make_tables(&self) -> Result<(), Failure> {
        match one(self.rows(self.sql.may_create()).await?).as_deref() {
            None | Some("t") => Ok(()),
            Some("f") => Err(errors::state_denied(&self.sql.schema, &self.sessions)),
            Some(_) => Err(Failure::new(Code::Internal, "the server does not say whether a user may make tables")),
        }
    }
}
