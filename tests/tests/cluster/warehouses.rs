//! Each warehouse as its users have it: manifests, pods, and what arrives at a receiver, also after a death in the middle.
//!
//! A story has eight pods: three checks, a preview, two of the first run, and one for the changes and for the empty table each.

mod services;

use backflow_crds::conditions::ConditionType;
use backflow_crds::v1alpha1::{Extracted, Model, Source, SyncPhase};
use backflow_tests::cluster::manifests::{MODEL, SOURCE, object};
use backflow_tests::cluster::scene::{conditions, is_true, status};
use backflow_tests::cluster::{Scene, is_running, kill_worker};
use backflow_tests::customers::deletion;
use backflow_tests::receiver::{Fault, Script};
use backflow_tests::warehouse::Service;
use backflow_tests::worker::sorted;
use serde_json::{Value, json};

use self::services::Warehouse;

const ROWS: u32 = 20;
/// The most records that the receiver takes at once while a worker is to die.
const FEW: usize = 5;

#[tokio::test]
async fn all_of_it_from_postgres() {
    all_of_it("warehouses-postgres", Warehouse::postgres).await;
}

#[tokio::test]
async fn all_of_it_from_redshift() {
    all_of_it("warehouses-redshift", Warehouse::redshift).await;
}

#[tokio::test]
async fn all_of_it_from_mysql() {
    all_of_it("warehouses-mysql", Warehouse::mysql).await;
}

#[tokio::test]
async fn all_of_it_from_snowflake() {
    all_of_it("warehouses-snowflake", async |scene: &Scene| Warehouse::fake(scene, Service::Snowflake).await).await;
}

#[tokio::test]
async fn all_of_it_from_bigquery() {
    all_of_it("warehouses-bigquery", async |scene: &Scene| Warehouse::fake(scene, Service::BigQuery).await).await;
}

#[tokio::test]
async fn all_of_it_from_databricks() {
    all_of_it("warehouses-databricks", async |scene: &Scene| Warehouse::fake(scene, Service::Databricks).await).await;
}

#[tokio::test]
async fn all_of_it_from_clickhouse() {
    all_of_it("warehouses-clickhouse", async |scene: &Scene| Warehouse::fake(scene, Service::ClickHouse).await).await;
}

#[tokio::test]
async fn all_of_it_from_azure_sql() {
    all_of_it("warehouses-azuresql", async |scene: &Scene| Warehouse::fake(scene, Service::AzureSql).await).await;
}

async fn all_of_it(name: &str, begin: impl AsyncFnOnce(&Scene) -> Warehouse) {
    let scene = Scene::with_customers(name, 0).await.unwrap();
    let mut warehouse = begin(&scene).await;
    warehouse.sql(&scene, warehouse.customers.create()).await;
    let add = warehouse.customers.add(1, ROWS);
    warehouse.sql(&scene, &add).await;

    is_ready(&scene, &warehouse).await;
    first_run_dies_in_the_middle(&scene, &warehouse).await;
    previewed(&scene, &warehouse).await;
    changes_arrive(&scene, &mut warehouse).await;
    an_empty_table_deletes_nothing(&scene, &mut warehouse).await;
    assert_eq!(scene.receiver.ledger().violations, Vec::<String>::new());
    assert_eq!(warehouse.refused(), Vec::<String>::new());
    scene.end();
}

/// Source, Model and Mapping become Ready, and tell what they found. A preview waits for them.
async fn is_ready(scene: &Scene, warehouse: &Warehouse) {
    let preview = object("Sync", "preview", json!({"mode": "Preview", "modelRef": {"name": MODEL}, "limit": 3}));
    let mut destination = scene.destination();
    destination["spec"]["limits"] = json!({"concurrency": 1});
    let [source, model] = warehouse.manifests();
    scene.namespace.apply(&[preview, scene.mapping(), destination, model, source]).await.unwrap();
    scene.mapping_is("Ready", |mapping| is_true(&conditions(mapping), ConditionType::Ready)).await.unwrap();

    let source = scene.namespace.get::<Source>(SOURCE).await.unwrap().status.unwrap();
    assert_eq!(source.type_.as_deref(), Some(warehouse.kind));
    let server = source.server.unwrap_or_default();
    assert!(server.starts_with(warehouse.server), "{server:?} is no {}", warehouse.server);
    let columns = scene.namespace.get::<Model>(MODEL).await.unwrap().status.unwrap().columns;
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id", "name", "plan", "score"]);
}

