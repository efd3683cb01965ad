//! Whose state it is, what it is bound to, and what modes and edits do to it.

use std::collections::BTreeSet;

use backflow_core::code::Code;
use backflow_core::extraction::Resend;
use backflow_core::plan::{Include, Mode, OnMappingChange};
use backflow_tests::receiver::{Fault, Script};
use backflow_tests::worker::{Scenario, balanced, sorted};

async fn refused(shop: &Scenario, run: &str, code: Code) {
    let ended = shop.run(run).await.unwrap();
    assert_eq!(ended.outcome().unwrap(), (Some(10), "Failed".into(), Some(code)), "{run}");
    assert_eq!(shop.taken(), [], "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_place_is_refused_until_it_is_adopted_or_reset() {
    let mut shop = Scenario::with_customers(4).await.unwrap();
    shop.succeed("run-1").await.unwrap();
    shop.taken();
    let home = shop.sync.mapping.identity.clone();
    for (part, value) in
        [("destination.settings.url", "https://other.example/secret-path"), ("source.database", "other")]
    {
        shop.sync.mapping.identity.insert(part.into(), value.into());
        let ended = shop.run(part).await.unwrap();
        assert_eq!(ended.outcome().unwrap(), (Some(10), "Failed".into(), Some(Code::IdentityChanged)));
        let failure = ended.result().unwrap().failure.unwrap();
        assert!(failure.message.contains(part) && !failure.message.contains("secret-path"), "{failure}");
        shop.sync.mapping.identity.clone_from(&home);
    }
    assert_eq!(shop.taken(), []);

    // Adopted, it goes on where it was; from then on the new place is its place.
    shop.sync.mapping.identity.insert("source.database".into(), "other".into());
    shop.sql("UPDATE customers SET name = 'x' WHERE id = 2").await.unwrap();
    shop.sync.options.adopt_state = true;
    shop.succeed("adopt").await.unwrap();
    assert_eq!(shop.taken(), shop.expected("upsert", "id = 2").await.unwrap());
    shop.sync.options.adopt_state = false;
    shop.succeed("run-2").await.unwrap();
    shop.sync.mapping.identity = home;
    refused(&shop, "back", Code::IdentityChanged).await;

    shop.sync.mode = Mode::Reset;
    refused(&shop, "reset", Code::ConfirmRequired).await;
    shop.sync.options.confirm = true;
    assert_eq!(shop.succeed("reset-2").await.unwrap().counters.upserted, 4);
    assert_eq!(shop.taken(), shop.expected("upsert", "true").await.unwrap());
    let keys: BTreeSet<String> = shop.receiver.ledger().items.into_iter().map(|item| item.key).collect();
    assert_eq!(keys.len(), 9, "a Reset delivers anew, with new keys");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_happens_once_however_many_pods_it_takes() {
    let mut shop = Scenario::with_customers(12_000).await.unwrap();
    shop.succeed("run-1").await.unwrap();
    shop.items();
    shop.sync.mode = Mode::Reset;
    shop.sync.options.confirm = true;
    let died = shop.pod("reset").failpoint("after-commit").start().unwrap().ended().await.unwrap();
    assert_eq!(died.signal, Some(6));
    let result = shop.succeed("reset").await.unwrap();
    assert_eq!(result.counters.upserted, 12_000);
    assert!(balanced(&result));
    let items = shop.items();
    assert!(items.len() <= 12_000 + 10_000);
    let keys: BTreeSet<&String> = items.iter().map(|item| &item.key).collect();
    assert_eq!(keys.len(), 12_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_sync_goes_on_after_a_kill_and_sends_deletions_too() {
    let mut shop = Scenario::with_customers(12_000).await.unwrap();
    shop.succeed("run-1").await.unwrap();
    let first: BTreeSet<String> = shop.items().into_iter().map(|item| item.key).collect();
    shop.sql("DELETE FROM customers WHERE id = 12000").await.unwrap();
    shop.sync.mode = Mode::Full;
    let next = std::iter::repeat_n(Fault::Pass, 12).collect();
    shop.receiver.script(Script { next, always: Some(Fault::Hold), ..Script::default() });
    let mut pod = shop.pod("full").start().unwrap();
    shop.receiver.holding(1).await.unwrap();
    pod.kill().unwrap();
    let killed = pod.ended().await.unwrap().result().unwrap();
    let committed = killed.counters.upserted;
    assert!(committed > 0);
    shop.receiver.script(Script::default());
    shop.receiver.release();
    let before = shop.items();

    // The next Sync finishes it, whatever its name and mode.
    shop.sync.mode = Mode::Incremental;
    let result = shop.succeed("run-2").await.unwrap();
    assert_eq!(result.findings.clone().unwrap().resend, Some(Resend::Full));
    assert_eq!(result.counters.upserted, 11_999 - committed);
    assert_eq!(result.counters.deleted + killed.counters.deleted, 1);
    let mut all = before;
    all.extend(shop.items());
    assert!(all.iter().all(|item| !first.contains(&item.key)), "each delivery has a key of its own");
    all.retain(|item| item.op == "upsert");
    let mut sent = sorted(&all);
    sent.dedup();
    assert!(sent == shop.expected("upsert", "true").await.unwrap());

    shop.succeed("run-3").await.unwrap();
    assert_eq!(shop.taken(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_mapping_sends_all_rows_again_or_only_real_changes() {
    let mut shop = Scenario::with_customers(5).await.unwrap();
    for (number, on_change) in [OnMappingChange::Resend, OnMappingChange::Keep].into_iter().enumerate() {
        shop.sync.mapping.state_key = format!("shop/{number}");
        shop.sync.mapping.on_change = on_change;
        shop.sync.mapping.include = Some(Include { columns: vec!["*".into()], except: Vec::new(), into: None });
        shop.sync.mapping.fingerprint = "fields-1".into();
        shop.succeed(&format!("first-{number}")).await.unwrap();
        shop.taken();

        shop.sync.mapping.include =
            Some(Include { columns: vec!["*".into()], except: vec!["email".into()], into: None });
        shop.sync.mapping.fingerprint = "fields-2".into();
        shop.sql(&format!("UPDATE customers SET name = 'edit {number}' WHERE id = 3")).await.unwrap();
        let result = shop.succeed(&format!("second-{number}")).await.unwrap();
        let sent = shop.taken();
        let ids: Vec<&str> = sent.iter().map(|(id, ..)| id.as_str()).collect();
        if on_change == OnMappingChange::Resend {
            assert_eq!(ids, ["1", "2", "3", "4", "5"]);
            assert_eq!(result.findings.unwrap().resend, Some(Resend::MappingChanged));
        } else {
            assert_eq!(ids, ["3"]);
            assert_eq!(result.findings.unwrap().resend, None);
        }
        assert!(sent.iter().all(|(_, _, data)| data.get("email").is_none() && data.get("name").is_some()));

        // The new fields are what the next change is found by: a column that is no longer sent is none.
        shop.sql(&format!("UPDATE customers SET email = 'new {number}'")).await.unwrap();
        shop.succeed(&format!("third-{number}")).await.unwrap();
        assert_eq!(shop.taken(), [], "{on_change:?}");
        shop.sql(&format!("UPDATE customers SET plan = 'new {number}' WHERE id = 1")).await.unwrap();
        shop.succeed(&format!("fourth-{number}")).await.unwrap();
        assert_eq!(shop.taken().len(), 1, "{on_change:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn state_of_another_cluster_key_or_version_is_left_alone() {
    let mut shop = Scenario::with_customers(3).await.unwrap();
    shop.succeed("run-1").await.unwrap();
    shop.taken();
    shop.sql("UPDATE customers SET name = 'x' WHERE id = 1").await.unwrap();

    shop.owner = "cluster-b".into();
    refused(&shop, "elsewhere", Code::StateOwnedElsewhere).await;
    shop.sync.options.adopt_state = true;
    shop.succeed("adopt").await.unwrap();
    assert_eq!(shop.taken(), shop.expected("upsert", "id = 1").await.unwrap());
    shop.sync.options.adopt_state = false;
    shop.succeed("run-2").await.unwrap();
    shop.owner = "cluster-a".into();
    refused(&shop, "first-owner", Code::StateOwnedElsewhere).await;
    shop.owner = "cluster-b".into();

    shop.sync.model.primary_key = vec!["email".into()];
    refused(&shop, "other-key", Code::PrimaryKeyChanged).await;
    shop.sync.model.primary_key = vec!["id".into()];

    shop.sql("UPDATE _backflow.mappings SET format = format + 1").await.unwrap();
    refused(&shop, "too-new", Code::StateTooNew).await;
    shop.sync.mode = Mode::Reset;
    shop.sync.options.confirm = true;
    refused(&shop, "too-new-reset", Code::StateTooNew).await;
    shop.sql("UPDATE _backflow.mappings SET format = format - 1").await.unwrap();
    shop.sync.mode = Mode::Incremental;
    shop.succeed("run-3").await.unwrap();
    assert_eq!(shop.taken(), []);

    shop.sql("UPDATE _backflow.partitions SET bytes = substr(bytes, 1, 40)").await.unwrap();
    refused(&shop, "damaged", Code::StateDamaged).await;
    shop.sync.mode = Mode::Reset;
    assert_eq!(shop.succeed("cure").await.unwrap().counters.upserted, 3);
}
