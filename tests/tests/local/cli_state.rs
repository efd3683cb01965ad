//! `backflow state`, and local runs with their state outside of the warehouse.

use backflow_tests::cli::{Desk, manifest};
use backflow_tests::receiver::{Expect, Receiver};
use serde_json::{Value, json};

async fn receiver() -> Receiver {
    Receiver::start(Expect::default()).await.unwrap()
}

#[tokio::test]
async fn states_are_listed_with_whose_and_how_much() {
    let receiver = receiver().await;
    let desk = Desk::shop(2500, &receiver.url()).await.unwrap();
    let said = desk.backflow(&["state", "list", "-f", "."]).await.unwrap();
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""), "{said:?}");
    assert!(said.err.starts_with("There is no state in schema _backflow of Source"), "{}", said.err);

    desk.backflow(&["run", "-f", "."]).await.unwrap();
    let said = desk.backflow(&["state", "list", "-f", "."]).await.unwrap();
    let lines: Vec<Vec<&str>> = said.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["KEY", "OWNER", "ROWS", "RUNS", "SIZE", "LAST", "COMMIT", "BY"], "{said:?}");
    assert_eq!(lines[1][..4], ["default/crm", "local", "2500", "1"]);
    assert!(lines[1][7].starts_with("crm-"), "{said:?}");
    assert!(said.err.starts_with("1 state in schema _backflow of Source"), "{}", said.err);

    let said = desk.backflow(&["state", "list", "-f", ".", "-o", "json"]).await.unwrap();
    let state: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (&state["stateKey"], &state["owner"], &state["rows"]),
        (&json!("default/crm"), &json!("local"), &json!(2500))
    );
    assert!(state["bytes"].as_u64().is_some_and(|bytes| bytes > 10_000), "{state}");
    assert_eq!(state["primaryKey"], json!(["id"]));

    let said = desk.backflow(&["state", "show", "-f", ".", "default/crm"]).await.unwrap();
    assert!(said.out.contains("Succeeded: 2500 delivered, 0 rejected"), "{said:?}");
    assert!(said.err.contains("mode: Forget") && said.err.contains("stateKey: default/crm"), "{said:?}");
    assert!(said.out.contains(&format!("= http://{}", receiver.address())), "{said:?}");
    assert!(!said.out.contains("/hook"), "the path of an address may be a secret: {said:?}");
    let said = desk.backflow(&["state", "show", "-f", ".", "default/other"]).await.unwrap();
    assert!(said.code == Some(1) && said.err.contains("default/other"), "{said:?}");
    let said = desk.backflow(&["state", "list", "-f", ".", "--source", "nobody"]).await.unwrap();
    assert_eq!(said.code, Some(64), "{said:?}");
}

#[tokio::test]
async fn a_volume_is_a_folder_beside_the_manifest() {
    let receiver = receiver().await;
    let desk = Desk::shop(100, &receiver.url()).await.unwrap();
    let spec = "{sqlite: {path: shop.db}, state: {store: {volume: {claimName: states}}}}";
    desk.write("source.yaml", &manifest("Source", "shop", spec)).unwrap();
    let said = desk.backflow(&["test", "-f", "."]).await.unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    for sent in [100, 0] {
        let before = receiver.ledger().items.len();
        let said = desk.backflow(&["run", "-f", "."]).await.unwrap();
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(receiver.ledger().items.len() - before, sent);
    }
    let said = desk.backflow(&["state", "list", "-f", "."]).await.unwrap();
    assert!(said.out.contains("default/crm") && said.err.contains(".backflow/states"), "{said:?}");
    assert!(desk.path().join(".backflow/states/default_crm/head").is_dir());
    let tables = desk.path().join("shop.db");
    let bytes = std::fs::read(tables).unwrap();
    assert!(!bytes.windows(9).any(|bytes| bytes == b"_backflow"), "nothing was made in the warehouse");
}
