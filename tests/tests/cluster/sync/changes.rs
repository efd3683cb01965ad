//! What arrives: all rows first, then exactly the changes.

use std::collections::BTreeSet;

use backflow_crds::v1alpha1::Extracted;
use backflow_tests::cluster::Scene;
use backflow_tests::cluster::scene::status;
use serde_json::json;

fn extracted(added: i64, updated: i64, deleted: i64) -> Option<Extracted> {
    Some(Extracted { added, updated, deleted, invalid: 0 })
}

#[tokio::test]
async fn first_everything_arrives_and_then_exactly_the_changes() {
    let scene = Scene::with_customers("sync-changes", 50).await.unwrap();
    scene.ready().await.unwrap();
    let first = status(&scene.request().await.unwrap());
    assert_eq!(first.extracted, extracted(50, 0, 0));
    assert_eq!(scene.taken(), scene.expected("upsert", "true").await.unwrap());
    scene.requests();

    scene.add_customers(51, 53).await.unwrap();
    let changes =
        "UPDATE customers SET plan = 'team' WHERE id IN (5, 6, 7, 8, 9); DELETE FROM customers WHERE id IN (3, 14)";
    scene.sql(changes).await.unwrap();
    let second = status(&scene.request().await.unwrap());
    assert_eq!(second.extracted, extracted(3, 5, 2));
    let mut expected = scene.expected("upsert", "id > 50 OR id BETWEEN 5 AND 9").await.unwrap();
    expected.extend(["3", "14"].map(|id| (id.to_owned(), "delete".to_owned(), json!({}))));
    expected.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    assert_eq!(scene.taken(), expected);
    // Deletions, updates, additions: one batch each.
    assert_eq!(scene.requests(), 3);

    let third = status(&scene.request().await.unwrap());
    assert_eq!(third.extracted, extracted(0, 0, 0));
    assert_eq!((scene.taken(), scene.requests()), (Vec::new(), 0));
    assert_eq!(scene.receiver.ledger().violations, Vec::<String>::new());
    scene.end();
}

#[tokio::test]
async fn what_comes_back_as_it_was_is_a_new_delivery() {
    let scene = Scene::with_customers("sync-again", 2).await.unwrap();
    scene.ready().await.unwrap();
    scene.request().await.unwrap();
    for change in [
        "UPDATE customers SET plan = 'other'",
        "UPDATE customers SET plan = CASE id WHEN 3 THEN NULL ELSE 'pro' END",
        "DELETE FROM customers WHERE id = 2",
    ] {
        scene.sql(change).await.unwrap();
        scene.request().await.unwrap();
    }
    scene.add_customers(2, 2).await.unwrap();
    scene.request().await.unwrap();
    let items = scene.items();
    let of = |id: i64| items.iter().filter(|item| item.id == id).map(|item| item.op.as_str()).collect::<Vec<_>>();
    assert_eq!(of(1), ["upsert"; 3]);
    assert_eq!(of(2), ["upsert", "upsert", "upsert", "delete", "upsert"]);
    let keys: BTreeSet<&str> = items.iter().map(|item| item.key.as_str()).collect();
    assert_eq!(keys.len(), items.len(), "a key was used twice");
    scene.end();
}