/// A part is acknowledged, a part is sent and not answered, the rest is not sent when the worker is killed. Another pod ends the run.
async fn first_run_dies_in_the_middle(scene: &Scene, warehouse: &Warehouse) {
    scene.receiver.script(Script { max_records: Some(FEW), ..Script::next([Fault::Pass, Fault::Hold]) });
    let sync = scene.create(json!({})).await.unwrap();
    scene.receiver.holding(1).await.unwrap();
    assert_eq!(scene.receiver.ledger().items.len(), FEW);
    let pod = scene.pod_of(&sync, "running", is_running).await.unwrap();
    kill_worker(&pod).unwrap();
    scene.receiver.script(Script::default());
    scene.receiver.release();
    let ended = status(&scene.ended(&sync).await.unwrap());
    assert_eq!(ended.phase, Some(SyncPhase::Succeeded), "{ended:?}");
    assert_eq!(scene.pods_of(&sync).await.unwrap(), 2);

    let items = scene.items();
    let mut once = sorted(&items);
    once.dedup();
    assert_eq!(once, warehouse.customers.all());
    for item in &items {
        let mut again = items.iter().filter(|other| other.id == item.id);
        assert!(again.all(|other| other.key == item.key), "{}: sent again with another key", item.id);
    }
}

async fn previewed(scene: &Scene, warehouse: &Warehouse) {
    let ended = status(&scene.ended("preview").await.unwrap());
    assert_eq!(ended.phase, Some(SyncPhase::Succeeded), "{ended:?}");
    let log = scene.namespace.kubectl("logs job/preview").await.unwrap();
    let rows: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let rows: Vec<&Value> = rows.iter().filter(|row| row["plan"].is_null() && row["id"].is_u64()).collect();
    assert_eq!(rows.len(), 3, "{log}");
    let all: Vec<Value> = warehouse.customers.all().into_iter().map(|(_, _, row)| row).collect();
    assert!(rows.iter().all(|row| all.contains(row)), "{log}");
}

/// What is taken now is exactly what has changed: the dead worker lost nothing, and nothing of it comes again.
async fn changes_arrive(scene: &Scene, warehouse: &mut Warehouse) {
    let customers = &mut warehouse.customers;
    let changes =
        [customers.rename(&[1, 9, ROWS], "é \"new\" {}"), customers.remove(7, 8), customers.add(ROWS + 1, ROWS + 3)];
    let mut expected = customers.upserts([1, 9, ROWS, ROWS + 1, ROWS + 2, ROWS + 3]);
    expected.extend([deletion(7), deletion(8)]);
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    for change in &changes {
        warehouse.sql(scene, change).await;
    }
    let changed = scene.succeed(json!({})).await.unwrap();
    assert_eq!(changed.extracted, Some(Extracted { added: 3, updated: 3, deleted: 2, invalid: 0 }));
    assert_eq!(scene.taken(), expected);
}

async fn an_empty_table_deletes_nothing(scene: &Scene, warehouse: &mut Warehouse) {
    let there = warehouse.customers.all().len();
    let empty = warehouse.customers.remove(1, ROWS + 3);
    warehouse.sql(scene, &empty).await;
    scene.requests();
    let emptied = status(&scene.run(json!({})).await.unwrap());
    assert_eq!(emptied.withheld_deletes, Some(i64::try_from(there).unwrap()), "{emptied:?}");
    assert_eq!((scene.requests(), scene.receiver.ledger().rows().len()), (0, there));
}
