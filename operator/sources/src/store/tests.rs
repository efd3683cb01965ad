//! What goes wrong at a place, and what must not become of the state.

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::plan::S3State;
use backflow_core::record::Rejection;
use backflow_core::result::{Counters, Phase};
use backflow_core::secret::{SecretRef, Secrets};
use backflow_core::state::{Commit, Head, PartitionId, RejectChange, RejectRow, RunRow, StateStore};
use bytes::Bytes;
use secrecy::SecretString;

use super::cloud::Cloud;
use super::directory::Directory;
use super::objects::{Found, Objects};
use super::packed::PackedState;

const KEY: &str = "growth/crm";

fn head(epoch: u64, segment: u64) -> Head {
    let document = format!("{{\"segment\":{segment}}}");
    Head { format: 1, owner: "cluster".into(), epoch, generation: 0, segment, document }
}

fn run(name: &str, epoch: u64) -> RunRow {
    serde_json::from_value(serde_json::json!({
        "name": name, "number": epoch, "epoch": epoch, "first_epoch": epoch, "phase": Phase::Running,
        "counters": Counters::default(), "started_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z",
    }))
    .unwrap()
}

fn reject(key: &str) -> RejectChange {
    let rejection = Rejection::new("HTTP_422", Some("email"), "the destination refuses the value");
    RejectChange::Put(RejectRow { key: key.into(), operation: "Upsert".into(), rejection })
}

/// How the next creations of an object end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Creation {
    /// Not done.
    Fails,
    /// Done, and nobody knows.
    Unknown,
    /// Done, and before its writer looks, another run claims what it has made current.
    Overtaken,
}

/// A folder that misbehaves as told.
struct Place {
    folder: Directory,
    creations: Mutex<Vec<Creation>>,
    /// What lists show instead of what is there.
    old_list: Mutex<Option<Vec<Found>>>,
    puts_fail: Mutex<bool>,
}

impl Place {
    fn new(root: &Path) -> Arc<Self> {
        Arc::new(Self {
            folder: Directory::new(root, None),
            creations: Mutex::default(),
            old_list: Mutex::default(),
            puts_fail: Mutex::default(),
        })
    }

    fn store(self: &Arc<Self>) -> PackedState {
        PackedState::new(Arc::clone(self) as Arc<dyn Objects>)
    }
}

#[async_trait]
impl Objects for Place {
    fn place(&self) -> String {
        self.folder.place()
    }

    async fn prepare(&self) -> Result<(), Failure> {
        self.folder.prepare().await
    }

