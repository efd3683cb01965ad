//! Where in a text expressions stand.

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// As it is.
    Text(String),
    /// What stands between `${` and `}`.
    Expression(&'a str),
}

/// The parts of a text: `$${` is `${` as text. Braces and quotes inside of an expression are its own.
///
/// # Errors
/// An expression that does not end, or is empty.
pub(crate) fn split(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            plain.push_str(&rest[..at]);
            plain.push('{');
            rest = &rest[at + 2..];
            continue;
        }
        plain.push_str(&rest[..at]);
        let inner = &rest[at + 2..];
        let end = end(inner).ok_or("an expression that begins with ${ does not end; add a }")?;
        if inner[..end].trim().is_empty() {
            return Err("there is no expression between ${ and }".to_owned());
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(Piece::Expression(inner[..end].trim()));
        rest = &inner[end + 1..];
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

/// Where the brace stands that ends an expression.
fn end(text: &str) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    for (at, char) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if char == '\\' => escaped = true,
            Some(open) if char == open => quote = None,
            Some(_) => {}
            None => match char {
                '\'' | '"' => quote = Some(char),
                '{' => depth += 1,
                '}' if depth == 0 => return Some(at),
                '}' => depth -= 1,
                _ => {}
            },
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_found_with_their_braces_and_quotes() {
        use Piece::{Expression, Text};
        let text = |text: &str| Text(text.to_owned());
        assert_eq!(split("plain"), Ok(vec![text("plain")]));
        assert_eq!(split(""), Ok(vec![]));
        assert_eq!(split("${ f.a }"), Ok(vec![Expression("f.a")]));
        assert_eq!(split("a${f.a}b${f.b}"), Ok(vec![text("a"), Expression("f.a"), text("b"), Expression("f.b")]));
        assert_eq!(split("${{'a': {'b': '}'}}}!"), Ok(vec![Expression("{'a': {'b': '}'}}"), text("!")]));
        assert_eq!(split(r#"${"\"}" + '{'}"#), Ok(vec![Expression(r#""\"}" + '{'"#)]));
        assert_eq!(split("$${f.a} $5"), Ok(vec![text("${f.a} $5")]));
        assert!(split("${f.a").is_err() && split("${ }").is_err() && split("${'a}").is_err());
    }
}
