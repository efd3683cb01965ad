//! The worker's program between a MariaDB and a receiver: what arrives, also after a crash, and what is left behind.

use std::collections::BTreeMap;

use backflow_core::code::Code;
use backflow_core::result::Phase;
use backflow_tests::customers::deletion;
use backflow_tests::until;
use backflow_tests::worker::{balanced, sorted};

use super::shop::Shop;

const SIGABRT: i32 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn all_then_the_changes_then_nothing() {
    let mut shop = Shop::start(3000).await;
    let first = shop.succeed("run-1").await;
    assert_eq!(shop.scenario.taken(), shop.customers.all());
    assert_eq!((first.findings.clone().unwrap().added, first.counters.upserted), (3000, 3000));
    shop.scenario.requests();

    shop.rename(&[1, 20, 33, 144, 3000], "é \"new\" {} 😀");
    shop.remove(7, 8);
    shop.add(3001, 3003);
    let second = shop.succeed("run-2").await;
    let mut changed = shop.customers.upserts([1, 20, 33, 144, 3000, 3001, 3002, 3003]);
    changed.extend([deletion(7), deletion(8)]);
    changed.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(shop.scenario.taken(), changed);
    let found = second.findings.clone().unwrap();
    assert_eq!((found.added, found.updated, found.deleted), (3, 5, 2));
    assert!(balanced(&first) && balanced(&second));
    shop.scenario.requests();

    // The third run is in the head until another follows it.
    let third = shop.succeed("run-3").await;
    assert_eq!((shop.scenario.requests(), third.counters.requests), (0, 0));
    let runs =
        format!("SELECT COUNT(*) FROM {}_state.objects WHERE name LIKE '%/runs/%' AND JSON_VALID(content)", shop.name);
    assert_eq!(shop.server.query(&runs).unwrap(), [["2"]], "people read runs with SQL");
    assert_eq!(shop.server.active(&shop.name).unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_ends_complete() {
    let mut shop = Shop::start(300).await;
    for failpoint in ["after-send", "inside-commit", "after-commit", "inside-fold"] {
        shop.scenario.sync.mapping.state_key = format!("shop/{failpoint}");
        let died = shop.scenario.pod(failpoint).failpoint(failpoint).start().unwrap().ended().await.unwrap();
        assert_eq!(died.signal, Some(SIGABRT), "{failpoint}: {died:?}");
        let result = shop.succeed(failpoint).await;
        let items = shop.scenario.items();
        let mut keys: BTreeMap<String, &str> = BTreeMap::new();
        for item in &items {
            let key = keys.entry(item.id.to_string()).or_insert(&item.key);
            assert_eq!(*key, item.key, "{failpoint}: sent again with another key");
        }
        let mut once = sorted(&items);
        once.dedup();
        assert_eq!(once, shop.customers.all(), "{failpoint}");
        assert!(balanced(&result) && result.counters.upserted == 300, "{failpoint}: {result:?}");
        shop.scenario.requests();
        shop.succeed(&format!("{failpoint}-after")).await;
        assert_eq!(shop.scenario.requests(), 0, "{failpoint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_model_deletes_nothing_until_it_is_approved() {
    let mut shop = Shop::start(200).await;
    shop.succeed("run-1").await;
    shop.scenario.taken();
    shop.remove(1, 200);
    let result = shop.run("run-2").await.result().unwrap();
    assert_eq!(result.phase, Phase::PartiallySucceeded);
    assert_eq!((result.counters.withheld, result.counters.deleted), (200, 0));
    assert_eq!(shop.scenario.taken(), []);
    shop.scenario.sync.options.approve_deletes = Some(200);
    let result = shop.succeed("run-3").await;
    assert_eq!((result.counters.withheld, result.counters.deleted), (0, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_takes_its_query_along() {
    let mut shop = Shop::start(50).await;
    // A query that waits, and one that computes.
    shop.scenario.sync.model.query =
        backflow_core::plan::ModelQuery::Sql("SELECT *, SLEEP(IF(id = 30, 600, 0)) AS slept FROM customers".into());
    for (stop, outcome) in [
        ("cancel", (Some(0), "Canceled".to_owned(), Some(Code::Canceled))),
        ("terminate", (Some(143), "Running".to_owned(), Some(Code::Terminated))),
    ] {
        let mut pod = shop.scenario.pod(&format!("run-{stop}")).start().unwrap();
        let reads = async || shop.server.active(&shop.name).unwrap().iter().any(|sql| sql.contains("SLEEP"));
        until("the worker does not read", reads).await.unwrap();
        if stop == "cancel" {
            pod.cancel().await.unwrap();
        } else {
            pod.terminate().unwrap();
        }
        let ended = pod.ended().await.unwrap();
        assert_eq!(ended.outcome().unwrap(), outcome, "{ended:?}");
        shop.clean(&ended);
        assert_eq!(shop.server.active(&shop.name).unwrap(), Vec::<String>::new(), "{stop}");
    }
    assert_eq!(shop.scenario.requests(), 0);
}

/// What a run ends with when the world is not as it was; the cure, and that then everything is delivered.
#[tokio::test(flavor = "multi_thread")]
async fn a_world_that_changed_is_explained_and_nothing_is_lost() {
    let mut shop = Shop::start(300).await;
    shop.succeed("before").await;
    shop.scenario.taken();
    let name = shop.name.clone();
    let refused = async |shop: &mut Shop, run: &str, code: Code, said: &str| {
        shop.sql("SELECT 1");
        let ended = shop.run(run).await;
        let (_, phase, found) = ended.outcome().unwrap();
        assert_eq!((phase.as_str(), found), ("Failed", Some(code)), "{run}: {}", ended.message);
        assert!(ended.message.contains(said), "{run}: no {said} in {}", ended.message);
        assert_eq!(shop.scenario.taken(), [], "{run}");
    };
    let cured = async |shop: &mut Shop, run: &str| {
        shop.rename(&[2, 77], run);
        shop.succeed(run).await;
        assert_eq!(shop.scenario.taken(), shop.customers.upserts([2, 77]), "{run}");
    };

    shop.sql("ALTER TABLE customers RENAME TO clients");
    refused(&mut shop, "no-table", Code::TableNotFound, "check its name").await;
    shop.sql("ALTER TABLE clients RENAME TO customers");
    cured(&mut shop, "table-again").await;

    shop.sql(&format!("REVOKE SELECT ON {name}.* FROM {name}; GRANT INSERT ON {name}.* TO {name}"));
    let grant = format!("GRANT SELECT ON `{name}`.`customers` TO `{name}`@'%'");
    refused(&mut shop, "no-grant", Code::PermissionDenied, &grant).await;
    shop.sql(&grant);
    cured(&mut shop, "grant-again").await;

    let ids = backflow_core::plan::ModelQuery::Sql("SELECT id, name, plan, score FROM customers".into());
    shop.scenario.sync.model.query = ids;
    shop.sql("ALTER TABLE customers RENAME COLUMN score TO points");
    refused(&mut shop, "renamed-column", Code::ColumnNotFound, "column score does not exist").await;
    shop.sql("ALTER TABLE customers RENAME COLUMN points TO score");
    cured(&mut shop, "column-again").await;

    shop.scenario.put_secret(&name, "password", "wrong").unwrap();
    refused(&mut shop, "wrong-password", Code::AuthenticationFailed, "refuses the password").await;
    let password = shop.server.password(&name).unwrap();
    shop.scenario.put_secret(&name, "password", &password).unwrap();
    cured(&mut shop, "password-again").await;

    // Another type is another value, where it is one.
    shop.sql("ALTER TABLE customers MODIFY score DECIMAL(10,2)");
    let changed = shop.succeed("another-type").await;
    assert_eq!(changed.findings.unwrap().updated, 298, "all but those without a score");
    assert_eq!(shop.scenario.taken().len(), 298);

    // A state that somebody dropped: everything is sent, as at first.
    shop.sql(&format!("DROP TABLE {name}_state.objects"));
    let again = shop.succeed("dropped-table").await;
    assert_eq!((again.findings.unwrap().added, shop.scenario.taken().len()), (300, 300));
    shop.sql(&format!("DROP DATABASE {name}_state; REVOKE ALL ON `{name}\\_state`.* FROM {name}"));
    refused(&mut shop, "dropped-database", Code::StateSchemaMissing, &format!("CREATE DATABASE `{name}_state`")).await;
}
