//! Random histories against a model that is slow and obviously right: what the destination must hold in the end, and that no two
//! deliveries share a key.
//!
//! One thing no history can have, because state moves by acknowledgements only: a change that was sent, whose acknowledgement was lost,
//! and that was then undone in the model leaves no trace in the state. Its key is `unsure` here until it is delivered again.

use std::collections::{BTreeMap, BTreeSet};

use backflow_core::plan::OnMappingChange;
use proptest::prelude::*;

use super::*;

/// Texts that rows take: few, so that they come back.
const TEXTS: [&str; 5] = ["a", "b", "", "NULL", "last"];

#[derive(Clone, Debug)]
enum Step {
    /// The row's content from now on, as a number of [`TEXTS`].
    Put(i64, usize, usize),
    Remove(i64),
    /// The key is there twice until it is put or removed.
    Double(i64),
    /// A row without a key.
    NullKey,
    /// The destination refuses this text in `name` from now on, or nothing.
    Refuse(Option<usize>),
    Fingerprint(u8),
    OnChange(bool),
    Days(i64),
    Run(Run),
}

#[derive(Clone, Debug)]
struct Run {
    /// The same name as the run before: a replacement pod.
    same: bool,
    full: bool,
    retry_rejected: bool,
    withhold: bool,
    page: usize,
    /// Changes that have no outcome: every so many.
    unanswered: usize,
    /// After this many pages the process dies; of the last page it has sent everything and committed nothing.
    dies_after: Option<usize>,
    /// The store fails after this many writes.
    store_fails_after: Option<u64>,
    /// The result is not folded.
    no_finish: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..6_i64;
    let text = 0..TEXTS.len() - 1;
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

/// The world: model, destination, and everything that was ever sent.
struct World {
    place: Place,
    rows: BTreeMap<i64, (usize, usize)>,
    doubled: BTreeSet<i64>,
    null_keys: usize,
    refused: Option<usize>,
    /// What the destination holds.
    held: BTreeMap<i64, Vec<String>>,
    /// Every key that was sent, and what with it.
    sent: BTreeMap<String, (i64, ChangeKind, Vec<String>)>,
    /// Keys that the state acknowledged: they must not come again.
    committed: BTreeSet<String>,
    /// What was sent of a row and has no committed acknowledgement, with the Mapping's fingerprint: it must come again with its key.
    pending: BTreeMap<i64, (ChangeKind, Vec<String>, String, String)>,
    /// Keys that were sent since they were last acknowledged as delivered.
    unsure: BTreeSet<i64>,
    runs: usize,
}

impl World {
    fn table(&self) -> Table {
        let mut table = table(&[]);
        for (key, (name, plan)) in &self.rows {
            let text = |at: usize| if TEXTS[at] == "NULL" { Cell::Null } else { Cell::Text(TEXTS[at].into()) };
            for _ in 0..=usize::from(self.doubled.contains(key)) {
                table.rows.push(vec![Cell::Int(*key), text(*name), text(*plan)]);
            }
        }
        table.rows.extend((0..self.null_keys).map(|_| vec![Cell::Null, Cell::Null, Cell::Null]));
        table
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

    async fn run(&mut self, run: &Run) {
        if !run.same {
            self.runs += 1;
        }
        let name = format!("run-{}", self.runs);
        self.place.plan.mode = if run.full { Mode::Full } else { Mode::Incremental };
        self.place.plan.options.retry_rejected = run.retry_rejected;
        self.place.store.get(|contents| contents.writes_left = run.store_fails_after);
        let _ = self.try_run(&name, run).await;
        self.place.store.get(|contents| contents.writes_left = None);
    }

    async fn try_run(&mut self, name: &str, run: &Run) -> Result<(), Failure> {
        let table = self.table();
        let mut extraction = self.place.open(name, &table).await?;
        let found = extraction.findings().clone();
        self.check_contract(&found, &table);
        if run.withhold {
            extraction.withhold_deletions();
        }
        let mut counts = BTreeMap::from([(ChangeKind::Added, 0), (ChangeKind::Updated, 0), (ChangeKind::Deleted, 0)]);
        let mut offered = BTreeSet::new();
        let mut at = 0;
        for page_number in 0.. {
            let page = extraction.next_page(run.page).await?;
            if page.is_empty() {
                break;
            }
            assert!(page.iter().all(|change| change.kind == page[0].kind), "a page has one kind");
            let mut acks = Vec::new();
            let mut keys = Vec::new();
            let mut sure = Vec::new();
            let mut answered = Vec::new();
            for change in page {
                *counts.get_mut(&change.kind).unwrap() += 1;
                assert!(offered.insert(id(&change)), "each key once");
                at += 1;
                let key = self.send(extraction.as_ref(), &change);
                if at % run.unanswered == 0 {
                    continue;
                }
                answered.push(id(&change));
                let verdict = if self.refuses(&change) {
                    rejection()
                } else {
                    sure.push(id(&change));
                    Verdict::Delivered(Memory::default())
                };
                keys.push(key);
                acks.push(Ack { change: Change { row: Vec::new(), ..change }, verdict });
            }
            if run.dies_after == Some(page_number) {
                return Ok(());
            }
            extraction.commit(acks, &Counters::default()).await?;
            self.committed.extend(keys);
            self.pending.retain(|key, _| !answered.contains(key));
            self.unsure.retain(|key| !sure.contains(key));
        }
        assert_eq!(counts[&ChangeKind::Added], found.added);
        assert_eq!(counts[&ChangeKind::Updated], found.updated);
        assert_eq!(counts[&ChangeKind::Deleted], if run.withhold { 0 } else { found.deleted });
        if !run.no_finish {
            // A row that went away and comes back is another change.
            self.pending.retain(|key, _| offered.contains(key));
            let checkpoint = extraction.finish(&Counters::default(), Phase::Succeeded).await?;
            let after = self.place.open(name, &table).await?;
            assert_eq!(checkpoint.rows, after.findings().known, "the checkpoint counts what is known");
        }
        Ok(())
    }

    /// Every row is in exactly one class.
    fn check_contract(&self, found: &Findings, table: &Table) {
        assert_eq!(found.rows, table.rows.len() as u64);
        assert_eq!(found.invalid_null_key, self.null_keys as u64);
        assert_eq!(found.invalid_duplicate_key, 2 * self.doubled.len() as u64);
    }

    /// The destination takes it, unless it refuses the content. The same key is always the same delivery.
    fn send(&mut self, extraction: &dyn Extraction, change: &Change) -> String {
        let key = self.place.key(extraction, change);
        assert!(!self.committed.contains(&key), "an acknowledged delivery's key came again: {change:?}");
        let row = texts(change);
        let fingerprint = self.place.plan.mapping.fingerprint.clone();
        let pending = (change.kind, row.clone(), fingerprint, key.clone());
        if let Some(before) = self.pending.insert(id(change), pending.clone())
            && (&before.0, &before.1, &before.2) == (&pending.0, &pending.1, &pending.2)
        {
            assert_eq!(before.3, pending.3, "what was not acknowledged comes again with its key: {change:?}");
        }
        let sent = (id(change), change.kind, row.clone());
        let before = self.sent.entry(key.clone()).or_insert_with(|| sent.clone());
        assert_eq!((before.0, &before.2), (sent.0, &sent.2), "one key, one delivery");
        if !self.refuses(change) {
            self.unsure.insert(id(change));
        }
        match change.kind {
            ChangeKind::Deleted => {
                assert!(!self.rows.contains_key(&id(change)), "only what is gone is deleted");
                self.held.remove(&id(change));
            }
            _ if self.refuses(change) => {}
            _ => {
                assert_eq!(Some(&row), self.wanted(id(change)).as_ref(), "what is sent is current");
                self.held.insert(id(change), row);
            }
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
        for key in std::mem::take(&mut self.unsure) {
            self.rows.insert(key, (TEXTS.len() - 1, 0));
        }
        self.run(&quiet).await;
        let wanted: BTreeMap<i64, Vec<String>> =
            self.rows.keys().map(|key| (*key, self.wanted(*key).unwrap())).collect();
        assert_eq!(self.held, wanted, "the destination holds what the model has");
        let last = self.place.deliver("last", &self.table()).await;
        assert!(last.changes.is_empty(), "nothing is left: {:?}", last.changes);
        assert!(self.place.store.get(|contents| contents.rejects.is_empty()), "no reject is left");
    }
}

async fn live(steps: Vec<Step>) {
    let mut world = World {
        place: Place::new(SyncMode::Mirror),
        rows: BTreeMap::new(),
        doubled: BTreeSet::new(),
        null_keys: 0,
        refused: None,
        held: BTreeMap::new(),
        sent: BTreeMap::new(),
        committed: BTreeSet::new(),
        pending: BTreeMap::new(),
        unsure: BTreeSet::new(),
        runs: 0,
    };
    for step in steps {
        match step {
            Step::Put(key, name, plan) => {
                world.rows.insert(key, (name, plan));
                world.doubled.remove(&key);
            }
            Step::Remove(key) => {
                world.rows.remove(&key);
                world.doubled.remove(&key);
            }
            Step::Double(key) => {
                if world.rows.contains_key(&key) {
                    world.doubled.insert(key);
                }
            }
            Step::NullKey => world.null_keys += 1,
            Step::Refuse(text) => world.refused = text,
            Step::Fingerprint(number) => world.place.plan.mapping.fingerprint = format!("f{number}"),
            Step::OnChange(keep) => {
                world.place.plan.mapping.on_change = if keep { OnMappingChange::Keep } else { OnMappingChange::Resend };
            }
            Step::Days(days) => world.place.days_pass(days),
            Step::Run(run) => world.run(&run).await,
        }
    }
    world.settle().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_ends_with_what_the_model_has(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(live(steps));
    }
}
