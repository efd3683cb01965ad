//! State outside of the warehouse: a role that may only read is enough for whole runs, and a crash loses nothing there either.

use backflow_core::code::Code;
use backflow_core::plan::{DirectoryState, StateLocation, StateStorePlan};
use backflow_core::secret::{SecretRef, Secrets as _};
use backflow_tests::receiver::{Fault, Script};
use backflow_tests::s3::S3Server;
use backflow_tests::worker::{Scenario, balanced, sorted};
use secrecy::ExposeSecret as _;

use super::crash::{SIGABRT, complete};

/// A folder and a bucket.
struct Places {
    folder: tempfile::TempDir,
    bucket: S3Server,
}

impl Places {
    async fn start() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), bucket: S3Server::start().await.unwrap() }
    }

    fn states(&self) -> [(&'static str, StateLocation); 2] {
        let path = self.folder.path().join("backflow").to_string_lossy().into_owned();
        let folder = StateStorePlan::Directory(DirectoryState { path, claim: None });
        [("folder", StateLocation::Store(folder)), ("bucket", self.bucket.state("prod/shop"))]
    }
}

/// Customers that the run's role may only read.
async fn read_only(rows: u32, places: &Places) -> Scenario {
    let mut shop = Scenario::with_customers(rows).await.unwrap();
    let reader = format!("{}_reader", shop.database);
    shop.server.role(&reader).await.unwrap();
    shop.sql(&format!("GRANT SELECT ON customers TO {reader}")).await.unwrap();
    // Servers before 15 let everybody make tables in it.
    shop.server.exec(&shop.database, "REVOKE CREATE ON SCHEMA public FROM PUBLIC").await.unwrap();
    let rights = format!(
        "SELECT concat_ws(' ', has_database_privilege('{reader}', current_database(), 'CREATE'), \
         has_schema_privilege('{reader}', 'public', 'CREATE'), has_table_privilege('{reader}', 'customers', 'INSERT'))"
    );
    assert_eq!(shop.value(&rights).await.unwrap(), "f f f");
    let password = shop.server.read(&SecretRef { name: reader.clone(), key: "password".into() }).unwrap();
    shop.put_secret(&reader, "password", password.expose_secret()).unwrap();
    let (name, keys) = places.bucket.secret();
    for (key, value) in keys {
        shop.put_secret(name, key, value).unwrap();
    }
    shop.sync.source = shop.server.source(&reader, &shop.database);
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_only_read_is_enough() {
    let places = Places::start().await;
    let mut shop = read_only(3_000, &places).await;
    let refused = shop.run("in-the-warehouse").await.unwrap();
    assert_eq!(refused.outcome().unwrap().2, Some(Code::StateSchemaMissing), "in the warehouse it cannot");
    let mut next = 3_001;
    for (name, state) in places.states() {
        shop.sync.source.state = state;
        shop.sync.mapping.state_key = format!("shop/{name}");
        shop.requests();
        let first = shop.succeed(&format!("{name}-1")).await.unwrap();
        assert!(shop.taken() == shop.expected("upsert", "true").await.unwrap(), "{name}");
        assert!(balanced(&first), "{name}: {first:?}");
        assert!(shop.succeed(&format!("{name}-2")).await.unwrap().counters.delivered() == 0, "{name}");
        assert_eq!(shop.requests(), first.counters.requests as usize, "{name}: nothing changed, nothing sent");

        let changed = format!("id BETWEEN {next} AND {} OR id BETWEEN 100 AND 104", next + 2);
        shop.add_customers(next, next + 2).await.unwrap();
        shop.sql("UPDATE customers SET score = score + 1 WHERE id BETWEEN 100 AND 104").await.unwrap();
        shop.sql("DELETE FROM customers WHERE id IN (SELECT min(id) FROM customers)").await.unwrap();
        let result = shop.succeed(&format!("{name}-3")).await.unwrap();
        let (upserted, deleted) = (shop.expected("upsert", &changed).await.unwrap(), result.counters.deleted);
        let taken = shop.taken();
        let sent: Vec<_> = taken.iter().filter(|(_, op, _)| op == "upsert").cloned().collect();
        assert!(sent == upserted && deleted == 1 && taken.len() == upserted.len() + 1, "{name}: {result:?}");
        next += 3;
    }
    let schemas = shop.value("SELECT count(*)::text FROM pg_namespace WHERE nspname LIKE '%backflow%'").await.unwrap();
    assert_eq!(schemas, "0", "nothing was made in the warehouse");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_at_each_failpoint_outside_of_the_warehouse() {
    let places = Places::start().await;
    let mut shop = read_only(12_000, &places).await;
    let all = shop.expected("upsert", "true").await.unwrap();
    for (name, state) in places.states() {
        shop.sync.source.state = state;
        for failpoint in [
            "after-extract",
            "after-acknowledge:9",
            "inside-commit",
            "inside-commit:2",
            "after-commit",
            "before-fold",
            "inside-fold",
        ] {
            let when = format!("{name} {failpoint}");
            shop.sync.mapping.state_key = format!("{name}/{failpoint}");
            let run = format!("{name}-{}", failpoint.replace(':', "-"));
            let died = shop.pod(&run).failpoint(failpoint).start().unwrap().ended().await.unwrap();
            assert_eq!(died.signal, Some(SIGABRT), "{when}: {died:?}");
            let result = shop.succeed(&run).await.unwrap();
            complete(&shop.items(), &all, &when);
            assert!(balanced(&result) && result.counters.upserted == 12_000, "{when}: {result:?}");
            assert_eq!(result.checkpoint_after.unwrap().rows, 12_000, "{when}");
            shop.succeed(&format!("{run}-after")).await.unwrap();
            assert_eq!(shop.items().len(), 0, "{when}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_pod_that_still_lives_cannot_commit_outside_of_the_warehouse() {
    let places = Places::start().await;
    let mut shop = read_only(12_000, &places).await;
    for (name, state) in places.states() {
        shop.sync.source.state = state;
        shop.sync.mapping.state_key = format!("shop/{name}");
        shop.receiver.script(Script { next: [Fault::Pass].into(), always: Some(Fault::Hold), ..Script::default() });
        let old = shop.pod(name).start().unwrap();
        shop.receiver.holding(1).await.unwrap();
        shop.receiver.script(Script::default());
        let new = shop.succeed(name).await.unwrap();
        assert_eq!(new.counters.upserted, 12_000, "{name}");
        shop.receiver.release();
        let ended = old.ended().await.unwrap();
        assert_eq!(ended.outcome().unwrap(), (Some(20), "Failed".into(), Some(Code::Fenced)), "{name}");
        let mut once = sorted(&shop.items());
        once.dedup();
        assert!(once == shop.expected("upsert", "true").await.unwrap(), "{name}");
        shop.succeed(&format!("{name}-after")).await.unwrap();
        assert_eq!(shop.items().len(), 0, "{name}");
    }
}
