//! What goes wrong, and when.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How the vendors behave. The default takes everything that is right.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Script {
    /// What becomes of the next requests, one each, in order. Requests that only look at an account (checks, choices) use none up.
    pub next: VecDeque<Fault>,
    /// Records with one of these texts in key or content are rejected: alone where the API has partial failures, else with the request
    /// that holds them.
    pub reject: BTreeSet<String>,
    /// Lookups find everything that was not deleted, not only what was written.
    pub everything_exists: bool,
    /// The answer, by its name in `api.yaml`, to requests that only look at an account. Without it: `success`.
    pub check: Option<String>,
    /// Every access token comes with a new refresh token, and the old one ends.
    pub rotate: bool,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// Nothing goes wrong.
    Pass,
    /// Too fast, in the vendor's words. `after`: seconds that stand in place of those in the vendor's hint, where it gives one.
    Throttled {
        /// Seconds.
        #[serde(default)]
        after: Option<u64>,
    },
    /// The vendor is out of service, in its words.
    Unavailable,
    /// The credentials are refused, in the vendor's words.
    Unauthorized,
    /// All access tokens end, this request's among them.
    ExpireTokens,
    /// A login page with status 200; nothing is taken.
    Html,
    /// The connection breaks after the request was read; nothing is taken.
    Reset,
    /// Everything is taken, and the connection breaks before the answer.
    LostAnswer,
}

impl Script {
    /// The next requests meet these faults.
    #[must_use]
    pub fn next(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self { next: faults.into_iter().collect(), ..Self::default() }
    }

    /// Whether a record is rejected.
    pub(super) fn rejects(&self, key: &str, content: &Value) -> bool {
        if self.reject.is_empty() {
            return false;
        }
        let content = content.to_string();
        self.reject.iter().any(|text| key.contains(text.as_str()) || content.contains(text.as_str()))
    }
}
