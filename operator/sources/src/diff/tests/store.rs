//! A store in memory that checks what a store has to check, and fails where a test wants it to.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::extraction::Extraction;
use backflow_core::result::{Counters, Phase};
use backflow_core::state::{Commit, Head, PartitionId, RejectChange, RejectRow, RunRow, StateLine, StateStore};

/// The contents.
#[derive(Clone, Default)]
pub(super) struct Contents {
    pub head: Option<Head>,
    pub partitions: BTreeMap<PartitionId, Vec<u8>>,
    pub segments: BTreeMap<u64, Vec<u8>>,
    pub runs: BTreeMap<String, RunRow>,
    pub rejects: BTreeMap<String, RejectRow>,
    /// Partitions that were written since the store was made.
    pub written: u64,
    /// This many more writes succeed.
    pub writes_left: Option<u64>,
}

/// State of one key.
#[derive(Default)]
pub(super) struct MemoryStore {
    contents: Mutex<Contents>,
    /// A run that was replaced and still lives: it finishes after the next claim has looked, and before it writes.
    pub rival: Mutex<Option<Box<dyn Extraction>>>,
}

impl MemoryStore {
    pub(super) fn get<T>(&self, read: impl FnOnce(&mut Contents) -> T) -> T {
        read(&mut self.contents.lock().unwrap())
    }
}

impl Contents {
    fn fenced(&mut self, epoch: Option<u64>) -> Result<(), Failure> {
        if let Some(left) = &mut self.writes_left {
            let Some(less) = left.checked_sub(1) else {
                return Err(Failure::new(Code::WarehouseUnavailable, "the store is away"));
            };
            *left = less;
        }
        if self.head.as_ref().map(|head| head.epoch) == epoch {
            Ok(())
        } else {
            Err(Failure::new(Code::Fenced, "another run has taken over"))
        }
    }

    fn put(&mut self, commit: &Commit<'_>) {
        self.head = Some(commit.head.clone());
        self.runs.insert(commit.run.name.clone(), commit.run.clone());
        for reject in commit.rejects {
            match reject {
                RejectChange::Put(row) => self.rejects.insert(row.key.clone(), row.clone()),
                RejectChange::Remove(key) => self.rejects.remove(key),
            };
        }
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn prepare(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn head(&self, _: &str) -> Result<Option<Head>, Failure> {
        Ok(self.get(|contents| contents.head.clone()))
    }

    async fn claim(
        &self,
        _: &str,
        expected: Option<&Head>,
        head: &Head,
        run: &RunRow,
        reset: bool,
    ) -> Result<(), Failure> {
        let rival = self.rival.lock().unwrap().take();
        if let Some(mut rival) = rival {
            rival.finish(&Counters::default(), Phase::Succeeded).await?;
        }
        self.get(|contents| {
            contents.fenced(expected.map(|head| head.epoch))?;
            if contents.head.as_ref() != expected {
                return Err(Failure::new(Code::Fenced, "the head has moved"));
            }
            if reset {
                contents.partitions.clear();
                contents.segments.clear();
                contents.rejects.clear();
            }
            contents.head = Some(head.clone());
            contents.runs.insert(run.name.clone(), run.clone());
            Ok(())
        })
    }

    async fn run(&self, _: &str, name: &str) -> Result<Option<RunRow>, Failure> {
        Ok(self.get(|contents| contents.runs.get(name).cloned()))
    }

    async fn partition(&self, _: &str, id: PartitionId) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.get(|contents| contents.partitions.get(&id).cloned()))
    }

    async fn segment(&self, _: &str, number: u64) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.get(|contents| contents.segments.get(&number).cloned()))
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<(), Failure> {
        self.get(|contents| {
            contents.fenced(Some(commit.head.epoch))?;
            if let Some(segment) = commit.segment {
                assert!(
                    contents.segments.insert(commit.head.segment, segment.to_vec()).is_none(),
                    "a number came twice"
                );
            }
            contents.put(&commit);
            Ok(())
        })
    }

    async fn put_partition(&self, _: &str, epoch: u64, id: PartitionId, bytes: &[u8]) -> Result<(), Failure> {
        self.get(|contents| {
            contents.fenced(Some(epoch))?;
            contents.written += 1;
            contents.partitions.insert(id, bytes.to_vec());
            Ok(())
        })
    }

    async fn fold(&self, commit: Commit<'_>, keep: &[PartitionId]) -> Result<(), Failure> {
        self.get(|contents| {
            contents.fenced(Some(commit.head.epoch))?;
            contents.put(&commit);
            contents.segments.retain(|number, _| *number > commit.head.segment);
            contents.partitions.retain(|id, _| keep.contains(id));
            assert_eq!(contents.partitions.len(), keep.len(), "a fold keeps what is there");
            Ok(())
        })
    }

    async fn forget(&self, _: &str, expected: u64) -> Result<bool, Failure> {
        self.get(|contents| {
            contents.fenced(Some(expected))?;
            *contents = Contents::default();
            Ok(true)
        })
    }

    async fn list(&self, _: u32) -> Result<Vec<StateLine>, Failure> {
        Ok(Vec::new())
    }
}
