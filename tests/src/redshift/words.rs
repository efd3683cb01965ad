//! The words of a statement.

/// A word of a statement, in lower case, or a character.
pub(super) struct Word {
    pub(super) text: String,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The words outside of strings, quoted names and comments. Dollar quotes are none of a query's.
pub(super) fn words(sql: &str) -> Result<Vec<Word>, String> {
    let bytes = sql.as_bytes();
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        let word = byte.is_ascii_alphabetic() || byte == b'_';
        match byte {
            b'\'' => at = string(bytes, at)?,
            b'"' => at += 2 + sql[at + 1..].find('"').ok_or("a name does not end")?,
            b'-' if bytes.get(at + 1) == Some(&b'-') => at = sql[at..].find('\n').map_or(bytes.len(), |end| at + end),
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at += 2 + sql[at..].find("*/").ok_or("a comment does not end")?
            }
            b'$' if bytes.get(at + 1) == Some(&b'$') => return Err("dollar quotes are of functions alone".to_owned()),
            _ if byte.is_ascii_whitespace() => at += 1,
            _ if word || byte.is_ascii_digit() => {
                let end = |c: &u8| !(c.is_ascii_alphanumeric() || matches!(c, b'_' | b'$'));
                at += bytes[at..].iter().position(end).unwrap_or(bytes.len() - at);
                words.push(Word { text: sql[start..at].to_lowercase(), start, end: at });
            }
            _ => {
                at += sql[at..].chars().next().map_or(1, char::len_utf8);
                words.push(Word { text: sql[start..at].to_owned(), start, end: at });
            }
        }
    }
    Ok(words)
}

/// Where a string ends: a backslash takes the next byte along there.
fn string(bytes: &[u8], start: usize) -> Result<usize, String> {
    let mut at = start + 1;
    loop {
        match (bytes.get(at), bytes.get(at + 1)) {
            (None, _) => return Err("a string does not end".to_owned()),
            (Some(b'\\'), _) | (Some(b'\''), Some(b'\'')) => at += 2,
            (Some(b'\''), _) => return Ok(at + 1),
            _ => at += 1,
        }
    }
}

/// Whether these words stand there one after another.
pub(super) fn contains(words: &[&str], phrase: &[&str]) -> bool {
    words.windows(phrase.len()).any(|found| found == phrase)
}

/// Where the parenthesis ends that begins at `start`.
pub(super) fn closing(words: &[&str], start: usize) -> Option<usize> {
    let mut open = 0_usize;
    words.get(start).filter(|word| **word == "(")?;
    let end = words[start..].iter().position(|word| {
        match *word {
            "(" => open += 1,
            ")" => open -= 1,
            _ => {}
        }
        open == 0
    })?;
    Some(start + end)
}

/// Where the parenthesis begins that ends at `end`.
pub(super) fn opening(words: &[&str], end: usize) -> Option<usize> {
    (0..end).rev().find(|start| closing(words, *start) == Some(end))
}
