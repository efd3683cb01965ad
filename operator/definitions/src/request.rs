//! What goes over the wire for an operation, and what its answers say of each record.

use std::time::Duration;

use crate::http::{ErrorRule, Paginate, Rate, Words};
use crate::template::{Condition, Template, Tree, Variable};

/// A request.
#[derive(Debug)]
pub struct Request {
    /// The method.
    pub method: Template,
    /// Behind the base URL; or a whole URL, as one expression.
    pub path: Template,
    /// Parameters of the query: none and null are left out, lists are repeated.
    pub query: Vec<(String, Template)>,
    /// Headers.
    pub headers: Vec<(String, Template)>,
    /// The form of the body.
    pub encoding: Encoding,
    /// In place of the encoding's own.
    pub content_type: Option<String>,
    /// What each record is.
    pub item: Option<Tree>,
    /// The body.
    pub body: Option<Tree>,
    /// The form of a CSV body.
    pub csv: Csv,
}

impl Request {
    /// Every template in it.
    pub(crate) fn templates(&self) -> Vec<&Template> {
        let maps = self.query.iter().chain(&self.headers).map(|(_, template)| template);
        let trees = self.item.iter().chain(&self.body).flat_map(Tree::templates);
        [&self.method, &self.path].into_iter().chain(maps).chain(&self.csv.columns).chain(trees).collect()
    }
}

/// The form of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// One JSON document.
    #[default]
    Json,
    /// A JSON document a line: of each item, or of each element of an item that is a list.
    Ndjson,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// Lines of values.
    Csv,
    /// A text.
    Text,
    /// `multipart/form-data`: parts by the members of an object, files among them.
    Multipart,
}

impl Encoding {
    /// Their names.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("json", Self::Json),
        ("ndjson", Self::Ndjson),
        ("form", Self::Form),
        ("csv", Self::Csv),
        ("text", Self::Text),
        ("multipart", Self::Multipart),
    ];

    /// The content type, unless the request says another.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Form => "application/x-www-form-urlencoded",
            Self::Csv => "text/csv",
            Self::Text => "text/plain; charset=utf-8",
            // With a boundary behind it.
            Self::Multipart => "multipart/form-data",
        }
    }
}

/// The form of a CSV body.
#[derive(Debug)]
pub struct Csv {
    /// The columns; without them the members of the items, in the order of their first appearance.
    pub columns: Vec<Template>,
    /// What NULL is.
    pub null: String,
    /// What stands between values.
    pub delimiter: u8,
}

impl Default for Csv {
    fn default() -> Self {
        Self { columns: Vec::new(), null: String::new(), delimiter: b',' }
    }
}

/// How much goes into a request.
#[derive(Debug)]
pub struct Batch {
    /// Records.
    pub max_records: u32,
    /// Bytes of the body.
    pub max_bytes: u64,
    /// Bytes of one item.
    pub max_record_bytes: u64,
    /// Records with other values of these go into other requests.
    pub group_by: Vec<Template>,
    /// One request may hold different operations.
    pub mixed_ops: bool,
    /// Of two records with one key in a batch, which is sent.
    pub dedupe: Option<Dedupe>,
}

/// Of two records with one key in a batch, which is sent; the other shares its outcome.
#[derive(Debug)]
pub struct Dedupe {
    /// The key.
    pub key: Template,
    /// Whether the last is kept; else the first.
    pub keep_last: bool,
}

/// How the destination is asked for some operations.
#[derive(Debug)]
pub struct Operation {
    /// Which.
    pub ops: Vec<backflow_core::selection::Operation>,
    /// How much goes into a request.
    pub batch: Batch,
    /// Rates of its own.
    pub rates: Vec<Rate>,
    /// What answers mean, before the action's.
    pub errors: Vec<ErrorRule>,
    /// What must exist first.
    pub ensure: Vec<Ensure>,
    /// How the destination's ids are found.
    pub lookup: Option<Lookup>,
    /// The request.
    pub request: Request,
    /// What the request begins, if it is not done with its answer.
    pub job: Option<Job>,
    /// What answers say of each record.
    pub results: Results,
}

impl Operation {
    /// All its requests.
    pub(crate) fn requests(&self) -> Vec<&Request> {
        let ensured = self.ensure.iter().flat_map(|ensure| ensure.lookup.iter().chain(&ensure.create));
        let ensured = ensured.map(|asking| &asking.request);
        let job = self.job.iter().flat_map(|job| {
            let results = job.results.iter().map(|result| &result.request);
            let others = job.upload.iter().chain(&job.start).chain(&job.abort);
            others.chain([&job.poll.request]).chain(results)
        });
        let lookup = self.lookup.iter().map(|lookup| &lookup.request);
        [&self.request].into_iter().chain(lookup).chain(ensured).chain(job).collect()
    }

