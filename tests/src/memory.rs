//! A state store in memory, with the same rules as the real ones.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::state::{
    Commit, Head, KEPT_RUNS, PartitionId, RejectChange, RejectRow, RunRow, StateLine, StateStore,
};

/// State that ends with the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    states: Mutex<BTreeMap<String, State>>,
}

#[derive(Debug, Default)]
struct State {
    head: Option<Head>,
    partitions: BTreeMap<PartitionId, Vec<u8>>,
    journal: BTreeMap<u64, Vec<u8>>,
    runs: BTreeMap<String, RunRow>,
    rejects: BTreeMap<String, RejectRow>,
}

impl State {
    fn fence(&self, epoch: Option<u64>) -> Result<(), Failure> {
        if self.head.as_ref().map(|head| head.epoch) == epoch {
            Ok(())
        } else {
            Err(Failure::new(Code::Fenced, "another run has taken over"))
        }
    }

    fn move_head(&mut self, commit: &Commit<'_>) -> Result<(), Failure> {
        self.fence(Some(commit.head.epoch))?;
        self.head = Some(commit.head.clone());
        self.runs.insert(commit.run.name.clone(), commit.run.clone());
        for change in commit.rejects {
            match change {
                RejectChange::Put(row) => self.rejects.insert(row.key.clone(), row.clone()),
                RejectChange::Remove(key) => self.rejects.remove(key),
            };
        }
        Ok(())
    }
}

impl MemoryStore {
    fn states(&self) -> MutexGuard<'_, BTreeMap<String, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, state_key: &str, work: impl FnOnce(&mut State) -> T) -> T {
        work(self.states().entry(state_key.to_owned()).or_default())
    }

    /// The rejected records of a key, by key.
    #[must_use]
    pub fn rejects(&self, state_key: &str) -> Vec<RejectRow> {
        self.with(state_key, |state| state.rejects.values().cloned().collect())
    }

    /// The partitions of a key that are stored, current or not.
    #[must_use]
    pub fn partitions(&self, state_key: &str) -> Vec<PartitionId> {
        self.with(state_key, |state| state.partitions.keys().copied().collect())
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn prepare(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn head(&self, state_key: &str) -> Result<Option<Head>, Failure> {
        Ok(self.with(state_key, |state| state.head.clone()))
    }

    async fn claim(
        &self,
        state_key: &str,
        expected: Option<&Head>,
        head: &Head,
        run: &RunRow,
        reset: bool,
    ) -> Result<(), Failure> {
        self.with(state_key, |state| {
            if state.head.as_ref() != expected {
                return Err(Failure::new(Code::Fenced, "another run has taken over"));
            }
            state.head = Some(head.clone());
            state.runs.insert(run.name.clone(), run.clone());
            state.runs.retain(|_, row| row.number > run.number.saturating_sub(KEPT_RUNS));
            if reset {
                state.partitions.clear();
                state.journal.clear();
                state.rejects.clear();
            }
            Ok(())
        })
    }

    async fn run(&self, state_key: &str, name: &str) -> Result<Option<RunRow>, Failure> {
        Ok(self.with(state_key, |state| state.runs.get(name).cloned()))
    }

    async fn partition(&self, state_key: &str, id: PartitionId) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.with(state_key, |state| state.partitions.get(&id).cloned()))
    }

    async fn segment(&self, state_key: &str, number: u64) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.with(state_key, |state| state.journal.get(&number).cloned()))
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<(), Failure> {
        self.with(commit.state_key, |state| {
            state.move_head(&commit)?;
            if let Some(segment) = commit.segment {
                state.journal.insert(commit.head.segment, segment.to_vec());
            }
            Ok(())
        })
    }

    async fn put_partition(&self, state_key: &str, epoch: u64, id: PartitionId, bytes: &[u8]) -> Result<(), Failure> {
        self.with(state_key, |state| {
            state.fence(Some(epoch))?;
            state.partitions.insert(id, bytes.to_vec());
            Ok(())
        })
    }

    async fn fold(&self, commit: Commit<'_>, keep: &[PartitionId]) -> Result<(), Failure> {
        self.with(commit.state_key, |state| {
            state.move_head(&commit)?;
            state.partitions.retain(|id, _| keep.contains(id));
            state.journal.retain(|&number, _| number > commit.head.segment);
            Ok(())
        })
    }

    async fn forget(&self, state_key: &str, expected: u64) -> Result<bool, Failure> {
        let mut states = self.states();
        match states.get(state_key) {
            Some(state) if state.head.is_some() => state.fence(Some(expected))?,
            _ => return Ok(false),
        }
        Ok(states.remove(state_key).is_some())
    }

    async fn list(&self, limit: u32) -> Result<Vec<StateLine>, Failure> {
        let lines = self.states();
        let heads = lines
            .iter()
            .filter_map(|(key, state)| state.head.clone().map(|head| StateLine { state_key: key.clone(), head }));
        Ok(heads.take(limit as usize).collect())
    }
}
