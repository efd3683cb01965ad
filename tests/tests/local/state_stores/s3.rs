//! State in a bucket, on a server that speaks S3.

use std::sync::Arc;

use axum::http::Method;
use backflow_core::code::{Code, Failure};
use backflow_core::plan::{Connection, DiffEngine, SourcePlan, Sqlite, StateLocation, StateStorePlan};
use backflow_core::secret::Secrets;
use backflow_core::state::{Commit, Head, StateStore};
use backflow_sources::warehouse::{open, open_state};
use backflow_tests::s3::{BUCKET, Fault, S3Server};
use backflow_tests::state_conformance::{self, head, run};

fn source(state: StateLocation) -> SourcePlan {
    SourcePlan {
        name: "warehouse".into(),
        connection: Connection::Sqlite(Sqlite { path: "unused.db".into() }),
        state,
        diff: DiffEngine::Streaming,
    }
}

async fn store(server: &S3Server, prefix: &str) -> Arc<dyn StateStore> {
    open_state(&source(server.state(prefix)), server, "backflow/test").await.unwrap()
}

/// The check of a Source whose warehouse is well.
async fn check(state: StateLocation, secrets: &dyn Secrets) -> Result<String, Failure> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    std::fs::write(&path, b"").unwrap();
    let connection = Connection::Sqlite(Sqlite { path: path.to_string_lossy().into_owned() });
    open(&SourcePlan { connection, ..source(state) }, secrets, "backflow/test").await?.check().await
}

#[tokio::test(flavor = "multi_thread")]
async fn state_conforms_in_a_bucket() {
    let server = S3Server::start().await.unwrap();
    for prefix in ["", "a/b"] {
        state_conformance::check(store(&server, prefix).await, store(&server, prefix).await).await;
    }
}

/// A commit of one segment.
async fn commit(store: &dyn StateStore, key: &str, head: &Head, segment: &[u8]) -> Result<(), Failure> {
    let row = run("r", head.epoch);
    store.commit(Commit { state_key: key, head, segment: Some(segment), run: &row, rejects: &[] }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_is_known_again() {
    let server = S3Server::start().await.unwrap();
    let store = store(&server, "lost").await;
    store.claim("k", None, &head(1), &run("r", 1), false).await.unwrap();
    for segment in 1..=4 {
        server.plan(Method::PUT, "/head/", Fault::LostAnswer, 1);
        let next = Head { segment, ..head(1) };
        commit(&*store, "k", &next, b"s").await.unwrap();
        assert_eq!(server.faults_left(), 0);
        assert_eq!(store.head("k").await.unwrap(), Some(next));
    }
    server.plan(Method::PUT, "/head/", Fault::LostAnswer, 1);
    let claimed = Head { segment: 4, ..head(2) };
    store.claim("k", Some(&Head { segment: 4, ..head(1) }), &claimed, &run("next", 2), false).await.unwrap();
    assert_eq!(store.head("k").await.unwrap(), Some(claimed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_busy_for_a_moment_is_asked_again() {
    let server = S3Server::start().await.unwrap();
    let store = store(&server, "busy").await;
    for (method, path) in [(Method::GET, ""), (Method::PUT, "/head/"), (Method::PUT, "/journal/")] {
        server.plan(method, path, Fault::Unavailable, 2);
    }
    store.claim("k", None, &head(1), &run("r", 1), false).await.unwrap();
    commit(&*store, "k", &Head { segment: 1, ..head(1) }, b"s").await.unwrap();
    assert_eq!(server.faults_left(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_what_is_missing() {
    let server = S3Server::start().await.unwrap();
    assert!(check(server.state("p"), &server).await.unwrap().starts_with("SQLite 3."));
    assert!(store(&server, "p").await.list(10).await.unwrap().is_empty(), "a check leaves nothing behind");
    for (operations, permission) in [
        (&["ListObjectsV2"][..], "s3:ListBucket"),
        (&["PutObject"], "s3:PutObject"),
        (&["GetObject"], "s3:GetObject"),
        (&["DeleteObject", "DeleteObjects"], "s3:DeleteObject"),
    ] {
        server.deny(operations);
        let failure = check(server.state("p"), &server).await.unwrap_err();
        assert_eq!(failure.code, Code::PermissionDenied, "{failure}");
        assert!(failure.message.contains(permission) && failure.message.contains("s3://states/p"), "{failure}");
    }
    server.deny(&[]);
    let other = |change: &dyn Fn(&mut backflow_core::plan::S3State)| {
        let StateLocation::Store(StateStorePlan::S3(mut plan)) = server.state("p") else { panic!("it is S3") };
        change(&mut plan);
        StateLocation::Store(StateStorePlan::S3(plan))
    };
    let failure = check(other(&|plan| plan.bucket = "nowhere".into()), &server).await.unwrap_err();
    assert_eq!(failure.code, Code::StateStoreMissing, "{failure}");
    assert!(failure.message.contains("nowhere"), "{failure}");
    let swapped = other(&|plan| std::mem::swap(&mut plan.access_key_id, &mut plan.secret_access_key));
    let failure = check(swapped, &server).await.unwrap_err();
    assert_eq!(failure.code, Code::AuthenticationFailed, "{failure}");
    let (_, keys) = server.secret();
    assert!(keys.iter().all(|(_, secret)| !failure.message.contains(secret)), "{failure}");

    server.ignore_conditions();
    let failure = check(server.state("p"), &server).await.unwrap_err();
    assert_eq!(failure.code, Code::StateStoreUnfit, "{failure}");
    let claimed = store(&server, "new").await.claim("k", None, &head(1), &run("r", 1), false).await;
    assert_eq!(claimed.unwrap_err().code, Code::StateStoreUnfit, "no state begins where it cannot be fenced");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_named() {
    let server = S3Server::start().await.unwrap();
    let state = server.state("p");
    let secrets = Keys(server.secret().1.map(|(_, value)| value.to_owned()));
    drop(server);
    let failure = check(state, &secrets).await.unwrap_err();
    assert_eq!(failure.code, Code::ConnectionFailed, "{failure}");
    assert!(failure.message.contains(&format!("s3://{BUCKET}/p")), "{failure}");
}

/// Keys of a server that is gone.
struct Keys([String; 2]);

impl Secrets for Keys {
    fn read(&self, reference: &backflow_core::secret::SecretRef) -> Result<secrecy::SecretString, Failure> {
        Ok(secrecy::SecretString::from(self.0[usize::from(reference.key == "key")].as_str()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_commit_do_not_grow_with_the_state() {
    let server = S3Server::start().await.unwrap();
    let store = store(&server, "count").await;
    store.claim("k", None, &head(1), &run("r", 1), false).await.unwrap();
    let _ = server.requests();
    let mut most = 0;
    for segment in 1..=100 {
        commit(&*store, "k", &Head { segment, ..head(1) }, b"s").await.unwrap();
        most = most.max(server.requests().len());
    }
    assert!(most <= 4, "{most} requests for a commit");
    let heads = store.head("k").await.unwrap();
    assert_eq!(heads.map(|head| head.segment), Some(100));
    let _ = server.requests();
    store.head("k").await.unwrap();
    assert!(server.requests().len() <= 3, "one list, the newest head, and that there is none after it");
}
