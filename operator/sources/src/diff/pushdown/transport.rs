//! How statements of a [`Dialect`] reach a warehouse.

use async_trait::async_trait;
use backflow_core::cell::{Cell, Column};
use backflow_core::code::Failure;
use backflow_core::plan::ModelPlan;
use backflow_core::state::Commit;

use super::dialect::Dialect;
use super::statement::{Around, Statement};
use super::typed::{KeyForm, Typed};

/// What the columns of our own are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    /// [`Cell::Int`].
    Int,
    /// [`Cell::Bool`].
    Bool,
    /// [`Cell::Bytes`].
    Bytes,
    /// [`Cell::Text`].
    Text,
}

/// A table of a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Its name.
    pub name: String,
    /// Its columns that hold parts of keys.
    pub keys: Vec<String>,
    /// It has a column for the record of its row: earlier versions made tables without.
    pub records: bool,
}

/// One claim of a state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fence<'a> {
    /// The state.
    pub state_key: &'a str,
    /// The claim; `None` in a DryRun, which has none and touches nothing but tables of its own.
    pub claim: Option<u64>,
}

/// The model that a delta is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    /// The model.
    pub model: &'a ModelPlan,
    /// `Mapping.spec.where`.
    pub filter: Option<&'a str>,
}

/// A warehouse that compares rows and state itself. When a future is dropped, nothing of it goes on in the warehouse after
/// [`crate::warehouse::Warehouse::idle`].
#[async_trait]
pub(crate) trait Transport: Send + Sync {
    /// Its SQL.
    type Dialect: Dialect;
    /// How a value arrives.
    type Wire: Clone + Send + Sync;

    /// Its SQL.
    fn dialect(&self) -> &Self::Dialect;

    /// A table of the state schema, quoted.
    fn table(&self, name: &str) -> String;

    /// How values of our own arrive.
    fn wire(&self, plain: Plain) -> Self::Wire;

    /// The form of this class, without an expression; `None` if there is none.
    fn key_form(&self, class: &str) -> Option<KeyForm<Self::Wire>>;

    /// How these columns of the model are said.
    ///
    /// # Errors
    /// As [`crate::warehouse::Warehouse::describe`].
    async fn typed(&self, reading: Reading<'_>, columns: &[Column]) -> Result<Vec<Typed<Self::Wire>>, Failure>;

    /// Whether the model is all rows of a table as it is stored, which costs next to nothing to count, and [`Transport::make`] can name
    /// it twice.
    ///
    /// # Errors
    /// What the warehouse says.
    async fn stored(&self, _reading: Reading<'_>) -> Result<bool, Failure> {
        Ok(false)
    }

    /// The tables of a state, if this role may make new ones.
    ///
    /// # Errors
    /// `PermissionDenied` if it may not.
    async fn tables(&self, state_key: &str) -> Result<Vec<Table>, Failure>;

    /// Makes tables the claim's own where no transaction is there to hold them: from now on no statement of an earlier claim moves them.
    /// Returns those that are of the state as it is, and not of one that was forgotten.
    ///
    /// # Errors
    /// `Fenced`.
    async fn taken_over(&self, _fence: Fence<'_>, found: Vec<Table>) -> Result<Vec<Table>, Failure> {
        Ok(found)
    }

    /// Runs statements of our own in one transaction, if the claim is still ours.
    ///
    /// # Errors
    /// `Fenced`; on any error nothing has moved.
    async fn fenced(&self, fence: Fence<'_>, statements: Vec<Statement>) -> Result<(), Failure>;

    /// As [`Transport::fenced`]: `first`, then the statement around the model in one snapshot, then `then`.
    ///
    /// # Errors
    /// `Fenced`, and what the model's SQL does.
    async fn make(
        &self,
        fence: Fence<'_>,
        reading: Reading<'_>,
        first: Vec<String>,
        around: Around,
        then: Vec<String>,
    ) -> Result<(), Failure>;

    /// Rows of one array of integers each.
    ///
    /// # Errors
    /// What the warehouse says.
    async fn numbers(&self, state_key: &str, sql: String) -> Result<Vec<Vec<i64>>, Failure>;

    /// A bounded number of rows.
    ///
    /// # Errors
    /// `Fenced` if the tables are gone: a later claim dropped them.
    async fn page(&self, state_key: &str, sql: String, wires: &[Self::Wire]) -> Result<Vec<Vec<Cell>>, Failure>;

    /// As [`backflow_core::state::StateStore::commit`], with these statements in the same transaction. `again`: they have the same
    /// effect when they are run twice.
    ///
    /// # Errors
    /// `Fenced`; on any error nothing has moved.
    async fn commit(&self, commit: Commit<'_>, statements: &[Statement], again: bool) -> Result<(), Failure>;
}
