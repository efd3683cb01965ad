//! A state store in memory, with the same rules as the real ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::notes::PREFIX;
use backflow_core::state::{
    Commit, Head, KEPT_RUNS, PartitionId, RejectChange, RejectRow, RunRow, StateLine, StateStore,
};

/// State that ends with the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    states: Arc<Mutex<BTreeMap<String, State>>>,
    /// What this value wrote last of each key.
    held: Mutex<BTreeMap<String, Head>>,
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
    /// Refuses what does not come from the claim of this epoch, or from another state than this.
    fn fence(&self, epoch: u64, held: Option<&Head>) -> Result<(), Failure> {
        match &self.head {
            Some(head) if head.epoch == epoch && Some(head) == held => Ok(()),
            _ => Err(Failure::new(Code::Fenced, "another run has taken over")),
        }
    }

    fn move_head(&mut self, commit: &Commit<'_>, held: Option<&Head>) -> Result<(), Failure> {
        self.fence(commit.head.epoch, held)?;
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

    /// Another value over the same states, as another process has it.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { states: Arc::clone(&self.states), held: Mutex::default() }
    }

    fn last(&self, state_key: &str) -> Option<Head> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get(state_key).cloned()
    }

    fn wrote(&self, state_key: &str, head: &Head) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(state_key.to_owned(), head.clone());
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
        })?;
        self.wrote(state_key, head);
        Ok(())
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
        let held = self.last(commit.state_key);
        self.with(commit.state_key, |state| {
            state.move_head(&commit, held.as_ref())?;
            if let Some(segment) = commit.segment {
                state.journal.insert(commit.head.segment, segment.to_vec());
            }
            Ok(())
        })?;
        self.wrote(commit.state_key, commit.head);
        Ok(())
    }

    async fn put_partition(&self, state_key: &str, epoch: u64, id: PartitionId, bytes: &[u8]) -> Result<(), Failure> {
        let held = self.last(state_key);
        self.with(state_key, |state| {
            state.fence(epoch, held.as_ref())?;
            state.partitions.insert(id, bytes.to_vec());
            Ok(())
        })
    }

    async fn fold(&self, commit: Commit<'_>, keep: &[PartitionId]) -> Result<(), Failure> {
        let held = self.last(commit.state_key);
        self.with(commit.state_key, |state| {
            state.move_head(&commit, held.as_ref())?;
            state.partitions.retain(|id, _| keep.contains(id));
            state.journal.retain(|&number, _| number > commit.head.segment);
            Ok(())
        })?;
        self.wrote(commit.state_key, commit.head);
        Ok(())
    }

    async fn forget(&self, state_key: &str, expected: u64) -> Result<bool, Failure> {
        let mut states = self.states();
        match states.get(state_key) {
            Some(State { head: Some(head), .. }) => {
                if head.epoch != expected {
                    return Err(Failure::new(Code::Fenced, "another run has taken over"));
                }
            }
            _ => return Ok(false),
        }
        Ok(states.remove(state_key).is_some())
    }

    async fn list(&self, limit: u32) -> Result<Vec<StateLine>, Failure> {
        let lines = self.states();
        let heads = lines.iter().filter(|(key, _)| !key.starts_with(PREFIX)).filter_map(|(key, state)| {
            let bytes = state.partitions.values().chain(state.journal.values()).map(|bytes| bytes.len() as u64).sum();
            state.head.clone().map(|head| StateLine { state_key: key.clone(), head, bytes })
        });
        Ok(heads.take(limit as usize).collect())
    }
}
