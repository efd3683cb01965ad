//! The items of a batch, each serialised once.

/// JSON texts in one buffer. What is sent of them is cut out; nothing is serialised twice.
#[derive(Clone, Debug, Default)]
pub(crate) struct Items {
    text: String,
    /// Where each item ends.
    ends: Vec<usize>,
}

impl Items {
    /// Room for about so many bytes.
    pub(crate) fn with_capacity(items: usize, bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), ends: Vec::with_capacity(items) }
    }

    /// Adds an item.
    pub(crate) fn push(&mut self, item: &str) {
        self.text.push_str(item);
        self.ends.push(self.text.len());
    }

    /// Adds the item that `write` appends. If it fails, nothing is added but an item without bytes, so that positions stay.
    pub(crate) fn push_with<E>(&mut self, write: impl FnOnce(&mut String) -> Result<(), E>) -> Result<(), E> {
        let before = self.text.len();
        let written = write(&mut self.text);
        if written.is_err() {
            self.text.truncate(before);
        }
        self.ends.push(self.text.len());
        written
    }

    /// Number of items.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text of an item.
    pub(crate) fn get(&self, at: u32) -> &str {
        let at = at as usize;
        let Some(end) = self.ends.get(at) else { return "" };
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[start..*end]
    }

    /// Bytes of an item.
    pub(crate) fn bytes_of(&self, at: u32) -> usize {
        self.get(at).len()
    }

    /// Bytes of some items as an array.
    pub(crate) fn size(&self, part: &[u32]) -> usize {
        part.iter().map(|at| self.bytes_of(*at) + 1).sum::<usize>() + 1
    }

    /// Appends some items as a JSON array.
    pub(crate) fn write_array(&self, part: &[u32], out: &mut String) {
        out.reserve(self.size(part));
        out.push('[');
        for at in part {
            out.push_str(self.get(*at));
            out.push(',');
        }
        if !part.is_empty() {
            out.pop();
        }
        out.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_the_items_make_an_array() {
        let mut items = Items::default();
        for item in ["1", "\"é\"", "{}"] {
            items.push(item);
        }
        let failed: Result<(), &str> = items.push_with(|out| {
            out.push_str("half");
            Err("no")
        });
        assert_eq!((failed, items.len(), items.bytes_of(3)), (Err("no"), 4, 0));
        let array = |part: &[u32]| {
            let mut out = String::new();
            items.write_array(part, &mut out);
            assert_eq!(out.len(), items.size(part).max(2));
            out
        };
        assert_eq!(array(&[0, 1, 2]), "[1,\"é\",{}]");
        assert_eq!(array(&[2, 0]), "[{},1]");
        assert_eq!(array(&[]), "[]");
    }
}
