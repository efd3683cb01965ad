//! Rows within a JSON document, found while it arrives.
//!
//! The services send a page of rows as one array inside of a document, of any size. The scanner cuts the array's elements out one by one,
//! and keeps the document around it, in which the array is empty. Elements are parsed by whoever asked for them.

use backflow_core::cell::plain;

/// The longest row that is held: no value of it could be sent anywhere.
const MAX_ROW: usize = 64 << 20;
/// The longest document around the rows: it names columns and pages.
const MAX_AROUND: usize = 8 << 20;

/// Why a document cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is no such document.
    Malformed,
    /// A row, or what is around them, is too long.
    TooLong,
}

/// A document that is being scanned.
pub(crate) struct Scanner {
    /// Name of the array's member, with its quotes; empty if the array is the document.
    member: Vec<u8>,
    /// Objects around it.
    level: usize,
    around: Vec<u8>,
    row: Vec<u8>,
    depth: usize,
    /// Depth within a row; `None` outside of the array.
    inside: Option<usize>,
    text: bool,
    escaped: bool,
    /// Where the last string of the document around begins and ends.
    last: (usize, usize),
}

impl Scanner {
    /// For rows in the array `member`, `level` objects deep.
    pub(crate) fn new(member: &str, level: usize) -> Self {
        Self {
            member: format!("\"{member}\"").into_bytes(),
            level,
            around: Vec::new(),
            row: Vec::new(),
            depth: 0,
            inside: None,
            text: false,
            escaped: false,
            last: (0, 0),
        }
    }

    /// For a document that is the array itself.
    pub(crate) fn bare() -> Self {
        Self { member: Vec::new(), ..Self::new("", 0) }
    }

