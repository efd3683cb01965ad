//! Deletions that are too many wait for a person.

use backflow_core::code::Code;
use backflow_core::guard::DeletesAction;
use backflow_core::result::Phase;
use backflow_tests::worker::{Scenario, balanced};

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_model_deletes_nothing_until_it_is_approved() {
    let mut shop = Scenario::with_customers(500).await.unwrap();
    shop.succeed("run-1").await.unwrap();
    shop.items();
    shop.requests();
    shop.sql("DELETE FROM customers").await.unwrap();
    for run in ["run-2", "run-3"] {
        let ended = shop.run(run).await.unwrap();
        let result = ended.result().unwrap();
        assert_eq!((ended.code, result.phase), (Some(0), Phase::PartiallySucceeded), "{run}");
        assert_eq!((result.counters.withheld, result.counters.deleted), (500, 0), "{run}");
        assert_eq!(result.checkpoint_after.clone().unwrap().rows, 500, "{run}");
        assert!(balanced(&result), "{run}");
    }
    // A ceiling below what would be deleted approves nothing.
    shop.sync.options.approve_deletes = Some(499);
    assert_eq!(shop.run("run-4").await.unwrap().result().unwrap().counters.withheld, 500);
    assert_eq!(shop.requests(), 0);

    shop.sync.options.approve_deletes = Some(500);
    let result = shop.succeed("run-5").await.unwrap();
    assert_eq!((result.counters.withheld, result.counters.deleted), (0, 500));
    assert_eq!(result.checkpoint_after.clone().unwrap().rows, 0);
    assert!(balanced(&result));
    let mut deleted: Vec<u64> = shop.items().iter().map(|item| item.id.as_u64().unwrap()).collect();
    deleted.sort_unstable();
    assert_eq!(deleted, (1..=500).collect::<Vec<u64>>());
    assert!(shop.receiver.ledger().rows().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn withheld_deletions_do_not_keep_other_changes_back() {
    let mut shop = Scenario::with_customers(1_000).await.unwrap();
    shop.succeed("run-1").await.unwrap();
    shop.taken();
    shop.sql("DELETE FROM customers WHERE id <= 300; UPDATE customers SET name = 'x' WHERE id = 900").await.unwrap();
    shop.add_customers(1_001, 1_002).await.unwrap();
    let result = shop.run("run-2").await.unwrap().result().unwrap();
    assert_eq!(result.phase, Phase::PartiallySucceeded);
    assert_eq!((result.counters.withheld, result.counters.upserted, result.counters.deleted), (300, 3, 0));
    assert!(balanced(&result));
    assert_eq!(shop.taken(), shop.expected("upsert", "id IN (900, 1001, 1002)").await.unwrap());

    // Rows that come back are no deletions any more, and no changes.
    shop.add_customers(51, 300).await.unwrap();
    let result = shop.succeed("run-3").await.unwrap();
    assert_eq!((result.counters.deleted, result.counters.delivered()), (50, 50));

    // Rows at most, whatever the share.
    shop.sync.mapping.deletes.max_rows = Some(110);
    shop.sql("DELETE FROM customers WHERE id > 891").await.unwrap();
    assert_eq!(shop.run("run-4").await.unwrap().result().unwrap().counters.withheld, 111);
    shop.sync.mapping.deletes.max_rows = Some(111);
    assert_eq!(shop.succeed("run-5").await.unwrap().counters.deleted, 111);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_fails_sends_nothing_at_all() {
    let mut shop = Scenario::with_customers(300).await.unwrap();
    shop.sync.mapping.deletes.action = DeletesAction::Fail;
    shop.succeed("run-1").await.unwrap();
    shop.requests();
    shop.sql("DELETE FROM customers WHERE id > 50; UPDATE customers SET name = 'x' WHERE id = 5").await.unwrap();
    let ended = shop.run("run-2").await.unwrap();
    assert_eq!(ended.outcome().unwrap(), (Some(10), "Failed".into(), Some(Code::DeletesRefused)));
    assert_eq!(shop.requests(), 0);

    shop.sync.options.approve_deletes = Some(250);
    let result = shop.succeed("run-3").await.unwrap();
    assert_eq!((result.counters.deleted, result.counters.upserted), (250, 1));
    assert_eq!(shop.receiver.ledger().rows().len(), 50);
}
