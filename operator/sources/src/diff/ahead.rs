//! The entries of the state beside the rows, one ahead.

use backflow_core::code::Failure;

use super::compare::Found;
use super::entry::{Entry, Plain};
use super::known::Known;
use super::stored::StateReader;

/// The entries, and the next one.
pub(super) struct Entries<'a, 'k> {
    pub state: StateReader<'a>,
    /// The current spec.
    pub spec: u32,
    pub known: &'k Known,
    pub next: Option<(u128, Entry)>,
}

impl Entries<'_, '_> {
    /// Goes on to the next entry. Those before `until`, where no row is in scratch, only count if their row was met as it was delivered.
    pub(super) async fn advance(&mut self, until: u128, found: &mut Found) -> Result<(), Failure> {
        let mut passed = 0;
        let (spec, known) = (self.spec, self.known);
        let passes = |hash: u128, plain: &Plain<'_>| {
            let passes = hash < until && plain.spec == spec && known.has_met_row(hash, plain.hash);
            passed += u64::from(passes);
            passes
        };
        self.next = self.state.next_but(passes).await?;
        found.entries += passed;
        found.findings.known += passed;
        if passed > 0 {
            found.specs.insert(spec);
        }
        Ok(())
    }
}
