//! The state store over objects.
//!
//! What a commit stores is written first, under names that carry its claim; then one head that names it is created under the next
//! number of the chain, or is not, because another one has that number. Nothing that is current is ever written over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::Failure;
use backflow_core::failpoint;
use backflow_core::result::Phase;
use backflow_core::state::{Commit, Head, PartitionId, RunRow, StateLine, StateStore};
use bytes::Bytes;

use super::chain::{Chain, not_conditional, tidy};
use super::head::{Listed, Stored};
use super::objects::Objects;
use super::rejects::Rejects;
use super::table::{ObjectTable, Table};
use super::{listing, name, parts, runs};
use crate::diff::pushdown::statement::Statement;
use crate::state_rows::fenced;

/// State in a bucket or a folder.
pub(crate) struct PackedState {
    objects: Arc<dyn Objects>,
    /// What this process wrote last of each state that it claimed.
    held: Mutex<HashMap<String, Held>>,
}

/// A claim of this process.
#[derive(Debug)]
struct Held {
    stored: Stored,
    /// Read when the first commit changes it.
    rejects: Option<Rejects>,
}

/// What this process holds of a state that it claimed.
pub(crate) struct Claimed {
    /// The number of the head by which it did: no other claim ever has it.
    pub(crate) number: u64,
    /// What it wrote last.
    pub(crate) head: Head,
}

impl PackedState {
    /// The claim of this process, if it is of this epoch and nothing has failed that might have moved the state.
    pub(crate) fn claimed(&self, state_key: &str, epoch: u64) -> Option<Claimed> {
        let read = |stored: &Stored| Some(Claimed { number: stored.claim, head: stored.head.clone()? });
        self.known(state_key, read).flatten().filter(|claimed| claimed.head.epoch == epoch)
    }

    /// Whether the claim of this process is the last one.
    pub(crate) async fn is_last(&self, state_key: &str, epoch: u64) -> Result<bool, Failure> {
        let Some(claimed) = self.claimed(state_key, epoch) else { return Ok(false) };
        Ok(self.chain(state_key).newest().await?.is_some_and(|newest| newest.claim == claimed.number))
    }

    /// Gives the claim of this process up: it moves nothing more.
    pub(crate) fn release(&self, state_key: &str) {
        self.held().remove(state_key);
    }

