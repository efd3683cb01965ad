//! The chain of numbered heads of one state: who creates the next number has moved the state, everybody else has not.
//!
//! Numbers are never used twice, also not after a Forget, which is a head of its own. The heads before the newest are removed after a
//! while. A run that slept meanwhile could create a number that was removed: so whoever has created one looks whether a newer one is
//! there, and if so has lost.

use backflow_core::code::{Code, Failure};

use super::head::{Stored, damaged};
use super::name;
use super::objects::Objects;
use crate::diff::pushdown::statement::Statement;

/// So many heads stay behind the newest: a reader that has seen an old list finds its way forward.
const KEPT: usize = 16;
/// Lists that are asked for before a head that is listed and not there counts as damage.
const LISTS: usize = 4;

/// The heads of one state.
pub(super) struct Chain<'a> {
    pub(super) objects: &'a dyn Objects,
    pub(super) state_key: &'a str,
}

impl Chain<'_> {
    fn folder(&self) -> String {
        format!("{}/head", name::part(self.state_key))
    }

    pub(super) fn name(&self, number: u64) -> String {
        format!("{}/{}", self.folder(), name::number(number))
    }

    /// The numbers that are there, ascending.
    async fn numbers(&self) -> Result<Vec<u64>, Failure> {
        let found = self.objects.list(&self.folder()).await?;
        let mut numbers: Vec<u64> = found
            .iter()
            .filter_map(|object| name::numbers::<1>(&object.name).filter(|(_, rest)| rest.is_empty()))
            .map(|([number], _)| number)
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    async fn read(&self, number: u64) -> Result<Option<Stored>, Failure> {
        let name = self.name(number);
        let Some(bytes) = self.objects.get(&name).await? else { return Ok(None) };
        Stored::read(&bytes, self.state_key, &name, &self.objects.place()).map(Some)
    }

    /// The newest head, `None` if there was never one.
    pub(super) async fn newest(&self) -> Result<Option<Stored>, Failure> {
        let mut last = 0;
        for _ in 0..LISTS {
            let Some(&listed) = self.numbers().await?.last() else { return Ok(None) };
            last = listed;
            // Absent: it was removed since the list was made, because there are newer ones.
            let Some(mut stored) = self.read(listed).await? else { continue };
            // A list may lag behind what is written; reading an object does not.
            while let Some(next) = self.read(stored.number + 1).await? {
                stored = next;
            }
            return Ok(Some(stored));
        }
        Err(damaged(&format!("{} in {} is listed and is not there", self.name(last), self.objects.place())))
    }

    /// Makes `next` the newest head, in one transaction with the statements. Whether it is: otherwise another one has its number, or a
    /// greater one, and no statement has run.
    pub(super) async fn extend(&self, next: &mut Stored, with: &[Statement]) -> Result<bool, Failure> {
        let bytes = next.seal()?;
        let name = self.name(next.number);
        let created = match with {
            [] => self.objects.create(&name, bytes).await?,
            with => self.objects.create_with(&name, bytes, with).await?,
        };
        // With statements, that it is the newest was proven together with its creation.
        if !created || !with.is_empty() && !next.number.is_multiple_of(KEPT as u64) {
            return Ok(created);
        }
        let numbers = self.numbers().await?;
        if numbers.last().is_some_and(|&newest| newest > next.number) {
            return Ok(false);
        }
        let old: Vec<u64> = numbers.into_iter().filter(|number| *number < next.number).collect();
        // Not one by one, which would double the requests.
        if old.len() >= 2 * KEPT {
            let names = old[..old.len() - KEPT].iter().map(|number| self.name(*number)).collect();
            tidy(self.objects.remove(names).await);
        }
        Ok(true)
    }

    /// Removes every head before this one.
    pub(super) async fn remove_before(&self, number: u64) -> Result<(), Failure> {
        let old = self.numbers().await?.into_iter().filter(|old| *old < number);
        self.objects.remove(old.map(|old| self.name(old)).collect()).await
    }
}

/// What could not be removed stays until the next time: it is not current, and the state has moved.
pub(super) fn tidy(removed: Result<(), Failure>) {
    if let Err(failure) = removed {
        tracing::warn!(code = %failure.code, message = failure.message, "What is no longer current was not removed.");
    }
}

/// The server does not do what the fence is built on.
pub(super) fn not_conditional(place: &str) -> Failure {
    Failure::new(
        Code::StateStoreUnfit,
        format!(
            "{place} overwrites an object that it was asked to create only if absent (If-None-Match: *), so two runs could move one state; use a \
             server that supports conditional writes"
        ),
    )
}
