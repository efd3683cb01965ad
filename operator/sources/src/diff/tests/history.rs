//! Random histories: see [`oracle`](super::oracle).

use proptest::prelude::*;

use super::oracle::{Asked, Engine, World, config, name_of, steps};
use super::*;

#[async_trait(?Send)]
impl Engine for Place {
    async fn open(&mut self, run: &str, asked: &Asked, rows: &[Vec<Cell>]) -> Result<Box<dyn Extraction>, Failure> {
        self.plan.mode = asked.mode.clone();
        self.plan.mapping.fingerprint.clone_from(&asked.fingerprint);
        self.plan.mapping.on_change = asked.on_change;
        self.plan.options.retry_rejected = asked.retry_rejected;
        let by_name = |row: &[Cell]| Memory { match_key: name_of(row), ..Memory::default() };
        self.identify = asked.matched.then(|| Arc::new(by_name) as Identify);
        let table = Table { rows: rows.to_vec(), ..table(&[]) };
        Place::open(self, run, &table).await
    }

    async fn store_fails_after(&mut self, writes: Option<u64>) {
        self.store.get(|contents| contents.writes_left = writes);
    }

    fn days_pass(&mut self, days: i64) {
        Place::days_pass(self, days);
    }

    async fn rejects(&mut self) -> usize {
        self.store.get(|contents| contents.rejects.len())
    }
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn every_history_ends_with_what_the_model_has(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(World::new(Place::new(SyncMode::Mirror), false).live(steps));
    }

    #[test]
    fn every_history_of_records_that_are_found_by_name_ends_so_too(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(World::new(Place::new(SyncMode::Mirror), true).live(steps));
    }
}