    pub(super) fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects, held: Mutex::default() }
    }

    /// State in a table of a warehouse.
    pub(crate) fn in_table(table: Arc<dyn ObjectTable>) -> Self {
        Self::new(Arc::new(Table(table)))
    }

    /// Proves that a run may write, read, list and remove here, and that only one of two writers wins. Leaves nothing.
    pub(crate) async fn probe(&self) -> Result<(), Failure> {
        let objects = &*self.objects;
        objects.prepare().await?;
        let folder = format!("!probe/{:016x}", random()?);
        let name = format!("{folder}/object");
        objects.list(&folder).await?;
        let proven = self.prove(&name).await;
        // Also if it failed: but then that failure is the one to tell.
        let removed = objects.remove(vec![name]).await;
        proven.and(removed)
    }

    async fn prove(&self, name: &str) -> Result<(), Failure> {
        let objects = &*self.objects;
        let first = objects.create(name, Bytes::from_static(b"first\n")).await?;
        let second = objects.create(name, Bytes::from_static(b"second\n")).await?;
        let read = objects.get(name).await?;
        if !first || second || read.as_deref() != Some(b"first\n") {
            return Err(not_conditional(&objects.place()));
        }
        Ok(())
    }

    fn chain<'a>(&'a self, state_key: &'a str) -> Chain<'a> {
        Chain { objects: &*self.objects, state_key }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the claim of this process out, for one step. A step that fails after it may have moved the state does not put it back:
    /// what is current is not known then, and nothing more is written under that claim.
    fn take(&self, state_key: &str, epoch: u64) -> Result<Held, Failure> {
        let mut held = self.held();
        match held.get(state_key) {
            Some(claim) if claim.stored.head.as_ref().is_some_and(|head| head.epoch == epoch) => {
                held.remove(state_key).ok_or_else(|| fenced(state_key))
            }
            _ => Err(fenced(state_key)),
        }
    }

    fn keep(&self, state_key: &str, held: Held) {
        self.held().insert(state_key.to_owned(), held);
    }

    /// The claim that wrote a part, as far as this process knows it.
    fn known<T>(&self, state_key: &str, read: impl Fn(&Stored) -> T) -> Option<T> {
        self.held().get(state_key).map(|held| read(&held.stored))
    }

    /// The newest head, but for a forgotten state's.
    async fn current(&self, state_key: &str) -> Result<Option<Stored>, Failure> {
        Ok(self.chain(state_key).newest().await?.filter(|stored| stored.head.is_some()))
    }

    /// Everything of a step but the head: written under names that no head has yet. Returns the next head.
    async fn write(
        &self,
        held: &mut Held,
        commit: &Commit<'_>,
        keep: Option<&[PartitionId]>,
    ) -> Result<Stored, Failure> {
        let objects = &*self.objects;
        let mut next = Stored { number: held.stored.number + 1, ..held.stored.clone() };
        if let Some(bytes) = commit.segment {
            let name = parts::segment(commit.state_key, commit.head.segment, next.claim);
            objects.put(&name, Bytes::copy_from_slice(bytes)).await?;
            next.add_segment(commit.head.segment);
        }
        runs::archive(objects, &held.stored, commit.run).await?;
        self.write_rejects(held, &mut next, commit, keep.is_some()).await?;
        if let Some(keep) = keep {
            next.fold(commit.head.segment, keep);
        }
        next.head = Some(commit.head.clone());
        next.run = Some(commit.run.clone());
        Ok(next)
    }

    async fn write_rejects(
        &self,
        held: &mut Held,
        next: &mut Stored,
        commit: &Commit<'_>,
        whole: bool,
    ) -> Result<(), Failure> {
        if commit.rejects.is_empty() && !(whole && next.rejects.files.len() > 1) {
            return Ok(());
        }
        let folder = parts::folder(commit.state_key, parts::REJECTS);
        // Taken out, so that a step that fails here has it read again by the next.
        let mut list = match held.rejects.take() {
            Some(list) => list,
            None => Rejects::load(&*self.objects, &folder, &next.rejects).await?,
        };
        let now = jiff::Timestamp::now().to_string();
        let lines = list.apply(commit.rejects, &now, &mut next.rejects);
        let file = format!("{}-{}.jsonl", name::number(next.number), name::number(next.claim));
        list.store(&*self.objects, &folder, file, lines, whole, &mut next.rejects).await?;
        held.rejects = Some(list);
        Ok(())
    }

    /// Removes the segment of a commit that lost, which after a Forget nobody else would find. Unless the newest head names it: who
    /// has overtaken this run may have gone on from the head that it created.
    async fn withdraw(&self, lost: &Stored, segment: u64) -> Result<(), Failure> {
        let newest = self.chain(&lost.state_key).newest().await?;
        if newest.is_some_and(|newest| newest.claim_of_segment(segment) == Some(lost.claim)) {
            return Ok(());
        }
        self.objects.remove(vec![parts::segment(&lost.state_key, segment, lost.claim)]).await
    }

    /// Name of the head that this process wrote last by a claim: while there is none after it, the claim is its own. `None`: it has no
    /// such claim.
    pub(crate) fn last_head(&self, state_key: &str, epoch: u64) -> Option<String> {
        let of =
            |stored: &Stored| stored.head.as_ref().is_some_and(|head| head.epoch == epoch).then_some(stored.number);
        Some(self.chain(state_key).name(self.known(state_key, of).flatten()?))
    }

    /// As [`StateStore::commit`], in one transaction with these statements.
    pub(crate) async fn commit_with(&self, commit: Commit<'_>, statements: &[Statement]) -> Result<(), Failure> {
        // The last one of a run leaves no files of rejects behind that are not current. There are no partitions.
        let keep: Option<&[PartitionId]> = if commit.run.phase == Phase::Running { None } else { Some(&[]) };
        self.step(commit, keep, statements).await
    }

    /// A commit, or with `keep` a fold.
    async fn step(&self, commit: Commit<'_>, keep: Option<&[PartitionId]>, with: &[Statement]) -> Result<(), Failure> {
        let key = commit.state_key;
        let mut held = self.take(key, commit.head.epoch)?;
        let mut next = match self.write(&mut held, &commit, keep).await {
            Ok(next) => next,
            Err(failure) => {
                self.keep(key, Held { rejects: None, ..held });
                return Err(failure);
            }
        };
        failpoint::hit("inside-commit");
        if !self.chain(key).extend(&mut next, with).await? {
            if commit.segment.is_some() {
                tidy(self.withdraw(&next, commit.head.segment).await);
            }
            return Err(fenced(key));
        }
        if let Some(keep) = keep {
            failpoint::hit("inside-fold");
            tidy(parts::sweep(&*self.objects, &next, keep, next.claim).await);
        }
        self.keep(key, Held { stored: next, rejects: held.rejects });
        Ok(())
    }
}

#[async_trait]
impl StateStore for PackedState {
    async fn prepare(&self) -> Result<(), Failure> {
        self.objects.prepare().await
    }

    fn patience(&self) -> Duration {
        self.objects.patience()
    }

    async fn head(&self, state_key: &str) -> Result<Option<Head>, Failure> {
        Ok(self.current(state_key).await?.and_then(|stored| stored.head))
    }

