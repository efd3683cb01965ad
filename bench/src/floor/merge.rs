//! Rows in the order of their keys beside the state in the same order.

use std::io::{BufRead, Write};

use xxhash_rust::xxh3::xxh3_64;

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Added,
    Updated,
    Deleted,
}

/// A key and the hash of its row.
type Entry = (u64, u64);

pub(super) struct Merge<R, W> {
    old: Option<R>,
    next: Option<Entry>,
    started: bool,
    new: W,
}

impl<R: BufRead, W: Write> Merge<R, W> {
    pub(super) fn new(old: Option<R>, new: W) -> Self {
        Self { old, next: None, started: false, new }
    }

    fn advance(&mut self) -> anyhow::Result<()> {
        self.next = None;
        if let Some(old) = &mut self.old {
            if old.fill_buf()?.is_empty() {
                self.old = None;
                return Ok(());
            }
            let mut bytes = [0; 16];
            old.read_exact(&mut bytes)?;
            let number =
                |at: usize| bytes[8 * at..8 * (at + 1)].iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
            self.next = Some((number(0), number(1)));
        }
        Ok(())
    }

    /// Takes the next row.
    pub(super) fn row(
        &mut self,
        key: u64,
        row: &[u8],
        send: &mut impl FnMut(Change, u64, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if !std::mem::replace(&mut self.started, true) {
            self.advance()?;
        }
        while let Some((gone, _)) = self.next.filter(|(old, _)| *old < key) {
            send(Change::Deleted, gone, &[])?;
            self.advance()?;
        }
        let hash = xxh3_64(row);
        match self.next {
            Some((old, before)) if old == key => {
                if before != hash {
                    send(Change::Updated, key, row)?;
                }
                self.advance()?;
            }
            _ => send(Change::Added, key, row)?,
        }
        self.new.write_all(&key.to_le_bytes())?;
        self.new.write_all(&hash.to_le_bytes())?;
        Ok(())
    }

    /// After the last row.
    pub(super) fn end(mut self, send: &mut impl FnMut(Change, u64, &[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        if !self.started {
            self.advance()?;
        }
        while let Some((gone, _)) = self.next {
            send(Change::Deleted, gone, &[])?;
            self.advance()?;
        }
        Ok(self.new.flush()?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn run(state: &mut Option<Vec<u8>>, rows: &[(u64, &str)]) -> Vec<(Change, u64)> {
        let mut changes = Vec::new();
        let mut send = |change, key, _: &[u8]| {
            changes.push((change, key));
            Ok(())
        };
        let mut new = Vec::new();
        let mut merge = Merge::new(state.as_deref(), &mut new);
        for (key, row) in rows {
            merge.row(*key, row.as_bytes(), &mut send).unwrap();
        }
        merge.end(&mut send).unwrap();
        *state = Some(new);
        changes
    }

    #[test]
    fn changes_are_found_wherever_they_are() {
        use Change::{Added, Deleted, Updated};
        let mut state = None;
        assert_eq!(run(&mut state, &[(2, "a"), (4, "b"), (6, "c")]), [(Added, 2), (Added, 4), (Added, 6)]);
        assert_eq!(run(&mut state, &[(2, "a"), (4, "b"), (6, "c")]), []);
        let changed = [(1, "new"), (4, "other"), (7, "new")];
        let found = [(Added, 1), (Deleted, 2), (Updated, 4), (Deleted, 6), (Added, 7)];
        assert_eq!(run(&mut state, &changed), found);
        assert_eq!(run(&mut state, &[]), [(Deleted, 1), (Deleted, 4), (Deleted, 7)]);
        assert_eq!(run(&mut state, &[]), []);
    }
}
