//! Records that are refused for their content, and destinations that refuse all of them.

use backflow_core::code::Code;
use backflow_core::plan::{Field, FieldSource, OnNull};
use backflow_core::result::Phase;
use backflow_tests::receiver::{Fault, Script};
use backflow_tests::worker::{Scenario, balanced};

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_record_waits_for_another_content_or_a_person() {
    let mut shop = Scenario::with_customers(500).await.unwrap();
    let poison = || Script { poison: ["77".to_owned(), "400".to_owned()].into(), ..Script::default() };
    shop.receiver.script(poison());
    let ended = shop.run("run-1").await.unwrap();
    let result = ended.result().unwrap();
    assert_eq!((ended.code, result.phase), (Some(0), Phase::PartiallySucceeded));
    assert_eq!((result.counters.upserted, result.counters.rejected), (498, 2));
    let errors: Vec<(&str, u64)> = result.errors.iter().map(|error| (&*error.code, error.count)).collect();
    assert_eq!(errors, [("HTTP_422", 2)]);
    assert!(balanced(&result));
    assert_eq!(shop.taken(), shop.expected("upsert", "id NOT IN (77, 400)").await.unwrap());
    let listed = "SELECT string_agg(key || ' ' || operation || ' ' || code, ', ' ORDER BY key) FROM _backflow.rejects";
    assert_eq!(shop.value(listed).await.unwrap(), "400 upsert HTTP_422, 77 upsert HTTP_422");

    // Unchanged: not asked again, but still said.
    shop.requests();
    let result = shop.run("run-2").await.unwrap().result().unwrap();
    assert_eq!((shop.requests(), result.counters.still_rejected, result.counters.skipped()), (0, 2, 2));
    assert_eq!(result.phase, Phase::PartiallySucceeded);
    assert!(balanced(&result));

    // Another content is another try; it is refused again, and the other one stays as it is.
    shop.sql("UPDATE customers SET name = 'x' WHERE id = 77").await.unwrap();
    let result = shop.run("run-3").await.unwrap().result().unwrap();
    assert_eq!((result.counters.rejected, result.counters.still_rejected), (1, 1));
    assert!(balanced(&result));

    shop.receiver.script(Script::default());
    shop.sync.options.retry_rejected = true;
    let result = shop.succeed("run-4").await.unwrap();
    assert_eq!((result.counters.upserted, result.counters.still_rejected), (2, 0));
    assert_eq!(shop.taken(), shop.expected("upsert", "id IN (77, 400)").await.unwrap());
    assert_eq!(shop.value("SELECT count(*)::text FROM _backflow.rejects").await.unwrap(), "0");
    shop.sync.options.retry_rejected = false;
    shop.succeed("run-5").await.unwrap();
    assert_eq!(shop.taken(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_pod_had_refused_is_counted_once() {
    let shop = Scenario::with_customers(20_000).await.unwrap();
    let refuse = |always| Script { poison: ["77".to_owned(), "400".to_owned()].into(), always, ..Script::default() };
    shop.receiver.script(refuse(None));
    let dead = shop.pod("run-1").failpoint("after-commit:2").start().unwrap().ended().await.unwrap();
    assert_eq!(dead.signal, Some(6));
    let result = shop.run("run-1").await.unwrap().result().unwrap();
    assert_eq!((result.counters.upserted, result.counters.rejected, result.counters.skipped()), (19_998, 2, 0));
    assert!(balanced(&result), "{result:?}");
    let result = shop.run("run-2").await.unwrap().result().unwrap();
    assert_eq!((result.counters.rejected, result.counters.still_rejected), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mapping_itself_may_refuse() {
    let mut shop = Scenario::with_customers(9).await.unwrap();
    shop.sync.mapping.include = None;
    let plan = Field { on_null: OnNull::Reject, ..FieldSource::Column("plan".into()).into() };
    shop.sync.mapping.fields.insert("plan".into(), plan);
    let result = shop.run("run-1").await.unwrap().result().unwrap();
    assert_eq!((result.counters.upserted, result.counters.rejected), (6, 3));
    assert_eq!((result.errors[0].count, result.errors[0].field.as_deref()), (3, Some("plan")));
    assert!(balanced(&result));
    shop.sql("UPDATE customers SET plan = 'free' WHERE plan IS NULL").await.unwrap();
    assert_eq!(shop.succeed("run-2").await.unwrap().counters.upserted, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_refuses_everything_is_not_asked_about_everything() {
    let shop = Scenario::with_customers(5_000).await.unwrap();
    shop.receiver.script(Script::always(Fault::status(422)));
    let ended = shop.run("run-1").await.unwrap();
    assert_eq!(ended.outcome().unwrap(), (Some(11), "Failed".into(), Some(Code::MassRejection)));
    let result = ended.result().unwrap();
    assert!(balanced(&result), "{result:?}");
    let requests = shop.requests();
    assert!(requests <= 400, "{requests} requests for 200 records");
    assert_eq!(shop.receiver.ledger().items, []);
}
