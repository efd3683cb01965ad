//! Dotted paths of destination fields.

/// Why a path is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidPath {
    /// Two dots in a row, or one at an end.
    #[error("a name between its dots is empty; write a dot in a name as \\.")]
    EmptyName,
    /// A backslash before something else than a dot or a backslash.
    #[error("a backslash may only stand before a dot or a backslash")]
    Escape,
}

/// The names of a path, from the record inwards.
pub(crate) fn split(path: &str) -> Result<Vec<String>, InvalidPath> {
    let mut names = vec![String::new()];
    let mut chars = path.chars();
    while let Some(char) = chars.next() {
        let char = match char {
            '.' => {
                names.push(String::new());
                continue;
            }
            '\\' => match chars.next() {
                Some(escaped @ ('.' | '\\')) => escaped,
                _ => return Err(InvalidPath::Escape),
            },
            char => char,
        };
        if let Some(name) = names.last_mut() {
            name.push(char);
        }
    }
    if names.iter().any(String::is_empty) {
        return Err(InvalidPath::EmptyName);
    }
    Ok(names)
}

/// A name as one step of a path.
pub(crate) fn escape(name: &str) -> String {
    name.replace('\\', "\\\\").replace('.', "\\.")
}

/// Names as a path.
pub(crate) fn joined(names: &[String]) -> String {
    names.iter().map(|name| escape(name)).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_part_names_unless_escaped() {
        assert_eq!(split("a"), Ok(vec!["a".into()]));
        assert_eq!(split("a.b c.é"), Ok(vec!["a".into(), "b c".into(), "é".into()]));
        assert_eq!(split(r"a\.b.c\\"), Ok(vec!["a.b".into(), "c\\".into()]));
        for empty in ["", ".", "a.", ".a", "a..b"] {
            assert_eq!(split(empty), Err(InvalidPath::EmptyName), "{empty}");
        }
        for escape in [r"a\b", "a\\"] {
            assert_eq!(split(escape), Err(InvalidPath::Escape), "{escape}");
        }
    }

    #[test]
    fn escaping_is_undone_by_splitting() {
        for name in ["a.b", "\\", "a\\.b", "..", "plain"] {
            assert_eq!(split(&escape(name)), Ok(vec![name.to_owned()]));
        }
    }
}
