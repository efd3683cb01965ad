//! Which changes arrive, and as what.

use std::collections::BTreeSet;

use backflow_core::change::ChangeKind::{Added, Deleted, Updated};
use backflow_core::code::Code;
use backflow_core::plan::{Mode, ModelQuery};
use backflow_core::result::Phase;
use backflow_core::selection::{Selection, SyncMode};
use backflow_tests::worker::{Scenario, Sent, balanced, sorted};
use serde_json::json;

fn deletion(id: &str) -> Sent {
    (id.to_owned(), "delete".to_owned(), json!({}))
}

#[tokio::test(flavor = "multi_thread")]
async fn first_all_then_the_changes_then_nothing() {
    let shop = Scenario::with_customers(10_000).await.unwrap();
    let first = shop.succeed("run-1").await.unwrap();
    assert_eq!(shop.taken(), shop.expected("upsert", "true").await.unwrap());
    let found = first.findings.clone().unwrap();
    assert_eq!((found.rows, found.added, found.updated, found.deleted), (10_000, 10_000, 0, 0));
    assert_eq!(first.counters.upserted, 10_000);
    assert_eq!(first.checkpoint_after.clone().unwrap().rows, 10_000);
    assert!(balanced(&first));
    assert_eq!(first.counters.requests, shop.requests() as u64);

    shop.sql("UPDATE customers SET name = 'é \"new\"', score = NULL WHERE id IN (1, 20, 300, 4000, 10000)")
        .await
        .unwrap();
    shop.sql("DELETE FROM customers WHERE id IN (7, 5000)").await.unwrap();
    shop.add_customers(10_001, 10_003).await.unwrap();
    let second = shop.succeed("run-2").await.unwrap();
    let mut changed = shop.expected("upsert", "id IN (1, 20, 300, 4000, 10000, 10001, 10002, 10003)").await.unwrap();
    assert_eq!(changed.len(), 8);
    changed.extend([deletion("5000"), deletion("7")]);
    changed.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(shop.taken(), changed);
    let found = second.findings.clone().unwrap();
    assert_eq!((found.added, found.updated, found.deleted), (3, 5, 2));
    assert_eq!((second.counters.upserted, second.counters.deleted), (8, 2));
    assert!(balanced(&second));
    assert_eq!(shop.requests(), 3, "one for each kind of change");

    let third = shop.succeed("run-3").await.unwrap();
    assert_eq!((shop.requests(), third.counters.requests), (0, 0));
    let ledger = shop.receiver.ledger();
    assert_eq!(ledger.violations, Vec::<String>::new());
    assert_eq!(ledger.summary().repeated, 0);
    assert_eq!(ledger.rows().len(), 10_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn back_and_forth_is_delivered_each_time_with_a_new_key() {
    let shop = Scenario::with_customers(3).await.unwrap();
    let steps = [
        ("run-1", "SELECT 1", "upsert"),
        ("run-2", "UPDATE customers SET plan = 'b' WHERE id = 1", "upsert"),
        ("run-3", "UPDATE customers SET plan = 'pro' WHERE id = 1", "upsert"),
        ("run-4", "UPDATE customers SET plan = 'b' WHERE id = 1", "upsert"),
        (
            "run-5",
            "CREATE TABLE kept AS SELECT * FROM customers WHERE id = 1; DELETE FROM customers WHERE id = 1",
            "delete",
        ),
        ("run-6", "INSERT INTO customers SELECT * FROM kept", "upsert"),
        ("run-7", "DELETE FROM customers WHERE id = 1", "delete"),
        ("run-8", "INSERT INTO customers SELECT * FROM kept", "upsert"),
    ];
    let mut keys = BTreeSet::new();
    for (run, sql, op) in steps {
        shop.sql(sql).await.unwrap();
        shop.succeed(run).await.unwrap();
        let mut items = shop.items();
        items.retain(|item| item.id == 1);
        assert_eq!(items.len(), 1, "{run}");
        assert_eq!(items[0].op, op, "{run}");
        assert!(keys.insert(items[0].key.clone()), "{run} used the key of an earlier delivery");
    }
}

/// The ids of what arrived, by operation: `insert 1 2, delete 3`.
fn operations(sent: &[Sent]) -> String {
    let mut all: Vec<String> = sent.iter().map(|(id, op, _)| format!("{op} {id}")).collect();
    all.sort();
    all.join(", ")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sync_mode_sends_what_it_selects() {
    let modes = [
        (Selection::SyncMode(SyncMode::Insert), "insert 1, insert 2, insert 3", "insert 4"),
        (Selection::SyncMode(SyncMode::Update), "", "update 1"),
        (Selection::SyncMode(SyncMode::Upsert), "upsert 1, upsert 2, upsert 3", "upsert 1, upsert 4"),
        (Selection::SyncMode(SyncMode::Delete), "", "delete 2"),
        (Selection::SyncMode(SyncMode::Mirror), "upsert 1, upsert 2, upsert 3", "delete 2, upsert 1, upsert 4"),
        (Selection::Records(vec![Added]), "insert 1, insert 2, insert 3", "insert 4"),
        (Selection::Records(vec![Updated, Deleted]), "", "delete 2, update 1"),
        (
            Selection::Records(vec![Added, Updated, Deleted]),
            "insert 1, insert 2, insert 3",
            "delete 2, insert 4, update 1",
        ),
    ];
    let mut shop = Scenario::with_customers(0).await.unwrap();
    for (number, (selection, first, second)) in modes.into_iter().enumerate() {
        shop.sync.mapping.state_key = format!("shop/mode-{number}");
        shop.sync.mapping.selection = selection.clone();
        shop.sql("TRUNCATE customers").await.unwrap();
        shop.add_customers(1, 3).await.unwrap();
        let result = shop.succeed(&format!("first-{number}")).await.unwrap();
        assert_eq!(operations(&shop.taken()), first, "{selection:?}");
        assert!(balanced(&result), "{selection:?}");

        shop.sql("UPDATE customers SET name = 'x' WHERE id = 1; DELETE FROM customers WHERE id = 2").await.unwrap();
        shop.add_customers(4, 4).await.unwrap();
        let result = shop.succeed(&format!("second-{number}")).await.unwrap();
        assert_eq!(operations(&shop.taken()), second, "{selection:?}");
        assert!(balanced(&result), "{selection:?}");
        let sent = second.split(", ").filter(|op| !op.is_empty()).count() as u64;
        assert_eq!(result.counters.delivered(), sent, "{selection:?}");
        assert_eq!(result.counters.not_selected, 3 - sent, "{selection:?}");

        shop.succeed(&format!("third-{number}")).await.unwrap();
        assert_eq!(shop.taken(), [], "{selection:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_deletes_only_what_was_sent() {
    let mut shop = Scenario::with_customers(4).await.unwrap();
    shop.sync.mapping.selection = Selection::Records(vec![Updated]);
    shop.succeed("run-1").await.unwrap();
    shop.sql("UPDATE customers SET name = 'x' WHERE id = 1").await.unwrap();
    shop.succeed("run-2").await.unwrap();
    assert_eq!(operations(&shop.taken()), "update 1");

    shop.sync.mapping.selection = Selection::SyncMode(SyncMode::Mirror);
    shop.sql("DELETE FROM customers WHERE id IN (1, 2)").await.unwrap();
    let result = shop.succeed("run-3").await.unwrap();
    assert_eq!(operations(&shop.taken()), "delete 1");
    assert_eq!(result.counters.not_selected, 1);
    assert!(balanced(&result));
}

#[tokio::test(flavor = "multi_thread")]
async fn composite_keys_are_arrays() {
    let mut shop = Scenario::with_customers(5).await.unwrap();
    let sql = "SELECT CASE id % 2 WHEN 0 THEN 'eu' ELSE 'us' END AS region, id AS number, name FROM customers";
    shop.sync.model.query = ModelQuery::Sql(sql.into());
    shop.sync.model.primary_key = vec!["region".into(), "number".into()];
    shop.succeed("run-1").await.unwrap();
    assert_eq!(
        operations(&shop.taken()),
        r#"upsert ["eu",2], upsert ["eu",4], upsert ["us",1], upsert ["us",3], upsert ["us",5]"#
    );
    shop.sql("DELETE FROM customers WHERE id = 2; UPDATE customers SET name = 'x' WHERE id = 5").await.unwrap();
    shop.succeed("run-2").await.unwrap();
    assert_eq!(operations(&shop.taken()), r#"delete ["eu",2], upsert ["us",5]"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_key_of_their_own_are_reported_and_never_deleted() {
    let shop = Scenario::with_customers(10).await.unwrap();
    shop.succeed("run-1").await.unwrap();
    shop.taken();
    shop.sql("INSERT INTO customers SELECT * FROM customers WHERE id IN (3, 4); INSERT INTO customers (name) VALUES ('a'), ('b')")
        .await
        .unwrap();
    shop.sql(
        "INSERT INTO customers (id, name) VALUES (50, 'a'), (50, 'b'); UPDATE customers SET name = 'x' WHERE id = 9",
    )
    .await
    .unwrap();
    let ended = shop.run("run-2").await.unwrap();
    let result = ended.result().unwrap();
    assert_eq!((result.phase, ended.code), (Phase::PartiallySucceeded, Some(0)));
    let found = result.findings.clone().unwrap();
    assert_eq!((found.invalid_null_key, found.invalid_duplicate_key, found.deleted), (2, 6, 0));
    let errors: Vec<(&str, u64)> = result.errors.iter().map(|error| (&*error.code, error.count)).collect();
    assert_eq!(errors, [("DUPLICATE_KEY", 6), ("NULL_KEY", 2)]);
    assert!(balanced(&result));
    assert_eq!(operations(&shop.taken()), "upsert 9");

    shop.sql("DELETE FROM customers WHERE id IS NULL OR (id = 50 AND name = 'b')").await.unwrap();
    shop.sql("DELETE FROM customers AS c USING customers AS d WHERE c.id = d.id AND c.ctid > d.ctid").await.unwrap();
    shop.succeed("run-3").await.unwrap();
    assert_eq!(operations(&shop.taken()), "upsert 50");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_stop_matching_count_as_deleted() {
    let mut shop = Scenario::with_customers(6).await.unwrap();
    shop.sync.mapping.filter = Some("score < 5".into());
    shop.succeed("run-1").await.unwrap();
    assert_eq!(operations(&shop.taken()), "upsert 1, upsert 2, upsert 3, upsert 4");
    shop.sql("UPDATE customers SET score = 9 WHERE id = 4; UPDATE customers SET score = 0 WHERE id = 6").await.unwrap();
    shop.succeed("run-2").await.unwrap();
    let items = shop.items();
    assert_eq!(operations(&sorted(&items)), "delete 4, upsert 6");
    assert_eq!(items[0].op, "delete", "deletions come first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_sends_one_record_and_moves_nothing() {
    let mut shop = Scenario::with_customers(3).await.unwrap();
    shop.sync.mode = Mode::Test { key: "2".into() };
    let ended = shop.run("test-1").await.unwrap();
    assert_eq!((ended.code, ended.phase().unwrap().as_str()), (Some(0), "Succeeded"));
    assert!(ended.stdout.starts_with("request: {\"id\":2,\"op\":\"upsert\""), "{}", ended.stdout);
    assert!(ended.stdout.ends_with("response: delivered\n"), "{}", ended.stdout);
    let tested = shop.items();
    assert_eq!(sorted(&tested), shop.expected("upsert", "id = 2").await.unwrap());
    assert_eq!(shop.value("SELECT count(*)::text FROM pg_namespace WHERE nspname = '_backflow'").await.unwrap(), "0");

    shop.sync.mode = Mode::Test { key: "4".into() };
    let ended = shop.run("test-2").await.unwrap();
    assert_eq!(ended.outcome().unwrap(), (Some(11), "Failed".into(), Some(Code::RowNotFound)));

    shop.sync.mode = Mode::Incremental;
    shop.succeed("run-1").await.unwrap();
    let items = shop.items();
    assert_eq!(sorted(&items), shop.expected("upsert", "true").await.unwrap());
    assert!(items.iter().all(|item| item.key != tested[0].key), "a Test is a delivery of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_known_by_another_field_follow_it() {
    let mut shop = Scenario::with_customers(4).await.unwrap();
    let mapping = &mut shop.sync.mapping;
    mapping.config =
        [("matchBy", "email"), ("groupBy", "plan")].map(|(name, field)| (name.into(), field.into())).into();
    mapping.match_by = Some("email".into());
    mapping.group_by = Some("plan".into());
    shop.sql("UPDATE customers SET plan = 'pro'").await.unwrap();
    shop.succeed("run-1").await.unwrap();
    let sent = |items: &[backflow_tests::receiver::Item]| -> Vec<String> {
        let text = |value: &Option<serde_json::Value>| value.clone().unwrap_or_default().to_string().replace('"', "");
        let mut all: Vec<String> = items
            .iter()
            .map(|item| format!("{} {} {} {}", item.id, item.op, text(&item.match_key), text(&item.group_key)))
            .collect();
        all.sort();
        all
    };
    assert_eq!(sent(&shop.items())[0], "1 upsert c1@example.com pro");
    // 1 has another address, 2 another plan; 3 is gone and 5 has its address; 6 has none; 7 and 8 have one.
    shop.sql(
        "UPDATE customers SET email = 'new' WHERE id = 1; UPDATE customers SET plan = 'free' WHERE id = 2; DELETE FROM customers WHERE id = 3; \
         INSERT INTO customers (id, email, plan) VALUES (5, 'c3@example.com', 'pro'), (6, NULL, 'pro'), (7, 'both', 'pro'), (8, 'both', 'pro')",
    )
    .await
    .unwrap();
    let ended = shop.run("run-2").await.unwrap();
    let result = ended.result().unwrap();
    assert_eq!(result.phase, Phase::PartiallySucceeded);
    assert!(balanced(&result), "{result:?}");
    let items = shop.items();
    let wanted = [
        "1 delete c1@example.com pro",
        "1 upsert new pro",
        "2 delete c2@example.com pro",
        "2 upsert c2@example.com free",
        "5 upsert c3@example.com pro",
        "8 upsert both pro",
    ];
    assert_eq!(sent(&items), wanted);
    assert!(items.iter().filter(|item| item.op == "delete").all(|item| item.data == serde_json::json!({})));
    let errors: Vec<&str> = result.errors.iter().map(|error| &*error.code).collect();
    assert_eq!(errors, ["DUPLICATE_MATCH_KEY", "NULL_MATCH_KEY"]);
    assert_eq!(shop.receiver.ledger().rows().len(), 5, "new, c2 in free, c3, c4, both");
    shop.run("run-3").await.unwrap();
    assert_eq!(shop.items().len(), 0);
}
