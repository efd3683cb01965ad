//! What a table lacks is said before anything is sent, all of it, with the statement that cures it.

use backflow_core::code::Code;
use backflow_core::selection::{Operation, SyncMode};
use backflow_tests::rows::{Rows, record};
use serde_json::json;

use super::{all, deliver};

/// What is said of a table, with what must be in it; the cure is applied if it is one.
async fn lacks(shop: &Rows, fields: &[&str], words: &str) {
    let failure = shop.ready(fields).await.expect_err(words);
    assert_eq!(failure.code, Code::DestinationMisconfigured, "{failure}");
    assert!(failure.message.contains(words), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_index_is_named_with_the_statement_that_makes_it() {
    let shop = Rows::with("CREATE TABLE people (tenant int, id int, name text)").await.unwrap();
    let shop = shop.mapped("upsertRow", json!({"table": "people", "keyColumns": ["tenant", "id"]}), SyncMode::Mirror);
    let cure = "CREATE UNIQUE INDEX ON \"public\".\"people\" (\"tenant\", \"id\")";
    let others = [
        "CREATE UNIQUE INDEX ON people (tenant)",
        "CREATE INDEX ON people (tenant, id)",
        "CREATE UNIQUE INDEX ON people (tenant, id) WHERE id > 0",
        "CREATE UNIQUE INDEX ON people (tenant, (id + 1))",
        "CREATE UNIQUE INDEX ON people (tenant, id, name)",
        "ALTER TABLE people ADD UNIQUE (tenant, id) DEFERRABLE",
    ];
    lacks(&shop, &["name"], cure).await;
    for other in others {
        shop.sql(other).await.unwrap();
        lacks(&shop, &["name"], cure).await;
    }
    shop.sql("ALTER TABLE people DROP CONSTRAINT people_tenant_id_key").await.unwrap();
    // As it is said.
    let said = shop.ready(&["name"]).await.unwrap_err().message;
    shop.sql(said.split("run: ").nth(1).unwrap()).await.unwrap();
    shop.ready(&["name"]).await.unwrap();
    shop.sql("DROP INDEX people_tenant_id_idx1, people_tenant_id_idx, people_tenant_id_idx2").await.unwrap();
    // Columns that are only stored in an index are not those that it tells rows by, and their order is free.
    shop.sql("CREATE UNIQUE INDEX ON people (id, tenant) INCLUDE (name)").await.unwrap();
    shop.ready(&["name"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_held_to_the_columns_and_all_is_said_at_once() {
    let table = "CREATE TABLE people (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, mail text, \
                 since date NOT NULL DEFAULT now(), upper text GENERATED ALWAYS AS (upper(name)) STORED)";
    let shop = Rows::with(table).await.unwrap();
    let failure = shop.ready(&["mial", "upper"]).await.unwrap_err().message;
    for words in ["no column \"mial\" (did you mean \"mail\"?", "the values of column \"upper\"", "column \"name\" of"]
    {
        assert!(failure.contains(words), "{words}: {failure}");
    }
    shop.ready(&["name", "id"]).await.unwrap();
    // The key is written although the server would make it.
    let (sink, _stop) = shop.open().unwrap();
    for name in ["one", "two"] {
        all(&deliver(&*sink, &[record(&json!(7), Operation::Upsert, &json!({"name": name}))]).await);
    }
    assert_eq!(shop.seen("SELECT id::text, name, upper FROM people").await.unwrap(), ["7 two TWO"]);
    // What only changes or deletes needs no value for every column.
    let shop = shop.mapped("upsertRow", json!({"table": "people", "keyColumns": ["id"]}), SyncMode::Update);
    shop.ready(&["mail"]).await.unwrap();
    let shop = shop.mapped("upsertRow", json!({"table": "people", "keyColumns": ["id"]}), SyncMode::Delete);
    shop.ready(&[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_there_and_one_that_is_none() {
    let shop =
        Rows::with("CREATE TABLE people (id int PRIMARY KEY); CREATE VIEW seen AS SELECT * FROM people").await.unwrap();
    let at = |table: &str| json!({"table": table, "keyColumns": ["id"]});
    let shop = shop.mapped("upsertRow", at("poeple"), SyncMode::Mirror);
    lacks(
        &shop,
        &[],
        "has no table \"public\".\"poeple\"; create it, or correct config.table (did you mean \"people\"?",
    )
    .await;
    let shop = shop.mapped("upsertRow", at("seen"), SyncMode::Mirror);
    lacks(&shop, &[], "\"public\".\"seen\" is no table").await;
    let shop =
        shop.mapped("upsertRow", json!({"table": "people", "schema": "x", "keyColumns": ["id"]}), SyncMode::Mirror);
    lacks(&shop, &[], "has no table \"x\".\"people\"").await;
    let shop = shop.mapped("upsertRow", json!({"table": "people", "keyColumns": ["key"]}), SyncMode::Mirror);
    lacks(&shop, &[], "has no column \"key\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_grant_is_named_with_the_statement_that_gives_it() {
    let shop = Rows::with("CREATE SCHEMA private").await.unwrap();
    let role = shop.database.clone();
    let make = "ALTER SCHEMA private OWNER TO postgres; CREATE TABLE private.people (id int PRIMARY KEY, name text)";
    shop.server.exec(&role, make).await.unwrap();
    let shop = shop.mapped(
        "upsertRow",
        json!({"table": "people", "schema": "private", "keyColumns": ["id"]}),
        SyncMode::Mirror,
    );
    let said = shop.ready(&["name"]).await.unwrap_err().message;
    let cures: Vec<&str> =
        said.split("; ").flat_map(|part| part.split("run: ").nth(1).or(part.strip_prefix("run: "))).collect();
    assert_eq!(
        cures,
        [
            format!("GRANT USAGE ON SCHEMA \"private\" TO \"{role}\""),
            format!("GRANT SELECT, INSERT, UPDATE, DELETE ON \"private\".\"people\" TO \"{role}\""),
        ]
    );
    for cure in cures {
        shop.server.exec(&role, cure).await.unwrap();
    }
    shop.ready(&["name"]).await.unwrap();
    // What is taken away later ends the run.
    let (sink, _stop) = shop.open().unwrap();
    sink.ready(&["name".to_owned()]).await.unwrap();
    shop.server.exec(&role, &format!("REVOKE INSERT ON private.people FROM \"{role}\"")).await.unwrap();
    let delivery = deliver(&*sink, &[record(&json!(1), Operation::Upsert, &json!({"name": "a"}))]).await;
    assert_eq!(delivery.stop.map(|stop| stop.code), Some(Code::DestinationMisconfigured));
    assert_eq!(super::marks(&deliver(&*sink, &[]).await), Vec::<String>::new());
}