    /// Whether its requests need a member of `rec` that not every record has: `match`, `group`.
    #[must_use]
    pub fn demands(&self, member: &str) -> bool {
        let lookup = self
            .lookup
            .iter()
            .flat_map(|lookup| lookup.request.templates().into_iter().chain(std::iter::once(&lookup.equals)));
        let upload = self.job.iter().filter_map(|job| job.upload.as_ref()).flat_map(Request::templates);
        let mut templates = self.request.templates().into_iter().chain(lookup).chain(upload);
        templates.any(|template| template.members(Variable::Rec).any(|(name, strictly)| name == member && strictly))
    }
}

/// Something that must exist: a list, an audience.
#[derive(Debug)]
pub struct Ensure {
    /// Name, as `ensure.<id>`.
    pub id: String,
    /// How it is looked for.
    pub lookup: Option<Asking>,
    /// How it is made.
    pub create: Option<Asking>,
    /// How long it is taken to exist.
    pub cache: Duration,
    /// Where there is none, and none is made, the records are rejected; else the run ends.
    pub reject_missing: bool,
}

/// A request and what its answer gives.
#[derive(Debug)]
pub struct Asking {
    /// The request.
    pub request: Request,
    /// The value in its answer; none if there is none.
    pub from: Template,
}

/// How the destination's ids of records are found.
#[derive(Debug)]
pub struct Lookup {
    /// Records of one request.
    pub max_records: u32,
    /// Records whose id is known are not looked up.
    pub use_known: bool,
    /// The request.
    pub request: Request,
    /// The list in its answer.
    pub from: Template,
    /// What an element is of, over `it`.
    pub key: Template,
    /// What a record is known by, over `f` and `rec`.
    pub equals: Template,
    /// What is kept of an element, over `it`: `remoteId` and others.
    pub store: Vec<(String, Template)>,
    /// What becomes of a record that is not found.
    pub on_missing: OnMissing,
    /// What becomes of one that is.
    pub on_found: OnFound,
    /// Of several, the first is meant; else the record is rejected.
    pub many_first: bool,
}

/// What becomes of a record that is not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMissing {
    /// It is sent by the operation for Insert.
    Insert,
    /// It is sent all the same.
    Send,
    /// It is rejected.
    Reject,
    /// There is nothing to do.
    Succeed,
}

/// What becomes of a record that is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFound {
    /// It is sent.
    Send,
    /// There is nothing to do.
    Succeed,
    /// It is rejected.
    Reject,
}

/// Work that a request begins and that ends later.
#[derive(Debug)]
pub struct Job {
    /// Its id, over the answer.
    pub id: Template,
    /// What else of the answer is needed, as `job.<name>`.
    pub capture: Vec<(String, Template)>,
    /// Carries the items.
    pub upload: Option<Request>,
    /// Says that all is there.
    pub start: Option<Request>,
    /// How it goes.
    pub poll: Poll,
    /// Where its results are.
    pub results: Vec<JobResult>,
    /// Ends it before its time.
    pub abort: Option<Request>,
}

/// How a job goes.
#[derive(Debug)]
pub struct Poll {
    /// The request.
    pub request: Request,
    /// How often.
    pub every: Duration,
    /// For how long at most.
    pub max: Duration,
    /// `running`, `done` or `failed`, over the answer.
    pub state: Template,
}

/// Results of a job.
#[derive(Debug)]
pub struct JobResult {
    /// Name, as `of` says it.
    pub id: String,
    /// The request.
    pub request: Request,
    /// The form of its answer: JSON, NDJSON or CSV.
    pub decode: Encoding,
    /// Where the rest is.
    pub paginate: Option<Paginate>,
}

/// What answers say of each record.
#[derive(Debug)]
pub struct Results {
    /// How they say it.
    pub mode: ResultsMode,
    /// What becomes of records that an answer does not mention.
    pub unaccounted: UnaccountedRule,
    /// A batch that was refused as a whole is halved until the records at fault are alone.
    pub bisect: bool,
    /// What an answer must fulfil to be one.
    pub requires: Option<Condition>,
}

impl Results {
    /// The job's results that its rules read, by their names; none where a rule names none.
    pub(crate) fn sources(&self) -> Vec<Option<&str>> {
        fn of(failed: &[Failed]) -> impl Iterator<Item = Option<&str>> {
            failed.iter().map(|rule| rule.of.as_deref())
        }
        let mut read: Vec<_> = match &self.mode {
            ResultsMode::Whole | ResultsMode::Accepted => Vec::new(),
            ResultsMode::Counts { .. } => vec![None],
            ResultsMode::ByIndex { of, .. } => vec![of.as_deref()],
            ResultsMode::ErrorsByIndex { failed }
            | ResultsMode::IndexMaps { failed }
            | ResultsMode::FailedKeys { failed } => of(failed).collect(),
            ResultsMode::Correlate { succeeded, failed } => {
                of(failed).chain(succeeded.iter().map(|rule| rule.of.as_deref())).collect()
            }
        };
        if self.requires.is_some() || matches!(self.unaccounted, UnaccountedRule::Asked(_)) {
            read.push(None);
        }
        read
    }
}