    async fn claim(
        &self,
        state_key: &str,
        expected: Option<&Head>,
        head: &Head,
        run: &RunRow,
        reset: bool,
    ) -> Result<(), Failure> {
        let chain = self.chain(state_key);
        let newest = chain.newest().await?;
        let current = newest.as_ref().filter(|stored| stored.head.is_some());
        if current.and_then(|stored| stored.head.as_ref()) != expected {
            return Err(fenced(state_key));
        }
        if newest.is_none() {
            // The fence of everything that follows: proven before it is relied on.
            self.probe().await?;
        }
        let number = newest.as_ref().map_or(1, |stored| stored.number + 1);
        let mut next = match current {
            Some(stored) => {
                runs::archive(&*self.objects, stored, run).await?;
                Stored { number, claim: number, ..stored.clone() }
            }
            None => Stored::new(state_key, number),
        };
        if reset {
            next.segments.clear();
            next.generations.clear();
            next.rejects = Listed::default();
        }
        next.head = Some(head.clone());
        next.run = Some(run.clone());
        let forgetting = if reset { self.objects.forgetting(state_key).await? } else { Vec::new() };
        if !chain.extend(&mut next, &forgetting).await? {
            return Err(fenced(state_key));
        }
        runs::prune(&*self.objects, &next, run.number).await;
        if reset {
            tidy(parts::sweep(&*self.objects, &next, &[], number - 1).await);
        }
        self.keep(state_key, Held { stored: next, rejects: None });
        Ok(())
    }

    async fn run(&self, state_key: &str, name: &str) -> Result<Option<RunRow>, Failure> {
        match self.current(state_key).await? {
            Some(stored) => runs::find(&*self.objects, &stored, name).await,
            None => Ok(None),
        }
    }

    async fn partition(&self, state_key: &str, id: PartitionId) -> Result<Option<Vec<u8>>, Failure> {
        // What this claim wrote and no fold has made current can be read, too.
        let of = |stored: &Stored| stored.generations.get(&id.generation).copied().unwrap_or(stored.claim);
        let claim = match self.known(state_key, of) {
            Some(claim) => Some(claim),
            None => self.current(state_key).await?.as_ref().map(of),
        };
        let Some(claim) = claim else { return Ok(None) };
        Ok(self.objects.get(&parts::partition(state_key, id, claim)).await?.map(Vec::from))
    }

    async fn segment(&self, state_key: &str, number: u64) -> Result<Option<Vec<u8>>, Failure> {
        let of = |stored: &Stored| stored.claim_of_segment(number);
        let claim = match self.known(state_key, of) {
            Some(claim) => claim,
            None => self.current(state_key).await?.as_ref().and_then(of),
        };
        let Some(claim) = claim else { return Ok(None) };
        Ok(self.objects.get(&parts::segment(state_key, number, claim)).await?.map(Vec::from))
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<(), Failure> {
        self.step(commit, None, &[]).await
    }

    async fn put_partition(&self, state_key: &str, epoch: u64, id: PartitionId, bytes: &[u8]) -> Result<(), Failure> {
        let of = |stored: &Stored| stored.head.as_ref().is_some_and(|head| head.epoch == epoch).then_some(stored.claim);
        let claim = self.known(state_key, of).flatten().ok_or_else(|| fenced(state_key))?;
        self.objects.put(&parts::partition(state_key, id, claim), Bytes::copy_from_slice(bytes)).await
    }

    async fn fold(&self, commit: Commit<'_>, keep: &[PartitionId]) -> Result<(), Failure> {
        self.step(commit, Some(keep), &[]).await
    }

    async fn forget(&self, state_key: &str, expected: u64) -> Result<bool, Failure> {
        let chain = self.chain(state_key);
        let Some(Stored { head: Some(head), number, .. }) = chain.newest().await? else { return Ok(false) };
        if head.epoch != expected {
            return Err(fenced(state_key));
        }
        let mut next = Stored::new(state_key, number + 1);
        if !chain.extend(&mut next, &self.objects.forgetting(state_key).await?).await? {
            return Err(fenced(state_key));
        }
        self.held().remove(state_key);
        chain.remove_before(next.number).await?;
        parts::sweep(&*self.objects, &next, &[], number).await?;
        runs::prune(&*self.objects, &next, 0).await;
        self.objects.forgotten(state_key).await?;
        Ok(true)
    }

    async fn list(&self, limit: u32) -> Result<Vec<StateLine>, Failure> {
        listing::list(&*self.objects, limit).await
    }
}

fn random() -> Result<u64, Failure> {
    getrandom::u64()
        .map_err(|_| Failure::new(backflow_core::code::Code::Internal, "the operating system gives no random numbers"))
}
