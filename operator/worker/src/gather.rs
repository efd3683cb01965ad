//! Batches that an earlier pod sent, put together again: the sink can ask the destination for their outcome.

use std::collections::HashMap;

use backflow_core::change::Change;
use backflow_core::record::Record;
use backflow_core::sink::KEY_BEGINNING;

/// Records with their changes, in order.
pub(crate) type Gathered = Vec<(Change, Record)>;

/// The batches, as far as their records have come.
#[derive(Default)]
pub(crate) struct Gathering {
    /// By the beginning of a record's key: its batch, and its place in it.
    places: HashMap<String, (usize, usize)>,
    batches: Vec<Vec<Option<(Change, Record)>>>,
}

impl Gathering {
    /// `unfinished`: as a sink says it.
    pub(crate) fn new(unfinished: Vec<Vec<String>>) -> Self {
        let mut gathering = Self::default();
        for keys in unfinished {
            let batch = gathering.batches.len();
            gathering.batches.push(keys.iter().map(|_| None).collect());
            gathering.places.extend(keys.into_iter().enumerate().map(|(place, key)| (key, (batch, place))));
        }
        gathering
    }

    /// Whether a record belongs to one of them.
    pub(crate) fn wants(&self, record: &Record) -> bool {
        !self.places.is_empty() && self.place(record).is_some()
    }

    /// Takes a record that is wanted, and gives its batch if that is whole now.
    pub(crate) fn take(&mut self, change: Change, record: Record) -> Option<Gathered> {
        let (batch, place) = self.place(&record)?;
        let slots = self.batches.get_mut(batch)?;
        *slots.get_mut(place)? = Some((change, record));
        if slots.iter().any(Option::is_none) {
            return None;
        }
        Some(self.empty(batch))
    }

    /// Gives up the batches of which some records came and others did not: those are sent anew.
    pub(crate) fn rest(&mut self) -> Gathered {
        let begun = |batch: &usize| self.batches[*batch].iter().any(Option::is_some);
        let batches: Vec<usize> = (0..self.batches.len()).filter(begun).collect();
        batches.into_iter().flat_map(|batch| self.empty(batch)).collect()
    }

    fn place(&self, record: &Record) -> Option<(usize, usize)> {
        self.places.get(record.key.get(..KEY_BEGINNING)?).copied()
    }

    fn empty(&mut self, batch: usize) -> Gathered {
        self.places.retain(|_, (of, _)| *of != batch);
        self.batches.get_mut(batch).map(std::mem::take).unwrap_or_default().into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use backflow_core::cell::Cell;
    use backflow_core::change::{ChangeKind, Key, Memory};
    use backflow_core::encode::EncodedRow;
    use backflow_core::selection::Operation;

    use super::*;

    fn record(key: &str) -> (Change, Record) {
        let change = Change {
            kind: ChangeKind::Added,
            key: Key(vec![Cell::Text(key.into())].into()),
            row: EncodedRow::default(),
            rev: 0,
            hash: 0,
            unsent: false,
            known: false,
            duplicate: false,
            memory: Memory::default(),
            place: 0,
        };
        let (op, memory, data) = (Operation::Upsert, Memory::default(), "{}".to_owned());
        (change, Record { id: key.into(), op, memory, data, key: format!("{key:_<22}") })
    }

    fn ids(gathered: &Gathered) -> Vec<&str> {
        gathered.iter().map(|(_, record)| record.id.as_str()).collect()
    }

    fn key(name: &str) -> String {
        format!("{name:_<8}")
    }

    #[test]
    fn a_batch_is_whole_in_its_order_when_its_last_record_comes() {
        let mut gathering = Gathering::new(vec![vec![key("b"), key("a")], vec![key("c"), key("d")]]);
        let mut offer = |name: &str| {
            let (change, record) = record(name);
            assert!(gathering.wants(&record), "{name}");
            gathering.take(change, record).map(|gathered| ids(&gathered).join(" "))
        };
        assert_eq!(offer("a"), None);
        assert_eq!(offer("c"), None);
        assert_eq!(offer("b").as_deref(), Some("b a"));
        assert!(!gathering.wants(&record("x").1) && !gathering.wants(&record("a").1));
        assert_eq!(ids(&gathering.rest()), ["c"]);
        assert!(!gathering.wants(&record("d").1), "it is given up");
        assert!(gathering.rest().is_empty());
    }

    #[test]
    fn without_batches_nothing_is_wanted() {
        assert!(!Gathering::default().wants(&record("a").1));
    }
}
