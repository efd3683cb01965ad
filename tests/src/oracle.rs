//! Random histories of a model, a destination and their runs, and an oracle that is slow and obviously right: what two receivers (one
//! that takes everything, one that takes no key twice) must hold in the end, and that no two deliveries share a key.
//!
//! It knows an engine by [`Engine`] and [`Extraction`] only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a check fails by panicking, as any test")]

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use backflow_core::cell::Cell;
use backflow_core::change::{Change, ChangeKind, Memory};
use backflow_core::code::Failure;
use backflow_core::encode::EncodedRow;
use backflow_core::extraction::{Ack, Extraction, Findings, Verdict};
use backflow_core::plan::{Mode, OnMappingChange};
use backflow_core::record::{Rejection, idempotency_key};
use backflow_core::result::{Counters, Phase};
use backflow_core::selection::Operation;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Texts that rows take: few, so that they come back.
const TEXTS: [&str; 4] = ["a", "b", "", "NULL"];

const KINDS: [ChangeKind; 3] = [ChangeKind::Deleted, ChangeKind::Updated, ChangeKind::Added];

/// What a history needs of an engine: a Mirror of a model with the columns `id` (the key), `name` and `plan`, all of them used. If it is
/// asked to match, the destination finds a record by `name`, and not by `id`.
#[async_trait(?Send)]
pub trait Engine {
    /// Opens a run over these rows.
    async fn open(&mut self, run: &str, asked: &Asked, rows: &[Vec<Cell>]) -> Result<Box<dyn Extraction>, Failure>;

    /// From now on, the store fails after this many writes.
    async fn store_fails_after(&mut self, writes: Option<u64>);

    /// The clock goes on.
    fn days_pass(&mut self, days: i64);

    /// Keys that are on the list of rejected records.
    async fn rejects(&mut self) -> usize;
}

/// What a run asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Incremental or Full.
    pub mode: Mode,
    /// Of the Mapping.
    pub fingerprint: String,
    /// What another fingerprint does.
    pub on_change: OnMappingChange,
    /// Rejected content is offered again.
    pub retry_rejected: bool,
    /// The destination finds a record by `name`.
    pub matched: bool,
}

/// One step of a history.
#[derive(Clone, Debug)]
pub enum Step {
    /// The row's content from now on, as numbers of [`TEXTS`].
    Put(i64, usize, usize),
    /// The row goes.
    Remove(i64),
    /// The row is as it was before its last change.
    Undo(i64),
    /// The key is there twice until it is put or removed.
    Double(i64),
    /// A row without a key.
    NullKey,
    /// The destination refuses this text in `name` from now on, or nothing.
    Refuse(Option<usize>),
    /// The Mapping is edited.
    Fingerprint(u8),
    /// `onMappingChange` is Keep from now on, or Resend.
    OnChange(bool),
    /// Time passes.
    Days(i64),
    /// A run.
    Run(Run),
}

/// How a run goes.
#[derive(Clone, Debug)]
pub struct Run {
    /// The same name as the run before: a replacement pod.
    same: bool,
    full: bool,
    retry_rejected: bool,
    withhold: bool,
    page: usize,
    /// Changes that have no outcome: every so many. The destination has taken them.
    unanswered: usize,
    /// After this many pages the process dies; of the last page it has sent everything and committed nothing.
    dies_after: Option<usize>,
    /// The store fails after this many writes.
    store_fails_after: Option<u64>,
    /// The result is not folded.
    no_finish: bool,
}

/// `usual` histories, the same ones in every run; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` ask for others.
#[must_use]
pub fn config(usual: u32) -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() { asked.cases } else { usual },
        rng_seed: if asked.rng_seed == RngSeed::Random { RngSeed::Fixed(1) } else { asked.rng_seed },
        failure_persistence: None,
        ..asked
    }
}

