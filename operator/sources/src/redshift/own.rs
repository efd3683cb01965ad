//! The pushdown engine's tables in the state schema.

use backflow_core::code::{Code, Failure};

use super::errors;
use super::state::{RedshiftTable, one};
use crate::diff::pushdown::tables;
use crate::diff::pushdown::transport::Table;

impl RedshiftTable {
    /// The tables that the pushdown engine has for a state.
    pub(super) async fn own_tables(&self, state_key: &str) -> Result<Vec<Table>, Failure> {
        let rows = self.rows(self.sql.columns(&tables::infix(state_key))).await?;
        tables::found(state_key, rows).ok_or_else(|| self.damaged())
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
