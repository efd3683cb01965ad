//! The destination that is no vendor: a table of a real Postgres, which keeps its own ledger.

use backflow_tests::cluster::manifests::{MODEL, SOURCE, key_of, object};
use serde_json::{Value, json};

use super::route::{GONE, REFUSED, ROWS};

/// Name of Destination and Mapping.
pub(super) const NAME: &str = "postgres";
/// The table, and what notes each row that is written.
pub(super) const SQL: &str = "
    CREATE TABLE plans (id int PRIMARY KEY, plan text CHECK (plan <> 'refused'));
    CREATE TABLE ledger (at serial, op text, id int, plan text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO ledger (op, id, plan) VALUES (TG_OP, coalesce(NEW.id, OLD.id), NEW.plan); RETURN NULL; END $$;
    CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON plans FOR EACH ROW EXECUTE FUNCTION note();";
/// What was noted: of each row in turn.
pub(super) const LEDGER: &str = "SELECT id || ' ' || op || coalesce(' ' || plan, '') FROM ledger ORDER BY id, at";

/// The value of row `n`.
pub(super) fn plan(n: usize, version: usize) -> String {
    if n == REFUSED { "refused".into() } else { format!("plan {n}.{version}") }
}

/// The ledger after the first sync, and after all.
pub(super) fn ledgers() -> [Vec<String>; 2] {
    let written = |n: usize, op: &str, version| format!("{n} {op} {}", plan(n, version));
    let first: Vec<String> = (0..ROWS).map(|n| written(n, "INSERT", 0)).collect();
    let mut all = first.clone();
    all.extend([written(0, "UPDATE", 1), format!("{GONE} DELETE"), written(ROWS, "INSERT", 0)]);
    all.sort_by_key(|line| line.split(' ').next().map(str::to_owned));
    [first, all]
}

pub(super) fn destination(host: &str, port: u16, database: &str) -> Value {
    let settings = json!({"host": host, "port": port, "database": database, "user": database, "tlsMode": "Disable"});
    let secrets = json!({"password": key_of(SOURCE, "password")});
    object("Destination", NAME, json!({"type": "postgres", "settings": settings, "secrets": secrets}))
}

pub(super) fn mapping() -> Value {
    let spec = json!({
        "modelRef": {"name": MODEL}, "destinationRef": {"name": NAME}, "action": "upsertRow", "syncMode": "Mirror",
        "config": {"table": "plans", "keyColumns": ["id"]}, "fields": {"plan": {"column": "plan"}},
        "schedule": {"manual": {}},
    });
    object("Mapping", NAME, spec)
}
