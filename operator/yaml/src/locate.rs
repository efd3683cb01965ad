//! From the path of a finding to its place in the file.

use super::{Kind, Node, Position};

impl Node {
    /// Where `path` (`spec.fields.name.first.column`, `spec.primaryKey[1]`) stands. Keys may hold dots themselves, so the longest key
    /// that fits is taken. What is not in the file stands where its parent does.
    #[must_use]
    pub fn locate(&self, path: &str) -> Position {
        let mut at = self.at;
        let (mut node, mut rest) = (self, path);
        while let Some((child, place, tail)) = node.step(rest) {
            // A list or an object begins on another line than its key; the key is what people look for.
            at = if tail.is_empty() && matches!(child.kind, Kind::Scalar(_)) { child.at } else { place };
            (node, rest) = (child, tail);
        }
        at
    }

    /// One step along the path: the child, its place, and the rest of the path.
    fn step<'n, 'p>(&'n self, path: &'p str) -> Option<(&'n Self, Position, &'p str)> {
        match &self.kind {
            Kind::Map(entries) => {
                let fits = |key: &str| {
                    let rest = path.strip_prefix(key)?;
                    rest.strip_prefix('.').or_else(|| (rest.is_empty() || rest.starts_with(['[', ':'])).then_some(rest))
                };
                entries
                    .iter()
                    .rev()
                    .filter_map(|entry| Some((entry, fits(&entry.key)?)))
                    .max_by_key(|(entry, _)| entry.key.len())
                    .map(|(entry, rest)| (&entry.value, entry.at, rest))
            }
            Kind::List(items) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                let item = items.get(index.parse::<usize>().ok()?)?;
                Some((item, item.at, rest.strip_prefix('.').unwrap_or(rest)))
            }
            Kind::Scalar(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Position, read};

    #[test]
    fn paths_lead_to_lines_and_columns() {
        let text = "spec:\n  fields:\n    name:\n      column: a\n    name.first: {column: b}\n  list: [x, y]\n";
        let node = read(text).documents.remove(0);
        let at = |path: &str| {
            let Position { line, column } = node.locate(path);
            (line, column)
        };
        assert_eq!(at("spec.fields.name.column"), (4, 15));
        assert_eq!(at("spec.fields.name.first.column"), (5, 26));
        assert_eq!(at("spec.fields.name.first"), (5, 5));
        assert_eq!(at("spec.list[1]"), (6, 13));
        assert_eq!(at("spec.absent.deeper"), (1, 1));
        assert_eq!(at("spec.fields.absent"), (2, 3));
        assert_eq!(at("other"), (1, 1));
    }
}