/// Histories.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..6_i64;
    let text = 0..TEXTS.len();
    let run = (
        any::<bool>(),
        proptest::bool::weighted(0.15),
        proptest::bool::weighted(0.15),
        proptest::bool::weighted(0.1),
        1..5_usize,
        2..9_usize,
        proptest::option::weighted(0.3, 0..4_usize),
        proptest::option::weighted(0.15, 1..6_u64),
        proptest::bool::weighted(0.1),
    )
        .prop_map(
            |(same, full, retry_rejected, withhold, page, unanswered, dies_after, store_fails_after, no_finish)| Run {
                same,
                full,
                retry_rejected,
                withhold,
                page,
                unanswered,
                dies_after,
                store_fails_after,
                no_finish,
            },
        );
    let step = prop_oneof![
        8 => (key.clone(), text.clone(), text.clone()).prop_map(|(key, name, plan)| Step::Put(key, name, plan)),
        3 => key.clone().prop_map(Step::Remove),
        3 => key.clone().prop_map(Step::Undo),
        1 => key.prop_map(Step::Double),
        1 => Just(Step::NullKey),
        1 => proptest::option::of(text).prop_map(Step::Refuse),
        1 => (0..3_u8).prop_map(Step::Fingerprint),
        1 => any::<bool>().prop_map(Step::OnChange),
        1 => (1..10_i64).prop_map(Step::Days),
        6 => run.prop_map(Step::Run),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What a destination holds.
#[derive(Default)]
struct Receiver {
    /// Rows by what it finds them by.
    held: BTreeMap<String, Vec<String>>,
    /// Keys that it has taken, if it takes none twice.
    taken: Option<BTreeSet<String>>,
}

impl Receiver {
    fn take(&mut self, key: &str, kind: ChangeKind, found_by: &str, row: &[String]) {
        if self.taken.as_mut().is_some_and(|taken| !taken.insert(key.to_owned())) {
            return;
        }
        match kind {
            ChangeKind::Deleted => self.held.remove(found_by),
            _ => self.held.insert(found_by.to_owned(), row.to_vec()),
        };
    }
}

/// A delivery, as far as its key goes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Delivery {
    kind: ChangeKind,
    found_by: String,
    row: Vec<String>,
    fingerprint: String,
}

/// The world: model, destination, and everything that was ever sent.
pub struct World<E> {
    engine: E,
    asked: Asked,
    rows: BTreeMap<i64, (usize, usize)>,
    /// What rows were before their last change.
    before: BTreeMap<i64, Option<(usize, usize)>>,
    doubled: BTreeSet<i64>,
    null_keys: usize,
    refused: Option<usize>,
    receivers: [Receiver; 2],
    /// Every key that was sent, and what with it.
    sent: BTreeMap<String, (i64, Vec<String>)>,
    /// Keys that the state acknowledged: they must not come again.
    committed: BTreeSet<String>,
    /// What was sent of a row and has no committed acknowledgement: if it is what comes next, it has its key.
    pending: BTreeMap<i64, (Delivery, String)>,
    /// Whose row was last sent to a record.
    senders: BTreeMap<String, i64>,
    /// Records whose row moved on to another: if the row that takes it cannot be sent, or has a record of its own that must go first,
    /// nobody knows of the record when that row never comes.
    handed_over: BTreeSet<String>,
    runs: usize,
}

impl<E: Engine> World<E> {
    /// A world in which nothing happened yet.
    pub fn new(engine: E, matched: bool) -> Self {
        Self {
            engine,
            asked: Asked {
                mode: Mode::Incremental,
                fingerprint: "f0".into(),
                on_change: OnMappingChange::Resend,
                retry_rejected: false,
                matched,
            },
            rows: BTreeMap::new(),
            before: BTreeMap::new(),
            doubled: BTreeSet::new(),
            null_keys: 0,
            refused: None,
            receivers: [Receiver::default(), Receiver { taken: Some(BTreeSet::new()), ..Receiver::default() }],
            sent: BTreeMap::new(),
            committed: BTreeSet::new(),
            pending: BTreeMap::new(),
            senders: BTreeMap::new(),
            handed_over: BTreeSet::new(),
            runs: 0,
        }
    }