    async fn get(&self, name: &str) -> Result<Option<Bytes>, Failure> {
        self.folder.get(name).await
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<bool, Failure> {
        let failure = Failure::new(Code::StateStoreUnavailable, "it is away");
        let next = self.creations.lock().unwrap().pop();
        match next {
            Some(Creation::Fails) => return Err(failure),
            Some(Creation::Unknown) => {}
            Some(Creation::Overtaken) => {
                let created = self.folder.create(name, bytes).await;
                let other = PackedState::new(Arc::new(self.folder.clone()));
                let seen = other.head(KEY).await?.unwrap();
                let claimed = Head { epoch: seen.epoch + 1, ..seen.clone() };
                other.claim(KEY, Some(&seen), &claimed, &run("r", claimed.epoch), false).await?;
                return created;
            }
            None => return self.folder.create(name, bytes).await,
        }
        self.folder.create(name, bytes).await?;
        Err(failure)
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), Failure> {
        if *self.puts_fail.lock().unwrap() {
            return Err(Failure::new(Code::StateStoreUnavailable, "it is full"));
        }
        self.folder.put(name, bytes).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<Found>, Failure> {
        let old = self.old_list.lock().unwrap().clone();
        match old {
            Some(old) => Ok(old.into_iter().filter(|found| found.name.starts_with(folder)).collect()),
            None => self.folder.list(folder).await,
        }
    }

    async fn folders(&self) -> Result<Vec<String>, Failure> {
        self.folder.folders().await
    }

    async fn remove(&self, names: Vec<String>) -> Result<(), Failure> {
        self.folder.remove(names).await
    }
}

async fn commit(store: &PackedState, head: &Head, segment: &[u8]) -> Result<(), Failure> {
    let row = run("r", head.epoch);
    store.commit(Commit { state_key: KEY, head, segment: Some(segment), run: &row, rejects: &[] }).await
}

fn code<T>(result: Result<T, Failure>) -> Code {
    result.err().expect("this must fail").code
}

/// The files below a folder, by name.
fn files(root: &Path, folder: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(root.join("growth_crm").join(folder)) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_crash_between_segment_and_head_leaves_the_state_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    let place = Place::new(root.path());
    let old = place.store();
    old.claim(KEY, None, &head(1, 0), &run("r", 1), false).await.unwrap();
    place.creations.lock().unwrap().push(Creation::Fails);
    assert_eq!(code(commit(&old, &head(1, 1), b"lost").await), Code::StateStoreUnavailable);
    assert_eq!(files(root.path(), "journal").len(), 1, "the segment is there");

    let new = place.store();
    assert_eq!(new.head(KEY).await.unwrap(), Some(head(1, 0)));
    assert_eq!(new.segment(KEY, 1).await.unwrap(), None, "and does not count");
    new.claim(KEY, Some(&head(1, 0)), &head(2, 0), &run("r", 2), false).await.unwrap();
    commit(&new, &head(2, 1), b"new").await.unwrap();
    assert_eq!(code(commit(&old, &head(1, 1), b"late").await), Code::Fenced);
    assert_eq!(new.segment(KEY, 1).await.unwrap().as_deref(), Some(&b"new"[..]));
    let row = run("r", 2);
    let folded = Head { generation: 1, ..head(2, 1) };
    let fold = Commit { state_key: KEY, head: &folded, segment: None, run: &row, rejects: &[] };
    new.fold(fold, &[]).await.unwrap();
    assert_eq!(files(root.path(), "journal"), Vec::<String>::new(), "a fold clears away what a crash left");
}

#[tokio::test]
async fn after_a_write_of_unknown_end_the_claim_is_not_used_again() {
    let root = tempfile::tempdir().unwrap();
    let place = Place::new(root.path());
    let store = place.store();
    store.claim(KEY, None, &head(1, 0), &run("r", 1), false).await.unwrap();
    place.creations.lock().unwrap().push(Creation::Unknown);
    assert_eq!(code(commit(&store, &head(1, 1), b"one").await), Code::StateStoreUnavailable);
    assert_eq!(code(commit(&store, &head(1, 1), b"two").await), Code::Fenced);
    let other = place.store();
    assert_eq!(other.head(KEY).await.unwrap(), Some(head(1, 1)));
    assert_eq!(other.segment(KEY, 1).await.unwrap().as_deref(), Some(&b"one"[..]));
}

/// The run that was overtaken cannot tell whether its commit counts, and need not: but what the other one goes on from must stay.
#[tokio::test]
async fn a_run_that_is_overtaken_takes_nothing_away_from_the_one_that_goes_on_from_its_commit() {
    let root = tempfile::tempdir().unwrap();
    let place = Place::new(root.path());
    let old = place.store();
    old.claim(KEY, None, &head(1, 0), &run("r", 1), false).await.unwrap();
    place.creations.lock().unwrap().push(Creation::Overtaken);
    assert_eq!(code(commit(&old, &head(1, 1), b"one").await), Code::Fenced);
    let new = place.store();
    assert_eq!(new.head(KEY).await.unwrap(), Some(Head { epoch: 2, ..head(1, 1) }));
    assert_eq!(new.segment(KEY, 1).await.unwrap().as_deref(), Some(&b"one"[..]), "the newest head names it");
}

#[tokio::test]
async fn a_full_place_moves_nothing_and_the_run_may_go_on_when_there_is_room() {
    let root = tempfile::tempdir().unwrap();
    let place = Place::new(root.path());
    let store = place.store();
    store.claim(KEY, None, &head(1, 0), &run("r", 1), false).await.unwrap();
    *place.puts_fail.lock().unwrap() = true;
    assert_eq!(code(commit(&store, &head(1, 1), b"one").await), Code::StateStoreUnavailable);
    assert_eq!(store.head(KEY).await.unwrap(), Some(head(1, 0)));
    *place.puts_fail.lock().unwrap() = false;
    commit(&store, &head(1, 1), b"one").await.unwrap();
    assert_eq!(store.segment(KEY, 1).await.unwrap().as_deref(), Some(&b"one"[..]));
}

#[tokio::test]
async fn a_list_that_lags_shows_an_old_head_and_the_newest_is_found() {
    let root = tempfile::tempdir().unwrap();
    let place = Place::new(root.path());
    let store = place.store();
    store.claim(KEY, None, &head(1, 0), &run("r", 1), false).await.unwrap();
    let old = place.folder.list("growth_crm/head").await.unwrap();
    for segment in 1..=5 {
        commit(&store, &head(1, segment), b"s").await.unwrap();
    }
    *place.old_list.lock().unwrap() = Some(old);
    assert_eq!(place.store().head(KEY).await.unwrap(), Some(head(1, 5)));
    *place.old_list.lock().unwrap() = Some(Vec::new());
    let claimed = place.store().claim(KEY, None, &head(1, 0), &run("r", 1), false).await;
    assert_eq!(code(claimed), Code::Fenced, "a list that shows nothing makes no second state");
}

#[tokio::test]
async fn a_run_that_slept_until_its_place_in_the_chain_was_cleared_does_not_come_back() {
    let root = tempfile::tempdir().unwrap();
    let place = Place::new(root.path());
    let (old, new) = (place.store(), place.store());
    old.claim(KEY, None, &head(1, 0), &run("r", 1), false).await.unwrap();
    new.claim(KEY, Some(&head(1, 0)), &head(2, 0), &run("r", 2), false).await.unwrap();
    for segment in 1..=100 {
        commit(&new, &head(2, segment), b"new").await.unwrap();
    }
    let heads = files(root.path(), "head");
    assert!(heads.len() < 40, "{} heads are kept", heads.len());
    assert_eq!(code(commit(&old, &head(1, 1), b"late").await), Code::Fenced);
    assert!(files(root.path(), "head")[0] < heads[0], "it has written a head where one was removed");
    assert_eq!(new.head(KEY).await.unwrap(), Some(head(2, 100)));
    assert_eq!(new.segment(KEY, 1).await.unwrap().as_deref(), Some(&b"new"[..]));
    for segment in 101..=140 {
        commit(&new, &head(2, segment), b"new").await.unwrap();
    }
    assert!(files(root.path(), "head")[0] > heads[0], "and that is cleared away");

    let forgotten = place.store();
    assert!(forgotten.forget(KEY, 2).await.unwrap());
    assert_eq!(code(commit(&new, &head(2, 141), b"late").await), Code::Fenced);
    for folder in ["journal", "partitions", "runs", "rejects"] {
        assert_eq!(files(root.path(), folder), Vec::<String>::new(), "{folder}");
    }
    assert_eq!(files(root.path(), "head").len(), 1, "the number of the last head stays");
}

#[tokio::test]
async fn heads_that_were_damaged_or_are_newer_are_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    let store = Place::new(root.path()).store();
    store.claim(KEY, None, &head(1, 0), &run("r", 1), false).await.unwrap();
    let path = root.path().join("growth_crm/head").join(format!("{:020}", 1));
    let whole = std::fs::read(&path).unwrap();
    let text = String::from_utf8(whole.clone()).unwrap();
    let mut flipped = whole.clone();
    flipped[20] ^= 1;
    for bytes in [flipped, whole[..whole.len() / 2].to_vec(), whole[..whole.len() - 1].to_vec(), Vec::new()] {
        std::fs::write(&path, bytes).unwrap();
        let failure = store.head(KEY).await.unwrap_err();
        assert_eq!(failure.code, Code::StateDamaged, "{failure}");
        assert!(failure.message.contains("growth_crm/head/") && failure.message.contains("remove it"), "{failure}");
    }
    let seal = |json: &str| format!("{json}\n{:016x}\n", xxhash_rust::xxh3::xxh3_64(json.as_bytes()));
    let json = text.lines().next().unwrap();
    std::fs::write(&path, seal(&json.replace("\"layout\":1", "\"layout\":2,\"new\":[]"))).unwrap();
    assert_eq!(code(store.head(KEY).await), Code::StateTooNew);
    std::fs::write(&path, seal(&json.replace(KEY, "growth/other"))).unwrap();
    assert_eq!(code(store.head(KEY).await), Code::StateDamaged);
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(store.head(KEY).await.unwrap(), Some(head(1, 0)));
}

#[tokio::test]
async fn a_fold_leaves_what_it_keeps_and_the_list_of_rejects_is_lines_of_json() {
    let root = tempfile::tempdir().unwrap();
    let store = Place::new(root.path()).store();
    store.claim(KEY, None, &head(1, 0), &run("r", 1), false).await.unwrap();
    let row = run("r", 1);
    for (segment, rejects) in
        [(1, vec![reject("1"), reject("2")]), (2, vec![RejectChange::Remove("1".into())]), (3, vec![reject("3")])]
    {
        let head = head(1, segment);
        let commit = Commit { state_key: KEY, head: &head, segment: Some(b"s"), run: &row, rejects: &rejects };
        store.commit(commit).await.unwrap();
    }
    assert_eq!(files(root.path(), "rejects").len(), 3);
    for index in 0..3 {
        store.put_partition(KEY, 1, PartitionId { generation: 1, index }, b"p").await.unwrap();
    }
    let folded = Head { generation: 1, ..head(1, 3) };
    let fold = Commit { state_key: KEY, head: &folded, segment: None, run: &row, rejects: &[] };
    store.fold(fold, &[PartitionId { generation: 1, index: 1 }]).await.unwrap();
    assert_eq!((files(root.path(), "partitions").len(), files(root.path(), "journal").len()), (1, 0));
    let rejects = files(root.path(), "rejects");
    assert_eq!(rejects.len(), 1);
    let text = std::fs::read_to_string(root.path().join("growth_crm/rejects").join(&rejects[0])).unwrap();
    let keys: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["key"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(keys, ["2", "3"]);
    assert_eq!(std::fs::read_dir(root.path().join(".unnamed")).unwrap().count(), 0);
}

struct Keys;

impl Secrets for Keys {
    fn read(&self, _: &SecretRef) -> Result<SecretString, Failure> {
        Ok(SecretString::from("canary"))
    }
}

/// Time runs only while nobody does anything: the limits are met, but not waited for.
#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_ends_every_call() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let secret = || Some(SecretRef { name: "s".into(), key: "k".into() });
    let plan = S3State {
        bucket: "states".into(),
        endpoint: Some(format!("http://{}", server.local_addr().unwrap())),
        access_key_id: secret(),
        secret_access_key: secret(),
        ..S3State::default()
    };
    let cloud = Cloud::s3(&plan, &Keys).unwrap();
    let failure = cloud.get("a").await.unwrap_err();
    assert!(matches!(failure.code, Code::ConnectionFailed | Code::StateStoreUnavailable), "{failure}");
    assert!(failure.message.contains("s3://states") && !failure.message.contains("canary"), "{failure}");
    let failure = cloud.create("a", Bytes::from_static(b"b")).await.unwrap_err();
    assert!(matches!(failure.code, Code::ConnectionFailed | Code::StateStoreUnavailable), "{failure}");
}