    /// Reads a piece; `row` is given each row that ends in it.
    pub(crate) fn feed<E: From<Unreadable>>(
        &mut self,
        piece: &[u8],
        mut row: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut at = 0;
        while at < piece.len() {
            match self.inside {
                Some(0) => at += self.between(piece[at])?,
                Some(depth) => {
                    let (used, depth) = self.within(&piece[at..], depth)?;
                    at += used;
                    self.inside = Some(depth);
                    if depth == 0 {
                        row(&self.row)?;
                        self.row.clear();
                    }
                }
                None => {
                    self.outside(piece[at])?;
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// The document around the rows, if it has ended.
    pub(crate) fn around(self) -> Option<Vec<u8>> {
        (self.inside.is_none() && self.depth == 0 && !self.text && !self.around.is_empty()).then_some(self.around)
    }

    fn outside(&mut self, byte: u8) -> Result<(), Unreadable> {
        if self.around.len() >= MAX_AROUND {
            return Err(Unreadable::TooLong);
        }
        self.around.push(byte);
        let at = self.around.len() - 1;
        if self.text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.text = false;
                    self.last.1 = at + 1;
                }
                _ => {}
            }
            return Ok(());
        }
        match byte {
            b'"' => {
                self.text = true;
                self.last = (at, at);
            }
            b'[' if self.depth == self.level && self.is_member() => {
                self.depth += 1;
                self.inside = Some(0);
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.checked_sub(1).ok_or(Unreadable::Malformed)?,
            b'<' if self.depth == 0 => return Err(Unreadable::Malformed),
            _ => {}
        }
        Ok(())
    }

    /// Whether the bracket at the end follows the member's name and a colon, or begins the document.
    fn is_member(&self) -> bool {
        if self.member.is_empty() {
            return self.around.trim_ascii() == b"[";
        }
        let (start, end) = self.last;
        let name = self.around.get(start..end).unwrap_or_default();
        let gap = self.around.get(end..self.around.len() - 1).unwrap_or_default();
        name == self.member && gap.trim_ascii() == b":"
    }

    /// A byte between rows.
    fn between(&mut self, byte: u8) -> Result<usize, Unreadable> {
        match byte {
            b'[' | b'{' => {
                self.row.push(byte);
                self.inside = Some(1);
            }
            b']' => {
                self.around.push(byte);
                self.depth -= 1;
                self.inside = None;
            }
            b',' => {}
            _ if byte.is_ascii_whitespace() => {}
            _ => return Err(Unreadable::Malformed),
        }
        Ok(1)
    }

    /// Bytes of a row, until it ends or the piece does.
    fn within(&mut self, piece: &[u8], mut depth: usize) -> Result<(usize, usize), Unreadable> {
        let mut used = 0;
        while depth > 0 && used < piece.len() {
            if self.text {
                used += if self.escaped { 0 } else { plain(&piece[used..]) };
                let Some(byte) = piece.get(used) else { break };
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.text = false,
                    _ => {}
                }
            } else {
                match piece[used] {
                    b'"' => self.text = true,
                    b'[' | b'{' => depth += 1,
                    b']' | b'}' => depth -= 1,
                    _ => {}
                }
            }
            used += 1;
        }
        if self.row.len() + used > MAX_ROW {
            return Err(Unreadable::TooLong);
        }
        self.row.extend_from_slice(&piece[..used]);
        Ok((used, depth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(document: &str, cut: usize) -> Result<(Vec<String>, Option<String>), Unreadable> {
        let mut scanner = Scanner::new("data", 1);
        let mut rows = Vec::new();
        for piece in [&document.as_bytes()[..cut], &document.as_bytes()[cut..]] {
            scanner.feed(piece, |row| {
                rows.push(String::from_utf8(row.to_vec()).unwrap());
                Ok::<_, Unreadable>(())
            })?;
        }
        Ok((rows, scanner.around().map(|around| String::from_utf8(around).unwrap())))
    }

    #[test]
    fn rows_are_cut_out_wherever_a_piece_ends() {
        let document =
            r#"{"data":"[[","in":{"data":[["no"]]},"a]\"":1, "data" : [["a","]\"\\"], [null,"é"] ,[]],"b":[2]}"#;
        let around = r#"{"data":"[[","in":{"data":[["no"]]},"a]\"":1, "data" : [],"b":[2]}"#;
        for cut in (0..=document.len()).filter(|cut| document.is_char_boundary(*cut)) {
            let (rows, rest) = scan(document, cut).unwrap();
            assert_eq!(rows, [r#"["a","]\"\\"]"#, r#"[null,"é"]"#, "[]"], "cut at {cut}");
            assert_eq!(rest.as_deref(), Some(around), "cut at {cut}");
        }
    }

    #[test]
    fn an_array_may_be_the_document() {
        let read = |document: &str| {
            let (mut scanner, mut rows) = (Scanner::bare(), 0);
            scanner.feed(document.as_bytes(), |_| {
                rows += 1;
                Ok::<_, Unreadable>(())
            })?;
            Ok((rows, scanner.around().is_some()))
        };
        assert_eq!(read(" [[\"a\"], [null]]"), Ok((2, true)));
        assert_eq!(read("[]"), Ok((0, true)));
        assert_eq!(read("[[\"a\"]"), Ok((1, false)));
        assert_eq!(read("{\"rows\": [[\"a\"]]}"), Ok((0, true)));
        assert_eq!(read("<Error>"), Err(Unreadable::Malformed));
    }

    #[test]
    fn what_ends_early_is_not_whole() {
        let document = r#"{"data":[["a"],["b"]],"code":"1"}"#;
        for end in 0..document.len() {
            assert_eq!(scan(&document[..end], 0).map(|(_, around)| around), Ok(None), "ends at {end}");
        }
        assert!(scan(document, 0).unwrap().1.is_some());
    }

    #[test]
    fn web_pages_and_other_rows_are_refused() {
        for document in ["<html><body>", r#"{"data":[1]}"#, r#"{"data":["a"]}"#, "}"] {
            assert_eq!(scan(document, 0), Err(Unreadable::Malformed), "{document}");
        }
    }
}