    /// Goes through a history, and checks that it ends well.
    pub async fn live(&mut self, steps: Vec<Step>) {
        for step in steps {
            self.step(step).await;
        }
        self.settle().await;
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Put(key, name, plan) => self.put(key, Some((name, plan))),
            Step::Remove(key) => self.put(key, None),
            Step::Undo(key) => {
                if let Some(before) = self.before.get(&key).copied() {
                    self.put(key, before);
                }
            }
            Step::Double(key) => {
                if self.rows.contains_key(&key) {
                    self.doubled.insert(key);
                }
            }
            Step::NullKey => self.null_keys += 1,
            Step::Refuse(text) => self.refused = text,
            Step::Fingerprint(number) => self.asked.fingerprint = format!("f{number}"),
            Step::OnChange(keep) => {
                self.asked.on_change = if keep { OnMappingChange::Keep } else { OnMappingChange::Resend };
            }
            Step::Days(days) => self.engine.days_pass(days),
            Step::Run(run) => {
                if let Err(failure) = self.run(&run).await {
                    assert!(run.store_fails_after.is_some(), "{failure}");
                }
            }
        }
    }

    fn put(&mut self, key: i64, row: Option<(usize, usize)>) {
        self.before.insert(key, self.rows.get(&key).copied());
        self.doubled.remove(&key);
        match row {
            Some(row) => self.rows.insert(key, row),
            None => self.rows.remove(&key),
        };
    }

    fn table(&self) -> Vec<Vec<Cell>> {
        let text = |at: usize| if TEXTS[at] == "NULL" { Cell::Null } else { Cell::Text(TEXTS[at].into()) };
        let mut rows = Vec::new();
        for (key, (name, plan)) in &self.rows {
            for _ in 0..=usize::from(self.doubled.contains(key)) {
                rows.push(vec![Cell::Int(*key), text(*name), text(*plan)]);
            }
        }
        rows.extend((0..self.null_keys).map(|_| vec![Cell::Null, Cell::Null, Cell::Null]));
        rows
    }

    /// What the destination finds a change's record by, and what it must have been told of that.
    fn memory(&self, change: &Change) -> (String, Memory) {
        let memory = match (self.asked.matched, change.kind) {
            (false, _) => return (id(change).to_string(), Memory::default()),
            (true, ChangeKind::Deleted) => change.memory.clone(),
            (true, _) => Memory { match_key: name_of(&change.row.cells()), ..Memory::default() },
        };
        (memory.match_key.as_deref().unwrap_or("nothing").to_owned(), memory)
    }

    /// Why the row of a change must not be sent: it has no name, or a row with a greater key has the same.
    fn unsendable(&self, change: &Change) -> Option<&'static str> {
        if !self.asked.matched || change.kind == ChangeKind::Deleted {
            return None;
        }
        let (name, _) = self.rows[&id(change)];
        if TEXTS[name] == "NULL" {
            return Some("NULL_MATCH_KEY");
        }
        let mut others = self.rows.range(id(change) + 1..);
        others.any(|(_, (other, _))| *other == name).then_some("DUPLICATE_MATCH_KEY")
    }

    /// What the destination should hold of a key.
    fn wanted(&self, key: i64) -> Option<Vec<String>> {
        let (name, plan) = self.rows.get(&key)?;
        let json = |at: usize| if TEXTS[at] == "NULL" { "null".to_owned() } else { format!("{:?}", TEXTS[at]) };
        Some(vec![key.to_string(), json(*name), json(*plan)])
    }

    fn refuses(&self, change: &Change) -> bool {
        let name = texts(change).get(1).cloned();
        self.refused.is_some_and(|text| {
            let refused = if TEXTS[text] == "NULL" { "null".to_owned() } else { format!("{:?}", TEXTS[text]) };
            name == Some(refused)
        })
    }

    async fn run(&mut self, run: &Run) -> Result<(), Failure> {
        if !run.same {
            self.runs += 1;
        }
        let name = format!("run-{}", self.runs);
        self.asked.mode = if run.full { Mode::Full } else { Mode::Incremental };
        self.asked.retry_rejected = run.retry_rejected;
        self.engine.store_fails_after(run.store_fails_after).await;
        let result = self.try_run(&name, run).await;
        self.engine.store_fails_after(None).await;
        result
    }

    async fn try_run(&mut self, name: &str, run: &Run) -> Result<(), Failure> {
        let rows = self.table();
        self.forget_superseded();
        self.hand_over();
        let mut extraction = self.engine.open(name, &self.asked, &rows).await?;
        let found = extraction.findings().clone();
        self.check_contract(&found, rows.len());
        if run.withhold {
            extraction.withhold_deletions();
        }
        let mut counts = BTreeMap::from(KINDS.map(|kind| (kind, 0)));
        let mut offered = BTreeSet::new();
        let mut at = 0;
        let mut pages = 0;
        for kind in KINDS {
            loop {
                let page = extraction.next_page(kind, run.page).await?;
                if page.is_empty() {
                    break;
                }
                assert!(page.iter().all(|change| change.kind == kind), "a page has the kind that was asked for");
                let mut acks = Vec::new();
                let mut keys = Vec::new();
                let mut answered = Vec::new();
                for change in page {
                    *counts.get_mut(&kind).unwrap() += 1;
                    assert!(offered.insert((id(&change), kind)), "each key once");
                    let unsendable = self.unsendable(&change);
                    assert_eq!(change.duplicate, unsendable == Some("DUPLICATE_MATCH_KEY"), "{change:?}");
                    if let Some(code) = unsendable {
                        answered.push(id(&change));
                        let verdict = Verdict::Rejected(Rejection::new(code, Some("name"), "it is not sent"));
                        acks.push(Ack { change: Change { row: EncodedRow::default(), ..change }, verdict });
                        continue;
                    }
                    at += 1;
                    let key = self.send(extraction.incarnation(), &change);
                    if at % run.unanswered == 0 {
                        continue;
                    }
                    answered.push(id(&change));
                    let verdict = if self.refuses(&change) {
                        Verdict::Rejected(Rejection::new(
                            "HTTP_422",
                            Some("name"),
                            "the destination refuses the content",
                        ))
                    } else {
                        Verdict::Delivered(self.memory(&change).1)
                    };
                    keys.push(key);
                    acks.push(Ack { change: Change { row: EncodedRow::default(), ..change }, verdict });
                }
                if run.dies_after == Some(pages) {
                    return Ok(());
                }
                pages += 1;
                extraction.commit(acks, &Counters::default()).await?;
                self.committed.extend(keys);
                self.pending.retain(|key, _| !answered.contains(key));
            }
        }
        let left = extraction.left().await?;
        let (added, deleted) =
            if run.withhold { (found.added - found.rekeyed, 0) } else { (found.added, found.deleted) };
        assert!(left == 0 || left <= found.rekeyed && !run.withhold, "only additions wait, for their deletions");
        assert_eq!(counts[&ChangeKind::Added] + left, added);
        assert_eq!(counts[&ChangeKind::Updated], found.updated);
        assert_eq!(counts[&ChangeKind::Deleted], deleted);
        if !run.no_finish {
            // Of a key that was not offered, something else was said: what was sent of it before is over.
            self.pending.retain(|key, _| offered.iter().any(|(offered, _)| offered == key));
            let checkpoint = extraction.finish(&Counters::default(), Phase::Succeeded).await?;
            let after = self.engine.open(name, &self.asked, &rows).await?;
            assert_eq!(checkpoint.rows, after.findings().known, "the checkpoint counts what is known");
        }
        Ok(())
    }

    /// A run that has something else to say of a row may have sent it, also if it dies before anyone sees it: what was sent before must
    /// not come again with the key that it had. Nor must a record's content, where another row has written it since.
    fn forget_superseded(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        if self.asked.matched {
            return;
        }
        pending.retain(|key, (delivery, _)| match self.wanted(*key) {
            Some(row) => delivery.row == row && delivery.fingerprint == self.asked.fingerprint,
            None => delivery.kind == ChangeKind::Deleted,
        });
        self.pending = pending;
    }

    /// See [`World::handed_over`].
    fn hand_over(&mut self) {
        let name = |key: &i64| self.rows.get(key).map(|(name, _)| format!("{:?}", TEXTS[*name]));
        for (record, sender) in &self.senders {
            let alive = self.rows.keys().any(|key| name(key).as_ref() == Some(record));
            if name(sender).is_some_and(|name| name != *record) && alive {
                self.handed_over.insert(record.clone());
            }
        }
    }

    /// Every row is in exactly one class.
    fn check_contract(&self, found: &Findings, rows: usize) {
        assert_eq!(found.rows, rows as u64);
        assert_eq!(found.invalid_null_key, self.null_keys as u64);
        assert_eq!(found.invalid_duplicate_key, 2 * self.doubled.len() as u64);
    }

    /// The destination takes it, unless it refuses the content. The same key is always the same delivery.
    fn send(&mut self, incarnation: &str, change: &Change) -> String {
        let operation = if change.kind == ChangeKind::Deleted { Operation::Delete } else { Operation::Upsert };
        let key = idempotency_key(incarnation, change, &self.asked.fingerprint, operation);
        assert!(!self.committed.contains(&key), "an acknowledged delivery's key came again: {change:?}");
        let row = texts(change);
        let (found_by, _) = self.memory(change);
        let delivery = Delivery {
            kind: change.kind,
            found_by: found_by.clone(),
            row: row.clone(),
            fingerprint: self.asked.fingerprint.clone(),
        };
        if let Some((before, its)) = self.pending.insert(id(change), (delivery.clone(), key.clone()))
            && before == delivery
        {
            assert_eq!(its, key, "what was not acknowledged comes again with its key: {change:?}");
        }
        let sent = (id(change), row.clone());
        let before = self.sent.entry(key.clone()).or_insert_with(|| sent.clone());
        assert_eq!(*before, sent, "one key, one delivery");
        if change.kind == ChangeKind::Deleted {
            let stands = |(key, (name, _)): (&i64, &(usize, usize))| {
                if self.asked.matched { format!("{:?}", TEXTS[*name]) == found_by } else { *key == id(change) }
            };
            assert!(!self.rows.iter().any(stands), "only what is gone is deleted: {change:?}");
        } else {
            assert_eq!(Some(&row), self.wanted(id(change)).as_ref(), "what is sent is current");
            if self.asked.matched {
                self.senders.insert(found_by.clone(), id(change));
            }
        }
        if !self.refuses(change) {
            self.receivers.iter_mut().for_each(|receiver| receiver.take(&key, change.kind, &found_by, &row));
        }
        key
    }

    /// With the destination well again, one run makes it hold what the model has; the next has nothing to do.
    async fn settle(&mut self) {
        let quiet = Run {
            same: false,
            full: false,
            retry_rejected: true,
            withhold: false,
            page: 3,
            unanswered: usize::MAX,
            dies_after: None,
            store_fails_after: None,
            no_finish: false,
        };
        self.refused = None;
        self.doubled.clear();
        self.null_keys = 0;
        self.run(&quiet).await.expect("nothing is in the way of the last run");
        let (wanted, unsendable) = self.final_state();
        for receiver in &mut self.receivers {
            receiver.held.retain(|record, _| wanted.contains_key(record) || !self.handed_over.contains(record));
        }
        assert_eq!(self.receivers[0].held, wanted, "the destination holds what the model has");
        assert_eq!(self.receivers[1].held, wanted, "and so does one that takes no key twice");
        self.asked.retry_rejected = false;
        let rows = self.table();
        let last = self.engine.open("last", &self.asked, &rows).await.unwrap();
        let found = last.findings();
        assert_eq!((found.added, found.updated, found.deleted), (0, 0, 0), "nothing is left");
        assert_eq!(self.engine.rejects().await, unsendable, "no other reject is left");
    }

    /// What the destination must hold in the end, and how many rows cannot be sent.
    fn final_state(&self) -> (BTreeMap<String, Vec<String>>, usize) {
        let mut held = BTreeMap::new();
        let mut unsendable = 0;
        // Ascending: of rows with one name the greatest key stays.
        for (key, (name, _)) in &self.rows {
            let row = self.wanted(*key).unwrap();
            let found_by = if self.asked.matched { row[1].clone() } else { key.to_string() };
            if self.asked.matched && TEXTS[*name] == "NULL" || held.insert(found_by, row).is_some() {
                unsendable += 1;
            }
        }
        (held, unsendable)
    }
}

/// The name in a row, as JSON.
pub fn name_of(row: &[Cell]) -> Option<Box<str>> {
    let name = row.get(1).filter(|cell| !cell.is_null())?;
    let mut json = String::new();
    name.write_json(&mut json);
    Some(json.into())
}

/// The primary key: ids are integers.
#[must_use]
pub fn id(change: &Change) -> i64 {
    let Cell::Int(id) = change.key.0[0] else { panic!("ids are integers") };
    id
}

/// The row, each cell as JSON.
#[must_use]
pub fn texts(change: &Change) -> Vec<String> {
    let text = |cell: &Cell| {
        let mut out = String::new();
        cell.write_json(&mut out);
        out
    };
    change.row.cells().iter().map(text).collect()
}