/// What becomes of records that an answer does not mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unaccounted {
    /// Rejected.
    Reject,
    /// Tried again.
    Retry,
    /// Delivered.
    Succeed,
}

impl Unaccounted {
    /// Their names.
    pub const NAMES: [(&'static str, Self); 3] =
        [("reject", Self::Reject), ("retry", Self::Retry), ("succeed", Self::Succeed)];

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(own, _)| *own == name).map(|(_, found)| *found)
    }
}

/// What becomes of records that an answer does not mention: always, or by the answer.
#[derive(Debug)]
pub enum UnaccountedRule {
    /// Always this.
    Always(Unaccounted),
    /// What this names, over the answer.
    Asked(Template),
}

/// How answers speak of records.
#[derive(Debug)]
pub enum ResultsMode {
    /// One verdict for all.
    Whole,
    /// Taken, and never confirmed.
    Accepted,
    /// One element for each record, in the order of the request.
    ByIndex {
        /// Which answer.
        of: Option<String>,
        /// The list.
        from: Template,
        /// Whether an element is a success.
        ok: Template,
        /// The destination's id.
        remote_id: Option<Template>,
        /// Of failures.
        verdict: Verdict,
    },
    /// Failures with the number of their record, from 0.
    ErrorsByIndex {
        /// Where they are.
        failed: Vec<Failed>,
    },
    /// Objects of fields and the numbers of records that are wrong in them; or lists of numbers.
    IndexMaps {
        /// Where they are.
        failed: Vec<Failed>,
    },
    /// The records' keys are echoed.
    Correlate {
        /// Where those are that were taken.
        succeeded: Option<Succeeded>,
        /// Where those are that were not.
        failed: Vec<Failed>,
    },
    /// Lists of keys that failed.
    FailedKeys {
        /// Where they are.
        failed: Vec<Failed>,
    },
    /// Only how many.
    Counts {
        /// How many failed.
        failed: Template,
        /// Of how many.
        sent: Option<Template>,
    },
}

/// The kinds of [`ResultsMode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants of ResultsMode say it")]
pub enum ResultsKind {
    Whole,
    Accepted,
    ByIndex,
    ErrorsByIndex,
    IndexMaps,
    Correlate,
    FailedKeys,
    Counts,
}

impl ResultsKind {
    /// Their names, as `mode` says them.
    pub const NAMES: [(&'static str, Self); 8] = [
        ("whole", Self::Whole),
        ("accepted", Self::Accepted),
        ("byIndex", Self::ByIndex),
        ("errorsByIndex", Self::ErrorsByIndex),
        ("indexMaps", Self::IndexMaps),
        ("correlate", Self::Correlate),
        ("failedKeys", Self::FailedKeys),
        ("counts", Self::Counts),
    ];
}

impl ResultsMode {
    /// What kind it is.
    #[must_use]
    pub const fn kind(&self) -> ResultsKind {
        match self {
            Self::Whole => ResultsKind::Whole,
            Self::Accepted => ResultsKind::Accepted,
            Self::ByIndex { .. } => ResultsKind::ByIndex,
            Self::ErrorsByIndex { .. } => ResultsKind::ErrorsByIndex,
            Self::IndexMaps { .. } => ResultsKind::IndexMaps,
            Self::Correlate { .. } => ResultsKind::Correlate,
            Self::FailedKeys { .. } => ResultsKind::FailedKeys,
            Self::Counts { .. } => ResultsKind::Counts,
        }
    }
}

/// Failures in an answer.
#[derive(Debug)]
pub struct Failed {
    /// Which answer; a job's first results if it does not say.
    pub of: Option<String>,
    /// The list.
    pub from: Template,
    /// What an element is about, over `it`: an index, a key. None where the elements are that themselves.
    pub about: Option<Template>,
    /// What a record is known by, over `f` and `rec`.
    pub record_key: Option<Template>,
    /// What it means.
    pub verdict: Verdict,
}

/// What a failure means.
#[derive(Debug, Default)]
pub struct Verdict {
    /// The name of a [`crate::Class`]; `reject` if absent.
    pub class: Option<Template>,
    /// What is said of it.
    pub words: Words,
}

/// Successes in an answer.
#[derive(Debug)]
pub struct Succeeded {
    /// Which answer.
    pub of: Option<String>,
    /// The list.
    pub from: Template,
    /// The record's key, over `it`.
    pub about: Template,
    /// The destination's id, over `it`.
    pub remote_id: Option<Template>,
}
