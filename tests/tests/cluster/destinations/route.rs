//! A Mapping to a vendor, the columns of the table that are its own, and what is to become of them.

use std::collections::BTreeMap;

use backflow_core::change::ChangeKind;
use backflow_core::selection::{Selection, SyncMode};
use backflow_tests::cluster::manifests::{MODEL, key_of, object};
use backflow_tests::destinations::{Credentials, Fault, Script};
use serde_json::{Map, Value, json};

use super::exact::Rows;
use super::fixture::{Fixture, check, fixtures};

/// Rows of the first sync, numbered from 0. After it row 0 changes, the last one goes, and two come.
pub(super) const ROWS: usize = 5;
pub(super) const GONE: usize = ROWS - 1;
/// The second row that comes: every destination rejects it.
pub(super) const REFUSED: usize = ROWS + 1;

/// Vendors that ask for half a minute and more when it is too fast: longer than a test may wait. In the second run they are only ill.
const PATIENT: [&str; 6] =
    ["amplitude", "facebook-conversions-api", "facebook-custom-audiences", "google-ads", "google-sheets", "salesforce"];
/// The one of them that is too fast for its vendor all the same: its run ends, as it may not wait so long.
pub(super) const LIMITED: &str = "salesforce";
/// Actions without a key, and the text that tells their records apart.
const TOLD_BY: [(&str, &str); 5] = [
    ("amplitude", "user_id"),
    ("facebook-conversions-api", "event_id"),
    ("segment", "user_id"),
    ("segment-profiles", "user_id"),
    ("slack", "text"),
];
/// A vendor that answers success to everything: nothing can be rejected.
pub(super) const SILENT: &str = "google-analytics-4";
/// A vendor that only says how many records it rejected: halves are sent until these are alone, and the others come again.
const COUNTING: &str = "facebook-custom-audiences";

pub(super) struct Route {
    /// Of the definition, the Destination and the Mapping.
    pub(super) name: &'static str,
    pub(super) fixture: Fixture,
    /// By field.
    columns: BTreeMap<String, String>,
}

impl Route {
    pub(super) fn new(definition: &'static str, action: &str) -> Self {
        let fixture = fixtures(definition).into_iter().find(|fixture| fixture.action == action);
        let fixture = fixture.unwrap_or_else(|| panic!("{definition} has no fixture of {action}"));
        let columns = fixture.columns().into_iter().map(|field| (field.clone(), format!("{definition}.{field}")));
        Self { name: definition, columns: columns.collect(), fixture }
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = &String> {
        self.columns.values()
    }

    /// The columns of row `n` that are not NULL.
    pub(super) fn values(&self, n: usize, version: usize) -> Vec<(&str, Value)> {
        let mut fields = self.fixture.row(n, version);
        if let Some((field, text)) = self.told_by(n) {
            fields.insert(field.to_owned(), json!(text));
        }
        fields.into_iter().map(|(field, value)| (self.columns[&field].as_str(), value)).collect()
    }

    /// The field that tells row `n` apart where the definition names no key, and its value.
    fn told_by(&self, n: usize) -> Option<(&'static str, String)> {
        let (_, field) = TOLD_BY.iter().find(|(definition, _)| *definition == self.name)?;
        Some((*field, format!("{field} {}", 1_000_000 + n)))
    }

    pub(super) fn mapping(&self) -> Value {
        let field = |(field, column): (&String, &String)| {
            (field.replace('.', "\\."), json!({"column": column, "parse": "Json", "onNull": "Omit"}))
        };
        let mut spec = json!({
            "modelRef": {"name": MODEL}, "destinationRef": {"name": self.name}, "action": self.fixture.action,
            "config": self.fixture.config, "fields": self.columns.iter().map(field).collect::<Map<_, _>>(),
            "schedule": {"manual": {}},
        });
        match &self.fixture.selection {
            Selection::SyncMode(mode) => spec["syncMode"] = json!(mode),
            Selection::Records(kinds) => spec["records"] = json!(kinds),
        }
        if self.name == LIMITED {
            spec["retry"] = json!({"window": "10s"});
        }
        object("Mapping", self.name, spec)
    }

    pub(super) fn destination(&self, secrets: &Credentials) -> Value {
        let account = &self.fixture.destination;
        let references: Map<_, _> = secrets.keys().map(|key| (key.clone(), key_of(self.name, key))).collect();
        let mut spec = json!({"type": self.name, "settings": account["settings"], "secrets": references});
        if account["auth"].is_string() {
            spec["auth"] = account["auth"].clone();
        }
        object("Destination", self.name, spec)
    }

    /// The account that the vendor tells when the Destination is checked, if it does.
    pub(super) fn account(&self) -> Option<String> {
        let file = check(self.fixture.definition)?;
        let mut cases = file["cases"].as_array().into_iter().flatten();
        cases.find_map(|case| case["account"].as_str()).map(str::to_owned)
    }

    /// Whether its ledger tells how often a row came.
    pub(super) fn counts_rows(&self) -> bool {
        self.name != COUNTING
    }

    /// How the vendor behaves at first.
    pub(super) fn calm(&self) -> Script {
        Script { everything_exists: self.sends_changes(), ..Script::default() }
    }

    /// And then: it throttles, is ill, ends the tokens that it has issued, and rejects a row.
    pub(super) fn storm(&self, tokens: usize) -> Script {
        let ends = (tokens > 0).then_some(Fault::ExpireTokens);
        let busy = match PATIENT.contains(&self.name) {
            true => Fault::Unavailable,
            false => Fault::Throttled { after: Some(1) },
        };
        let faults = [busy.clone(), Fault::Unavailable, busy];
        let own = self.told_by(REFUSED).map(|(_, text)| vec![text]);
        let reject = own.or_else(|| self.fixture.needles(REFUSED)).filter(|_| self.name != SILENT);
        let reject = reject.into_iter().flatten().collect();
        Script { next: ends.into_iter().chain(faults).collect(), reject, ..self.calm() }
    }

    /// It has had enough of us.
    pub(super) fn limit(&self) -> Script {
        Script { next: [Fault::Throttled { after: None }].into(), ..self.calm() }
    }

    /// Whether changed rows are delivered.
    fn sends_changes(&self) -> bool {
        let only_new = [Selection::SyncMode(SyncMode::Insert), Selection::Records(vec![ChangeKind::Added])];
        !only_new.contains(&self.fixture.selection)
    }

    /// The ledger after the first sync, and after all.
    pub(super) fn ledgers(&self) -> [Rows; 2] {
        let first: Rows = (0..ROWS).map(|n| (n, (1, false))).collect();
        let mut all = first.clone();
        if self.fixture.can_change() && self.sends_changes() {
            all.insert(0, (2, false));
        }
        if self.fixture.selection == Selection::SyncMode(SyncMode::Mirror) {
            all.insert(GONE, (2, true));
        }
        all.insert(ROWS, (1, false));
        all.insert(REFUSED, (usize::from(self.name == SILENT), false));
        [first, all]
    }
}
