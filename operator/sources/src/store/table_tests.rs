//! A table in memory, with writers at once and writings that did not end.

use std::sync::Mutex;

use backflow_core::notes::{LONGEST, Notes as _};
use backflow_core::state::StateStore;

use super::*;
use crate::notes::StoredNotes;
use crate::store::PackedState;

// The suites of all stores on real servers run it too.
#[path = "../../../../tests/src/state_conformance.rs"]
#[allow(unreachable_pub, reason = "it is public in the test kit")]
mod state_conformance;

#[derive(Default)]
struct Memory {
    rows: Mutex<Vec<Part>>,
    /// Additions that succeed before one fails.
    lasts: Mutex<Option<usize>>,
    /// The next first addition happens, and its answer is lost.
    lost: Mutex<bool>,
}

impl Memory {
    fn rows(&self) -> std::sync::MutexGuard<'_, Vec<Part>> {
        self.rows.lock().unwrap()
    }
}

fn failure() -> Failure {
    Failure::new(Code::ConnectionFailed, "broken")
}

#[async_trait]
impl ObjectTable for Memory {
    fn place(&self) -> String {
        "memory".into()
    }

    async fn prepare(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn parts(&self, name: &str) -> Result<Vec<Part>, Failure> {
        Ok(self.rows().iter().filter(|part| part.name == name).cloned().collect())
    }

    async fn add(&self, part: &Part) -> Result<(), Failure> {
        if let Some(left) = self.lasts.lock().unwrap().as_mut() {
            *left = left.checked_sub(1).ok_or_else(failure)?;
        }
        self.rows().push(part.clone());
        Ok(())
    }

    async fn add_first(&self, part: &Part) -> Result<(), Failure> {
        let mut rows = self.rows();
        if rows.iter().all(|known| known.name != part.name) {
            rows.push(part.clone());
        }
        if std::mem::take(&mut *self.lost.lock().unwrap()) { Err(failure()) } else { Ok(()) }
    }

    async fn remove_others(&self, name: &str, writing: &str) -> Result<(), Failure> {
        self.rows().retain(|part| part.name != name || part.writing == writing);
        Ok(())
    }

    async fn names(&self, prefix: &str) -> Result<Vec<(String, u64)>, Failure> {
        let mut names = BTreeMap::new();
        for part in self.rows().iter().filter(|part| part.name.starts_with(prefix)) {
            *names.entry(part.name.clone()).or_default() += part.bytes as u64;
        }
        Ok(names.into_iter().collect())
    }

    async fn folders(&self) -> Result<Vec<String>, Failure> {
        let folder = |part: &Part| part.name.split('/').next().map(str::to_owned);
        let folders: std::collections::BTreeSet<String> = self.rows().iter().filter_map(folder).collect();
        Ok(folders.into_iter().collect())
    }

    async fn remove(&self, names: &[String]) -> Result<(), Failure> {
        self.rows().retain(|part| !names.contains(&part.name));
        Ok(())
    }
}

fn table() -> (Arc<Memory>, Table) {
    let memory = Arc::<Memory>::default();
    (Arc::clone(&memory), Table(memory))
}

#[tokio::test]
async fn what_is_put_is_got_whatever_its_bytes() {
    let (memory, table) = table();
    let long: Vec<u8> = (0..PART * 5 / 2).map(|at| (at % 251) as u8).collect();
    for bytes in [vec![], b"text\n".to_vec(), b"nul\0".to_vec(), vec![0xff, 0xfe], long.clone()] {
        table.put("a/b", bytes.clone().into()).await.unwrap();
        assert_eq!(table.get("a/b").await.unwrap().unwrap(), bytes);
    }
    assert_eq!(memory.rows().len(), 3, "what was there before is gone");
    let listed = table.list("a").await.unwrap();
    assert_eq!(listed, [Found { name: "a/b".into(), bytes: long.len() as u64 }]);
    assert_eq!(table.list("").await.unwrap(), []);
    table.remove(vec!["a/b".into(), "a/c".into()]).await.unwrap();
    assert_eq!(table.get("a/b").await.unwrap(), None);
}

#[tokio::test]
async fn a_writing_that_did_not_end_is_not_there() {
    let (memory, table) = table();
    table.put("a/b", Bytes::from_static(b"old")).await.unwrap();
    *memory.lasts.lock().unwrap() = Some(1);
    table.put("a/b", vec![0xff; PART + 1].into()).await.unwrap_err();
    assert_eq!(memory.rows().len(), 2);
    assert_eq!(table.get("a/b").await.unwrap().unwrap(), &b"old"[..]);
    *memory.lasts.lock().unwrap() = None;
    table.put("a/b", Bytes::from_static(b"new")).await.unwrap();
    assert_eq!(memory.rows().len(), 1);
    assert_eq!(table.get("a/b").await.unwrap().unwrap(), &b"new"[..]);
}

#[tokio::test]
async fn only_one_creates_and_a_lost_answer_changes_nothing() {
    let (memory, table) = table();
    assert!(table.create("a/1", Bytes::from_static(b"first")).await.unwrap());
    assert!(!table.create("a/1", Bytes::from_static(b"second")).await.unwrap());
    assert!(table.create("a/1", Bytes::from_static(b"first")).await.unwrap(), "these bytes are there");
    *memory.lost.lock().unwrap() = true;
    table.create("a/2", Bytes::from_static(b"third")).await.unwrap_err();
    assert!(table.create("a/2", Bytes::from_static(b"third")).await.unwrap());
    let failure = table.create("a/3", vec![0xff; PART + 1].into()).await.unwrap_err();
    assert_eq!(failure.code, Code::Internal);
}

#[tokio::test]
async fn a_part_of_another_encoding_is_damage() {
    let (memory, table) = table();
    table.put("a/b", Bytes::from_static(&[0xff])).await.unwrap();
    memory.rows()[0].content = "%".into();
    assert_eq!(table.get("a/b").await.unwrap_err().code, Code::StateDamaged);
}

#[tokio::test]
async fn a_state_in_a_table_does_what_every_state_does() {
    let memory = Arc::<Memory>::default();
    let state = || PackedState::in_table(Arc::clone(&memory) as Arc<dyn ObjectTable>);
    state().probe().await.unwrap();
    assert!(memory.rows().is_empty(), "the probe leaves nothing");
    state_conformance::check(Arc::new(state()), Arc::new(state())).await;
}

#[tokio::test]
async fn notes_lie_beside_the_states() {
    let memory = Arc::<Memory>::default();
    let state = || Arc::new(PackedState::in_table(Arc::clone(&memory) as Arc<dyn ObjectTable>)) as Arc<dyn StateStore>;
    let (store, other) = (&state(), &state());
    let (mine, theirs) = (StoredNotes::new(Arc::clone(store)), StoredNotes::new(Arc::clone(other)));
    let name = "account/0123456789abcdef0123456789abcdef";
    assert_eq!(mine.read(name).await.unwrap(), None);
    let first = mine.write(name, None, "{\"n\":1}").await.unwrap().expect("there was none");
    assert_eq!(theirs.read(name).await.unwrap().as_ref(), Some(&first));
    assert_eq!(theirs.write(name, None, "late").await.unwrap(), None, "somebody was first");
    let second = theirs.write(name, Some(&first), "{\"n\":2}").await.unwrap().expect("nobody else wrote");
    assert_eq!(mine.write(name, Some(&first), "late").await.unwrap(), None, "it has moved");
    assert_eq!(mine.read(name).await.unwrap(), Some(second.clone()));
    let long = "x".repeat(LONGEST);
    let third = mine.write(name, Some(&second), &long).await.unwrap();
    assert_eq!(theirs.read(name).await.unwrap(), third);
    let longer = mine.write(name, third.as_ref(), &format!("{long}x")).await;
    assert_eq!(longer.map_err(|failure| failure.code), Err(Code::LimitExceeded));

    // Of many at once one writes, and a text that was read is never lost.
    let tasks: Vec<_> = (0..6)
        .map(|n| {
            let notes = StoredNotes::new(Arc::clone(if n % 2 == 0 { store } else { other }));
            tokio::spawn(async move {
                loop {
                    let before = notes.read("sum").await.unwrap();
                    let sum = before.as_ref().map_or(0, |note| note.text.parse::<u32>().unwrap());
                    if notes.write("sum", before.as_ref(), &(sum + 1).to_string()).await.unwrap().is_some() {
                        break;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(mine.read("sum").await.unwrap().map(|note| (note.version, note.text)), Some((6, "6".to_owned())));
    let listed = store.list(1000).await.unwrap();
    assert!(listed.iter().all(|line| !line.state_key.contains("sum") && !line.state_key.contains(name)), "{listed:?}");
}
