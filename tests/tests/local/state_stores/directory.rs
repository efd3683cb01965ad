//! State in a folder.

use std::path::Path;
use std::sync::Arc;

use backflow_core::code::{Code, Failure};
use backflow_core::plan::{Connection, DiffEngine, DirectoryState, SourcePlan, Sqlite, StateLocation, StateStorePlan};
use backflow_core::secret::{SecretRef, Secrets};
use backflow_core::state::StateStore;
use backflow_sources::warehouse::open_state;
use backflow_tests::state_conformance;

/// There is nothing to read.
struct NoSecrets;

impl Secrets for NoSecrets {
    fn read(&self, reference: &SecretRef) -> Result<secrecy::SecretString, Failure> {
        Err(reference.not_found())
    }
}

async fn store(folder: &Path) -> Arc<dyn StateStore> {
    let plan = SourcePlan {
        name: "warehouse".into(),
        connection: Connection::Sqlite(Sqlite { path: "unused.db".into() }),
        state: StateLocation::Store(StateStorePlan::Directory(DirectoryState {
            path: folder.to_string_lossy().into_owned(),
            claim: None,
        })),
        diff: DiffEngine::Streaming,
    };
    open_state(&plan, &NoSecrets, "backflow/test").await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn state_conforms_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("made/by/the/store");
    state_conformance::check(store(&root).await, store(&root).await).await;
}

#[tokio::test]
async fn a_place_that_is_no_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    for root in [file.clone(), file.join("below")] {
        let failure = store(&root).await.prepare().await.unwrap_err();
        assert_eq!(failure.code, Code::StateStoreMissing, "{failure}");
        assert!(failure.message.contains(&*root.to_string_lossy()), "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_are_gone_or_cut_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    store.claim("a/b", None, &state_conformance::head(1), &state_conformance::run("r", 1), false).await.unwrap();
    let heads = folder.path().join("a_b/head");
    for head in std::fs::read_dir(&heads).unwrap() {
        let path = head.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    }
    for result in
        [store.head("a/b").await.map(drop), store.list(10).await.map(drop), store.forget("a/b", 1).await.map(drop)]
    {
        let failure = result.unwrap_err();
        assert_eq!(failure.code, Code::StateDamaged, "{failure}");
        assert!(failure.message.contains("a_b/head/"), "{failure}");
    }
}
