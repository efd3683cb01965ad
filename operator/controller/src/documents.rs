//! The tables of `docs/conditions.md`, `docs/metrics.md` and `docs/events.md` are made from the code.
//!
//! `BACKFLOW_WRITE_DOCS=1 cargo test --release -p backflow-controller documents` writes them.

use std::fmt::Write as _;
use std::path::PathBuf;

use backflow_crds::conditions::ConditionType;
use backflow_crds::reasons::{Reason, Scope};

use crate::events::Happening;
use crate::metrics::METRICS;

fn types() -> String {
    let mut table = "| type | on | meaning |\n|---|---|---|\n".to_owned();
    for type_ in ConditionType::ALL {
        let (on, meaning) = match type_ {
            ConditionType::Ready => ("all", "accepted, resolved, and fit to be used"),
            ConditionType::Reconciling => ("all", "work on the newest spec is going on; only while true"),
            ConditionType::Stalled => {
                ("all", "nothing is tried until a person acts, or a Sync has ended without success; only while true")
            }
            ConditionType::LastSyncSucceeded => ("Mapping", "whether the last run succeeded; Unknown before the first"),
            ConditionType::Healthy => {
                ("Mapping", "False while records stay rejected, or rows have no key of their own")
            }
            ConditionType::DeletesWithheld => ("Mapping, Sync", "deletions wait for approval; only while true"),
            ConditionType::Complete => ("Sync", "it has ended"),
            ConditionType::Succeeded => ("Sync", "whether it succeeded; Unknown until it has ended"),
        };
        let _ = writeln!(table, "| `{type_}` | {on} | {meaning} |");
    }
    table
}

fn reasons(scope: Scope) -> String {
    let mut table = "| reason | meaning | what to do |\n|---|---|---|\n".to_owned();
    for reason in Reason::ALL.iter().filter(|reason| reason.scope() == scope) {
        let _ = writeln!(table, "| `{reason}` | {} | {} |", reason.meaning(), reason.cure());
    }
    table
}

fn metrics() -> String {
    let mut table = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(table, "| `{}` | {} | {} | {} |", metric.name, metric.kind, labels.join(", "), metric.help);
    }
    table
}

fn events() -> String {
    let mut table = "| reason | on, and meaning |\n|---|---|\n".to_owned();
    for (happening, meaning) in Happening::ALL {
        let _ = writeln!(table, "| `{}` | {meaning} |", happening.as_str());
    }
    table
}

fn check(file: &str, tables: &[(&str, String)]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(file);
    let present = std::fs::read_to_string(&path).unwrap();
    let mut expected = present.clone();
    for (name, table) in tables {
        let (begin, end) = (format!("<!-- table of {name} -->\n"), "<!-- end of table -->");
        let (head, rest) = expected.split_once(&begin).unwrap_or_else(|| panic!("{file} has no place for {name}"));
        let (_, tail) = rest.split_once(end).unwrap();
        expected = format!("{head}{begin}{table}{end}{tail}");
    }
    if std::env::var_os("BACKFLOW_WRITE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let present = std::fs::read_to_string(&path).unwrap();
    assert_eq!(present, expected, "docs/{file} is not what the code says: run this test with BACKFLOW_WRITE_DOCS=1");
}

#[test]
fn the_tables_of_conditions_are_current() {
    check(
        "conditions.md",
        &[
            ("types", types()),
            ("Fine", reasons(Scope::Fine)),
            ("Manifest", reasons(Scope::Manifest)),
            ("World", reasons(Scope::World)),
            ("Run", reasons(Scope::Run)),
        ],
    );
}

#[test]
fn the_table_of_metrics_is_current() {
    check("metrics.md", &[("metrics", metrics())]);
}

#[test]
fn the_table_of_events_is_current() {
    check("events.md", &[("events", events())]);
}
