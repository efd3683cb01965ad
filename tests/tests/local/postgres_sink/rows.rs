//! What is written for each operation, and what is not.

use backflow_core::change::Memory;
use backflow_core::record::Record;
use backflow_core::selection::{Operation, SyncMode};
use backflow_tests::rows::{Rows, record};
use serde_json::json;

use super::{all, deliver, marks};

const PEOPLE: &str = "CREATE TABLE people (id bigint PRIMARY KEY, name text, plan text DEFAULT 'free')";
const SEEN: &str = "SELECT id::text, name, plan FROM people ORDER BY id";

fn person(id: u64, op: Operation, name: &str) -> Record {
    let data = if op == Operation::Delete { json!({}) } else { json!({"name": name}) };
    record(&json!(id), op, &data)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_does_what_it_says_and_twice_is_as_once() {
    let shop = Rows::with(PEOPLE).await.unwrap();
    shop.sql("INSERT INTO people VALUES (1, 'old', 'pro'), (2, 'old', 'pro'), (3, 'old', 'pro')").await.unwrap();
    let (sink, _stop) = shop.open().unwrap();
    sink.ready(&["name".to_owned()]).await.unwrap();
    for _ in 0..2 {
        let upserts = [person(1, Operation::Upsert, "new"), person(4, Operation::Upsert, "new")];
        all(&deliver(&*sink, &upserts).await);
        assert_eq!(shop.seen(SEEN).await.unwrap(), ["1 new pro", "2 old pro", "3 old pro", "4 new free"]);
    }
    for _ in 0..2 {
        let inserts = [person(2, Operation::Insert, "ignored"), person(5, Operation::Insert, "new")];
        all(&deliver(&*sink, &inserts).await);
        assert_eq!(shop.seen(SEEN).await.unwrap(), ["1 new pro", "2 old pro", "3 old pro", "4 new free", "5 new free"]);
    }
    for _ in 0..2 {
        let updates = [7, 2, 8].map(|id| person(id, Operation::Update, "newer"));
        let delivery = deliver(&*sink, &updates).await;
        assert_eq!(marks(&delivery), ["!ROW_NOT_FOUND:-", "+", "!ROW_NOT_FOUND:-"]);
        assert_eq!(shop.seen(SEEN).await.unwrap()[1], "2 newer pro");
    }
    for _ in 0..2 {
        all(&deliver(&*sink, &[1, 3, 9].map(|id| person(id, Operation::Delete, ""))).await);
        assert_eq!(shop.seen(SEEN).await.unwrap(), ["2 newer pro", "4 new free", "5 new free"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_keys_of_several_columns_are_taken_as_they_are() {
    let table = r#"CREATE SCHEMA "My ""S"""; CREATE TABLE "My ""S"""."T.a-b" ("Ten ant" text, id int, "va""l" jsonb, "a.b" int,
                   UNIQUE (id, "Ten ant"))"#;
    let config = json!({"schema": "My \"S\"", "table": "T.a-b", "keyColumns": ["Ten ant", "id"]});
    let shop = Rows::with(table).await.unwrap().mapped("upsertRow", config, SyncMode::Mirror);
    shop.ready(&["va\"l", "a.b"]).await.unwrap();
    let (sink, _stop) = shop.open().unwrap();
    let upsert = |tenant: &str, id: u64, value: u64| {
        record(&json!([tenant, id]), Operation::Upsert, &json!({"va\"l": {"v": value}, "a.b": value, "id": id}))
    };
    all(&deliver(&*sink, &[upsert("é, \"x\"", 1, 10), upsert("b", 1, 20), upsert("b", 2, 30)]).await);
    all(&deliver(&*sink, &[upsert("b", 1, 21)]).await);
    all(&deliver(&*sink, &[record(&json!(["b", 2]), Operation::Delete, &json!({}))]).await);
    let seen = r#"SELECT "Ten ant", id::text, "va""l"->>'v', "a.b"::text FROM "My ""S"""."T.a-b" ORDER BY id, "a.b""#;
    assert_eq!(shop.seen(seen).await.unwrap(), ["é, \"x\" 1 10 10", "b 1 21 21"]);
    // The key and the field of its column must say the same, and a key must have as many columns.
    let wrong = [
        record(&json!(["b", 1]), Operation::Upsert, &json!({"id": 2})),
        record(&json!("b"), Operation::Upsert, &json!({"a.b": 2})),
        record(&json!(["b", null]), Operation::Upsert, &json!({"a.b": 2})),
    ];
    let delivery = deliver(&*sink, &wrong).await;
    assert_eq!(marks(&delivery), ["!KEY_MISMATCH:id", "!KEY_MISMATCH:-", "!NULL_NOT_ALLOWED:id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_found_by_another_column() {
    let table = "CREATE TABLE people (email text UNIQUE, name text)";
    let config = json!({"table": "people", "matchBy": "email"});
    let shop = Rows::with(table).await.unwrap().mapped("upsertRow", config, SyncMode::Mirror);
    shop.ready(&["email", "name"]).await.unwrap();
    let (sink, _stop) = shop.open().unwrap();
    let found = |op, name: &str| {
        let memory = Memory { match_key: Some("\"a@b.c\"".into()), ..Memory::default() };
        Record { memory, ..record(&json!(7), op, &json!({"email": "a@b.c", "name": name})) }
    };
    all(&deliver(&*sink, &[found(Operation::Upsert, "one")]).await);
    all(&deliver(&*sink, &[found(Operation::Upsert, "two")]).await);
    assert_eq!(shop.seen("SELECT email, name FROM people").await.unwrap(), ["a@b.c two"]);
    all(&deliver(&*sink, &[found(Operation::Delete, "")]).await);
    assert!(shop.seen("SELECT email FROM people").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn appended_rows_are_many_and_with_a_column_for_the_delivery_each_is_one() {
    let table = "CREATE TABLE log (n int, delivery text UNIQUE)";
    let appends = |n: u64| record(&json!(n), Operation::Insert, &json!({"n": n}));
    let counted = "SELECT n::text, count(*)::text FROM log GROUP BY n ORDER BY n";
    let shop = Rows::with(table).await.unwrap().mapped("appendRow", json!({"table": "log"}), SyncMode::Insert);
    let (sink, _stop) = shop.open().unwrap();
    for _ in 0..2 {
        all(&deliver(&*sink, &[appends(1), appends(2)]).await);
    }
    assert_eq!(shop.seen(counted).await.unwrap(), ["1 2", "2 2"]);
    let config = json!({"table": "log", "deliveryKeyColumn": "delivery"});
    let shop = shop.mapped("appendRow", config, SyncMode::Insert);
    shop.sql("TRUNCATE log").await.unwrap();
    let (sink, _stop) = shop.open().unwrap();
    let records = [appends(1), appends(1), appends(2)];
    for _ in 0..2 {
        all(&deliver(&*sink, &records).await);
    }
    assert_eq!(shop.seen(counted).await.unwrap(), ["1 2", "2 1"]);
    let update = Record { op: Operation::Update, ..appends(2) };
    all(&deliver(&*sink, &[update]).await);
    assert_eq!(shop.seen(counted).await.unwrap(), ["1 2", "2 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_every_type_arrive() {
    let table = "CREATE TYPE plan AS ENUM ('free', 'pro'); CREATE DOMAIN short AS varchar(3); \
         CREATE TABLE people (id int PRIMARY KEY, b bool, i8 bigint, f float8, n numeric(8,2), t text, v varchar(3), c char(3), u uuid, \
         j json, jb jsonb, by bytea, e plan, d date, ts timestamp, tz timestamptz, iv interval, ia int[], ta text[], ja jsonb[], \
         ip inet, s short, bits bit(4), p point)";
    let shop = Rows::with(table).await.unwrap();
    let (sink, _stop) = shop.open().unwrap();
    let full = json!({
        "b": true, "i8": "-9223372036854775808", "f": "-Infinity", "n": "123456.789", "t": "a\n\"b\" \\ é", "v": "é  ", "c": "x",
        "u": "6F1C9C3E-0000-4000-8000-0123456789AB", "j": {"a": [1, null]}, "jb": "text", "by": "AP8=", "e": "pro", "d": "2026-02-28",
        "ts": "2026-02-28T12:00:00", "tz": "2026-02-28T12:00:00.000001Z", "iv": "P1DT2H", "ia": [1, null, 3],
        "ta": ["a,\"b\\", "", null], "ja": [{"a": 1}], "ip": "10.0.0.1", "s": "abc", "bits": "1010", "p": "(1,2)",
    });
    let names: Vec<String> = full.as_object().unwrap().keys().cloned().collect();
    sink.ready(&names).await.unwrap();
    let mut none = full.clone();
    none.as_object_mut().unwrap().values_mut().for_each(|value| *value = json!(null));
    all(&deliver(&*sink, &[record(&json!(1), Operation::Upsert, &full), record(&json!(2), Operation::Upsert, &none)])
        .await);
    let casts: Vec<String> = names.iter().map(|name| format!("{name}::text")).collect();
    let seen = format!("SET TimeZone = 'UTC'; SELECT {} FROM people ORDER BY id", casts.join(", "));
    let seen = seen.replace("SET TimeZone = 'UTC'; ", "").replace("tz::text", "(tz AT TIME ZONE 'UTC')::text");
    let rows = shop.server.query(&shop.database, &seen).await.unwrap();
    let shown: Vec<(&str, &str)> =
        names.iter().map(String::as_str).zip(rows[0].iter().map(|cell| cell.as_deref().unwrap_or("-"))).collect();
    let expected = [
        ("b", "true"),
        ("i8", "-9223372036854775808"),
        ("f", "-Infinity"),
        ("n", "123456.79"),
        ("t", "a\n\"b\" \\ é"),
        ("v", "é  "),
        ("c", "x"),
        ("u", "6f1c9c3e-0000-4000-8000-0123456789ab"),
        ("j", "{\"a\":[1,null]}"),
        ("jb", "\"text\""),
        ("by", "\\x00ff"),
        ("e", "pro"),
        ("d", "2026-02-28"),
        ("ts", "2026-02-28 12:00:00"),
        ("tz", "2026-02-28 12:00:00.000001"),
        ("iv", "1 day 02:00:00"),
        ("ia", "{1,NULL,3}"),
        ("ta", "{\"a,\\\"b\\\\\",\"\",NULL}"),
        ("ja", "{\"{\\\"a\\\": 1}\"}"),
        ("ip", "10.0.0.1/32"),
        ("s", "abc"),
        ("bits", "1010"),
        ("p", "(1,2)"),
    ];
    for (name, value) in expected {
        assert!(shown.contains(&(name, value)), "{name}: {shown:?}");
    }
    assert_eq!(shown.len(), expected.len());
    assert!(rows[1].iter().all(Option::is_none), "{:?}", rows[1]);
    // A limit of a length never cuts.
    let cut = [json!({"s": "abcd"}), json!({"bits": "10101"})].map(|data| record(&json!(3), Operation::Upsert, &data));
    assert_eq!(marks(&deliver(&*sink, &cut).await), ["!TOO_LONG:s", "!INVALID_FIELD:-"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_row_is_lost_alone_and_its_field_is_named() {
    let table = "CREATE TABLE plans (name text PRIMARY KEY); INSERT INTO plans VALUES ('pro'); \
         CREATE TABLE people (id int PRIMARY KEY, email text UNIQUE, born date, score int CHECK (score < 1000), \
         name text NOT NULL, plan text REFERENCES plans, zip varchar(5), seen timestamptz, mark text); \
         CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.mark = 'bad' THEN \
         RAISE EXCEPTION 'canary %', NEW.email USING COLUMN = NEW.email, CONSTRAINT = NEW.email; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER no BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION no(); \
         INSERT INTO people VALUES (100000, 'taken-canary@example.com', NULL, 0, 'x')";
    let shop = Rows::with(table).await.unwrap();
    let (sink, _stop) = shop.open().unwrap();
    let names = ["email", "born", "score", "name", "plan", "zip", "seen", "mark"].map(str::to_owned);
    sink.ready(&names).await.unwrap();
    let mut data: Vec<_> = (0..2000)
        .map(|n| {
            json!({"email": format!("canary-{n}@example.com"), "born": "2000-01-01", "score": n % 1000, "name": "canary", "plan": "pro",
                "zip": "12345", "seen": "2026-01-01T00:00:00Z", "mark": "good"})
        })
        .collect();
    let bad = [
        (3, "born", json!("canary"), "!INVALID_TIME:born"),
        (500, "score", json!(1000), "!CHECK_FAILED:score"),
        (777, "email", json!("taken-canary@example.com"), "!NOT_UNIQUE:email"),
        (778, "score", json!("canary"), "!INVALID_FIELD:score"),
        (999, "name", json!(null), "!NULL_NOT_ALLOWED:name"),
        (1000, "plan", json!("canary"), "!FOREIGN_KEY:plan"),
        (1234, "zip", json!("canary"), "!TOO_LONG:zip"),
        (1500, "seen", json!("2026-13-01 canary"), "!INVALID_TIME:seen"),
        (1998, "mark", json!("bad"), "!TRIGGER:-"),
        (1999, "nmae", json!("canary"), "!UNKNOWN_COLUMN:nmae"),
    ];
    for (at, name, value, _) in &bad {
        data[*at][*name] = value.clone();
    }
    let records: Vec<_> = data.iter().zip(0..).map(|(data, id)| record(&json!(id), Operation::Upsert, data)).collect();
    let delivery = deliver(&*sink, &records).await;
    assert!(delivery.stop.is_none());
    assert_eq!(delivery.traffic.breaks, 0, "a row that is refused says nothing against the server");
    let marks = marks(&delivery);
    for (at, mark) in marks.iter().enumerate() {
        let expected = bad.iter().find(|(bad, ..)| *bad == at).map_or("+", |(.., mark)| mark);
        assert_eq!(mark, expected, "record {at}");
    }
    let written = shop.seen("SELECT count(*)::text FROM people").await.unwrap();
    assert_eq!(written, [(2000 - bad.len() + 1).to_string()]);
    assert!(delivery.requests < 150, "halving takes {} statements", delivery.requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_are_left_out_stay_and_rows_that_are_one_to_the_server_are_both_written() {
    let shop = Rows::with(PEOPLE).await.unwrap();
    shop.sql("INSERT INTO people VALUES (1, 'old', 'pro'), (2, 'old', 'pro')").await.unwrap();
    let (sink, _stop) = shop.open().unwrap();
    let records = [
        record(&json!(1), Operation::Upsert, &json!({"name": "new"})),
        record(&json!(2), Operation::Upsert, &json!({"plan": null})),
        record(&json!(3), Operation::Upsert, &json!({})),
        // The same integer in another spelling.
        record(&json!("3"), Operation::Upsert, &json!({})),
        record(&json!(4), Operation::Upsert, &json!({"name": "first"})),
        record(&json!("4"), Operation::Upsert, &json!({"name": "second"})),
    ];
    all(&deliver(&*sink, &records).await);
    assert_eq!(shop.seen(SEEN).await.unwrap(), ["1 new pro", "2 old -", "3 - free", "4 second free"]);
}
