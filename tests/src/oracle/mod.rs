//! Random histories of a model, a destination and their runs, and an oracle that is slow and obviously right: what two receivers (one
//! that takes everything, one that takes no key twice) must hold in the end, and that no two deliveries share a key.
//!
//! It knows an engine by [`Engine`] and [`Extraction`] only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a check fails by panicking, as any test")]

mod history;
mod receiver;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use backflow_core::cell::Cell;
use backflow_core::change::{Change, ChangeKind, Memory};
use backflow_core::code::Failure;
use backflow_core::encode::EncodedRow;
use backflow_core::extraction::{Ack, Extraction, Findings, Verdict};
use backflow_core::plan::{Mode, OnMappingChange, Replay};
use backflow_core::record::{Rejection, idempotency_key};
use backflow_core::result::{Counters, Phase};
use backflow_core::selection::Operation;

use self::history::TEXTS;
pub use self::history::{Asks, Run, Step, config, steps};
use self::receiver::{Delivery, Receiver};

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

#[async_trait(?Send)]
impl<E: Engine> Engine for &mut E {
    async fn open(&mut self, run: &str, asked: &Asked, rows: &[Vec<Cell>]) -> Result<Box<dyn Extraction>, Failure> {
        (**self).open(run, asked, rows).await
    }

    async fn store_fails_after(&mut self, writes: Option<u64>) {
        (**self).store_fails_after(writes).await;
    }

    fn days_pass(&mut self, days: i64) {
        (**self).days_pass(days);
    }

    async fn rejects(&mut self) -> usize {
        (**self).rejects().await
    }
}

/// What a run asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Incremental, Full, Replay or DryRun.
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
    /// Runs that were opened.
    opened: Vec<String>,
    /// Keys that are known, as the last run said at its end: the next one must find as many.
    known: Option<u64>,
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
            opened: Vec::new(),
            known: None,
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
        self.asked.mode = self.mode(run, &name);
        self.asked.retry_rejected = run.retry_rejected;
        self.engine.store_fails_after(run.store_fails_after).await;
        let result = self.try_run(&name, run).await;
        self.engine.store_fails_after(None).await;
        result
    }

    /// What a run asks for. A Replay of a run that is not there is an Incremental.
    fn mode(&self, run: &Run, name: &str) -> Mode {
        match &run.asks {
            Asks::Incremental => Mode::Incremental,
            Asks::Full => Mode::Full,
            Asks::DryRun => Mode::DryRun,
            Asks::Keys(keys) => Mode::Replay(Replay::Keys(keys.iter().map(ToString::to_string).collect())),
            Asks::PastRun(number) => {
                let past: Vec<&String> = self.opened.iter().filter(|past| *past != name).collect();
                let past = (!past.is_empty()).then(|| past[number % past.len()].clone());
                past.map_or(Mode::Incremental, |past| Mode::Replay(Replay::Run(past)))
            }
        }
    }

    async fn try_run(&mut self, name: &str, run: &Run) -> Result<(), Failure> {
        let rows = self.table();
        self.forget_superseded();
        let mut extraction = self.engine.open(name, &self.asked, &rows).await?;
        let found = extraction.findings().clone();
        self.check_contract(&found, rows.len());
        if let Some(known) = self.known.take() {
            assert_eq!(found.known, known, "the checkpoint counts what is known");
        }
        self.check_replay(&found, run);
        let dry = self.asked.mode == Mode::DryRun;
        if !dry {
            self.opened.push(name.to_owned());
        }
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
                    // Of one key, more than one record may have to go.
                    let record = if kind == ChangeKind::Deleted { self.memory(&change).0 } else { String::new() };
                    assert!(offered.insert((id(&change), kind, record)), "each change once");
                    assert!(self.is_asked_for(&change), "not asked for: {change:?}");
                    let unsendable = self.unsendable(&change);
                    assert_eq!(change.duplicate, unsendable == Some("DUPLICATE_MATCH_KEY"), "{change:?}");
                    if dry {
                        continue;
                    }
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
                if dry {
                    continue;
                }
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
        if dry {
            extraction.close().await?;
        } else if !run.no_finish {
            // Of a key that was not offered, something else was said: what was sent of it before is over.
            self.pending.retain(|key, _| offered.iter().any(|(offered, ..)| offered == key));
            let checkpoint = extraction.finish(&Counters::default(), Phase::Succeeded).await?;
            self.known = Some(checkpoint.rows);
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

    /// Every row is in exactly one class.
    fn check_contract(&self, found: &Findings, rows: usize) {
        assert_eq!(found.rows, rows as u64);
        assert_eq!(found.invalid_null_key, self.null_keys as u64);
        assert_eq!(found.invalid_duplicate_key, 2 * self.doubled.len() as u64);
    }

    /// A Replay of keys offers every row that it names, or has it refused before.
    fn check_replay(&self, found: &Findings, run: &Run) {
        let Mode::Replay(replay) = &self.asked.mode else { return };
        assert_eq!(found.deleted, found.rekeyed, "a Replay sends what is there");
        if let (Replay::Keys(_), Asks::Keys(keys), false) = (replay, &run.asks, run.same) {
            let named = keys.iter().filter(|key| self.rows.contains_key(key) && !self.doubled.contains(key)).count();
            assert_eq!(found.added + found.updated + found.still_rejected, named as u64, "{found:?}");
        }
    }

    /// Whether a Replay asks for the row of a change.
    fn is_asked_for(&self, change: &Change) -> bool {
        match &self.asked.mode {
            Mode::Replay(Replay::Keys(keys)) => keys.contains(&id(change).to_string()),
            Mode::Replay(Replay::Run(_)) => self.rows.contains_key(&id(change)),
            _ => true,
        }
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
            asks: Asks::Incremental,
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
        assert_eq!(self.receivers[0].held, wanted, "the destination holds what the model has");
        assert_eq!(self.receivers[1].held, wanted, "and so does one that takes no key twice");
        self.asked.retry_rejected = false;
        self.asked.mode = Mode::Incremental;
        let rows = self.table();
        let last = self.engine.open("last", &self.asked, &rows).await.unwrap();
        let found = last.findings();
        assert_eq!(Some(found.known), self.known, "the checkpoint counts what is known");
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
