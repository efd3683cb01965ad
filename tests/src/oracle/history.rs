//! Histories: what happens to a model, a destination and the runs between them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Texts that rows take: few, so that they come back.
pub(super) const TEXTS: [&str; 4] = ["a", "b", "", "NULL"];

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

/// What a run is for.
#[derive(Clone, Debug)]
pub enum Asks {
    /// What changed.
    Incremental,
    /// Every row.
    Full,
    /// The rows with these keys.
    Keys(BTreeSet<i64>),
    /// The rows of a run before, by its number.
    PastRun(usize),
    /// Nothing: it says what it would do.
    DryRun,
}

/// How a run goes.
#[derive(Clone, Debug)]
pub struct Run {
    /// The same name as the run before: a replacement pod.
    pub(super) same: bool,
    pub(super) asks: Asks,
    pub(super) retry_rejected: bool,
    pub(super) withhold: bool,
    pub(super) page: usize,
    /// Changes that have no outcome: every so many. The destination has taken them.
    pub(super) unanswered: usize,
    /// After this many pages the process dies; of the last page it has sent everything and committed nothing.
    pub(super) dies_after: Option<usize>,
    /// The store fails after this many writes.
    pub(super) store_fails_after: Option<u64>,
    /// The result is not folded.
    pub(super) no_finish: bool,
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
    let asks = prop_oneof![
        14 => Just(Asks::Incremental),
        3 => Just(Asks::Full),
        1 => proptest::collection::btree_set(key.clone(), 1..4).prop_map(Asks::Keys),
        1 => (0..9_usize).prop_map(Asks::PastRun),
        1 => Just(Asks::DryRun),
    ];
    let run = (
        any::<bool>(),
        asks,
        proptest::bool::weighted(0.15),
        proptest::bool::weighted(0.1),
        1..5_usize,
        2..9_usize,
        proptest::option::weighted(0.3, 0..4_usize),
        proptest::option::weighted(0.15, 1..6_u64),
        proptest::bool::weighted(0.1),
    )
        .prop_map(
            |(same, asks, retry_rejected, withhold, page, unanswered, dies_after, store_fails_after, no_finish)| Run {
                same,
                asks,
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
