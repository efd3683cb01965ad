//! No row data and no text of others in anything that leaves the process but the destination's requests.

use backflow_core::plan::{Mode, ModelQuery};
use backflow_tests::receiver::{Fault, Script};
use backflow_tests::worker::{Ended, Scenario};

const CANARY: &str = "canary7f3a";

fn clean(ended: &Ended, when: &str) {
    for (place, text) in [("stdout", &ended.stdout), ("stderr", &ended.stderr), ("result", &ended.message)] {
        assert!(!text.to_lowercase().contains(CANARY), "{when}: row data in {place}: {text}");
    }
    assert_eq!(ended.stdout, "", "{when}");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_data_and_answers_never_leave_the_worker_but_to_the_destination() {
    let mut shop = Scenario::start().await.unwrap();
    shop.sql(&format!(
        "CREATE TABLE customers (id text, name text, email text, doc jsonb, tags text[]); \
         INSERT INTO customers SELECT '{CANARY}-' || n, '{CANARY}', '{CANARY}@example.com', '{{\"a\": \"{CANARY}\"}}', ARRAY['{CANARY}'] \
         FROM generate_series(1, 300) AS n"
    ))
    .await
    .unwrap();
    // The receiver's answers repeat what it was sent, as vendors' errors do.
    let faults = [
        ("refused", Fault::status(422)),
        ("unauthorized", Fault::status(401)),
        ("forbidden", Fault::status(403)),
        ("gone", Fault::status(404)),
        ("broken", Fault::status(500)),
        ("throttled", Fault::status(429)),
        ("redirect", Fault::status(302)),
        ("page", Fault::Html),
        ("reset", Fault::Reset),
    ];
    for (run, fault) in faults {
        shop.sync.mapping.state_key = format!("shop/{run}");
        shop.receiver.script(Script::always(fault));
        let ended = shop.run(run).await.unwrap();
        assert!(ended.result().unwrap().failure.is_some(), "{run}");
        clean(&ended, run);
    }
    shop.sync.mapping.state_key = "shop/poison".into();
    shop.receiver.script(Script { poison: [format!("\"{CANARY}-7\"")].into(), ..Script::default() });
    let ended = shop.run("poison").await.unwrap();
    assert_eq!(ended.result().unwrap().counters.rejected, 1);
    clean(&ended, "poison");
    shop.receiver.script(Script::default());

    // The warehouse's own errors quote values.
    let good = shop.sync.clone();
    for (run, sql) in [
        ("cast", "SELECT id, name::int AS name FROM customers"),
        ("date", "SELECT id, name::timestamptz AS name FROM customers"),
        ("json", "SELECT id, (name || '{')::jsonb AS name FROM customers"),
        ("subquery", "SELECT id, (SELECT c.name FROM customers AS c) AS name FROM customers"),
        ("numeric", "SELECT id, to_number(name, '999') AS name FROM customers WHERE name::numeric > 0"),
    ] {
        shop.sync.model.query = ModelQuery::Sql(sql.into());
        let ended = shop.run(run).await.unwrap();
        assert_eq!(ended.phase().unwrap(), "Failed", "{run}");
        clean(&ended, run);
    }
    shop.sync = good;

    shop.sql("INSERT INTO customers SELECT * FROM customers LIMIT 3; INSERT INTO customers (name) SELECT name FROM customers LIMIT 2")
        .await
        .unwrap();
    shop.sync.mode = Mode::Full;
    let ended = shop.run("keys").await.unwrap();
    assert_eq!(ended.result().unwrap().findings.unwrap().invalid(), 8);
    clean(&ended, "keys");
    shop.sql(&format!(
        "UPDATE customers SET doc = jsonb_build_object('a', repeat('{CANARY}', 60000)) WHERE id = '{CANARY}-9'"
    ))
    .await
    .unwrap();
    let ended = shop.run("wide").await.unwrap();
    assert_eq!(ended.code, Some(11), "{ended:?}");
    clean(&ended, "wide");
}
