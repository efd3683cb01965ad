//! The little that must be known of SQL text before it is wrapped: where quotes and comments end, and that it is one statement.
//!
//! A model's SQL becomes a subquery, so a semicolon, an unbalanced parenthesis or an open quote would change the statement around
//! it. The servers are a second guard: Postgres parses the wrapped text by the extended protocol, which takes one statement, and
//! every read is in a read-only transaction or connection.

use backflow_core::code::{Code, Failure};
/// A name in double quotes, as most dialects read it.
pub(crate) use backflow_postgres::quote;

/// Whose lexical rules hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lexis {
    /// Dollar quotes, `E''` strings, nested comments.
    Postgres,
    /// Backticks and brackets around names.
    Sqlite,
    /// Backslashes in strings, `$$` quotes, `//` comments; colons are paths into documents.
    Snowflake,
    /// Strings in either quotes, once or three times, with backslashes; backticks around names; `#` comments.
    BigQuery,
    /// As Postgres's without dollar quotes, `E''` strings and parameters. Whether a backslash escapes depends on the server's version:
    /// text that it would make a difference to is refused.
    Redshift,
    /// Strings in either quotes with backslashes, or raw after an `r`; backticks around names; nested comments; colons are paths into
    /// documents.
    Databricks,
    /// Backslashes in strings and in names, which stand in backticks or double quotes; `$tag$` quotes; `#` comments; `?` chooses.
    ClickHouse,
    /// Strings in either quotes with backslashes, backticks around names, `#` comments, comments that are executed.
    MySql,
    /// Double quotes or brackets around names, nested comments, `@` before parameters. A WITH stands at the very beginning.
    TransactSql,
}

impl Lexis {
    /// What stands around a name.
    const fn quote(self) -> char {
        match self {
            Self::BigQuery | Self::Databricks | Self::ClickHouse | Self::MySql => '`',
            Self::Postgres | Self::Sqlite | Self::Snowflake | Self::Redshift | Self::TransactSql => '"',
        }
    }
}

/// What the text is, for messages: `model "customers"`, or `where`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a>(pub(crate) &'a str);

impl Subject<'_> {
    fn failure(self, code: Code, sentence: &str) -> Failure {
        Failure::new(code, format!("{}: {sentence}", self.0))
    }
}

/// Checks that `sql` is exactly one SELECT or WITH statement that can stand in parentheses.
pub(crate) fn check_statement(sql: &str, lexis: Lexis, subject: Subject<'_>) -> Result<(), Failure> {
    let outline = outline(sql, lexis, subject)?;
    if let Some((line, trailing)) = outline.semicolon {
        return Err(if trailing {
            let sentence = format!("the SQL ends with a semicolon (line {line}); remove it, a model is one SELECT");
            subject.failure(Code::SqlError, &sentence)
        } else {
            let sentence = format!(
                "the SQL holds more than one statement (a semicolon in line {line}); a model is exactly one SELECT or WITH"
            );
            subject.failure(Code::MultipleStatements, &sentence)
        });
    }
    match outline.first_word.as_deref() {
        Some("select" | "with") => Ok(()),
        Some(_) => Err(subject
            .failure(Code::SqlError, "the SQL must be one statement that begins with SELECT or WITH: it only reads")),
        None => Err(subject.failure(Code::SqlError, "the SQL is empty; write one SELECT")),
    }
}

/// Where the main SELECT begins, with its parentheses, of a statement that begins with WITH. What stands in its place there may be no SELECT:
/// then `None`.
pub(crate) fn main_select(sql: &str, lexis: Lexis) -> Option<usize> {
    let mut scanner = Scanner { sql, at: 0, lexis };
    // `closed`: the last thing was a closing parenthesis, behind which are a comma, the AS behind names, or the main SELECT.
    let (mut depth, mut begun, mut closed) = (0_usize, false, false);
    loop {
        let start = scanner.at;
        let token = scanner.next()?;
        let text = &sql[start..scanner.at];
        match token {
            Token::Blank => continue,
            Token::Left if !begun => return None,
            Token::Left if depth == 0 && closed => return Some(start),
            Token::Left => depth += 1,
            Token::Right => depth = depth.checked_sub(1)?,
            _ if depth > 0 => {}
            Token::Word if !begun && !text.eq_ignore_ascii_case("with") => return None,
            Token::Word if closed && text.eq_ignore_ascii_case("select") => return Some(start),
            _ if closed && text != "," && !text.eq_ignore_ascii_case("as") => return None,
            _ => begun = true,
        }
        closed = depth == 0 && matches!(token, Token::Right);
    }
}

/// Checks that `sql` is one expression that can stand in parentheses.
pub(crate) fn check_expression(sql: &str, lexis: Lexis, subject: Subject<'_>) -> Result<(), Failure> {
    let outline = outline(sql, lexis, subject)?;
    if let Some((line, _)) = outline.semicolon {
        let sentence = format!("semicolon in line {line}; write one condition over the model's columns");
        return Err(subject.failure(Code::SqlError, &sentence));
    }
    if outline.empty {
        return Err(subject
            .failure(Code::SqlError, "the condition is empty; write one over the model's columns, or leave it out"));
    }
    Ok(())
}

/// Parses `table`, `schema.table` or `database.schema.table` as a user writes it, parts in double quotes or not, into quoted form.
/// A plain part is folded to the case that the dialect folds to: so `Orders` means what it means in SQL.
pub(crate) fn table(text: &str, lexis: Lexis, subject: Subject<'_>) -> Result<String, Failure> {
    let wrong = || {
        subject.failure(
            Code::SqlError,
            "the table must be written as table or schema.table, parts with other characters in the quotes that SQL wants",
        )
    };
    let mark = lexis.quote();
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let part;
        let bracket = lexis == Lexis::TransactSql && rest.starts_with('[');
        let (open, close) = if bracket { ('[', ']') } else { (mark, mark) };
        if let Some(quoted) = rest.strip_prefix(open) {
            let mut name = String::new();
            let mut tail = quoted;
            loop {
                let end = tail.find(close).ok_or_else(wrong)?;
                name.push_str(&tail[..end]);
                tail = &tail[end + 1..];
                match tail.strip_prefix(close) {
                    Some(more) => {
                        name.push(close);
                        tail = more;
                    }
                    None => break,
                }
            }
            part = name;
            rest = tail;
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            let plain = &rest[..end];
            let bracket = lexis == Lexis::TransactSql && plain.contains(['[', ']']);
            if bracket
                || plain.chars().any(|c| c.is_whitespace() || matches!(c, '"' | '`' | '\'' | ';' | '(' | ')' | '\\'))
            {
                return Err(wrong());
            }
            part = match lexis {
                Lexis::Postgres | Lexis::Redshift => plain.to_lowercase(),
                Lexis::Snowflake => plain.to_uppercase(),
                Lexis::Sqlite
                | Lexis::BigQuery
                | Lexis::Databricks
                | Lexis::ClickHouse
                | Lexis::MySql
                | Lexis::TransactSql => plain.to_owned(),
            };
            rest = &rest[end..];
        }
        if part.is_empty() || part.contains('\0') {
            return Err(wrong());
        }
        if lexis == Lexis::Databricks {
            parts.push(format!("`{}`", part.replace('`', "``")));
        } else if mark == '`' {
            // BigQuery has neither in a name, and the others hardly ever; how they are escaped differs.
            let plain = !part.contains(['`', '\\']);
            parts.push(plain.then(|| format!("`{part}`")).ok_or_else(wrong)?);
        } else {
            parts.push(quote(&part));
        }
        match rest.strip_prefix('.') {
            Some(next) => rest = next,
            None if rest.is_empty() => break,
            None => return Err(wrong()),
        }
    }
    if parts.len() > 3 { Err(wrong()) } else { Ok(parts.join(".")) }
}

/// What lies outside of quotes and comments.
struct Outline {
    first_word: Option<String>,
    /// Line of the first semicolon, and whether nothing but blanks and comments follows it.
    semicolon: Option<(usize, bool)>,
    empty: bool,
}

fn outline(sql: &str, lexis: Lexis, subject: Subject<'_>) -> Result<Outline, Failure> {
    let mut outline = Outline { first_word: None, semicolon: None, empty: true };
    let mut depth = 0_usize;
    let mut scanner = Scanner { sql, at: 0, lexis };
    loop {
        let start = scanner.at;
        let line = || sql[..start].matches('\n').count() + 1;
        let Some(token) = scanner.next() else { return finish(outline, depth, subject) };
        match token {
            Token::Open(what) => {
                let sentence = format!("the {what} that begins in line {} does not end", line());
                return Err(subject.failure(Code::SqlError, &sentence));
            }
            Token::Parameter => {
                let sentence =
                    format!("a parameter in line {} has no value; a model has none, write the value itself", line());
                return Err(subject.failure(Code::SqlError, &sentence));
            }
            Token::Executed => {
                let sentence = format!(
                    "the comment that begins in line {} would be executed; write its text without the marks",
                    line()
                );
                return Err(subject.failure(Code::SqlError, &sentence));
            }
            Token::Nul => return Err(subject.failure(Code::SqlError, "the text holds a NUL character; remove it")),
            Token::Blank => continue,
            Token::Semicolon => {
                if let Some((_, trailing)) = &mut outline.semicolon {
                    *trailing = false;
                } else {
                    outline.semicolon = Some((line(), true));
                }
                continue;
            }
            Token::Left => depth += 1,
            Token::Right if depth == 0 => {
                let sentence = format!("a closing parenthesis in line {} has no opening one", line());
                return Err(subject.failure(Code::SqlError, &sentence));
            }
            Token::Right => depth -= 1,
            Token::Word if outline.first_word.is_none() => {
                outline.first_word = Some(sql[start..scanner.at].to_ascii_lowercase());
            }
            Token::Word => {}
            Token::Other if outline.first_word.is_none() => outline.first_word = Some(String::new()),
            Token::Other => {}
        }
        outline.empty = false;
        if let Some((_, trailing)) = &mut outline.semicolon {
            *trailing = false;
        }
    }
}

fn finish(outline: Outline, depth: usize, subject: Subject<'_>) -> Result<Outline, Failure> {
    if depth > 0 && outline.semicolon.is_none() {
        return Err(subject.failure(Code::SqlError, "an opening parenthesis has no closing one"));
    }
    Ok(outline)
}

enum Token {
    Blank,
    Word,
    Left,
    Right,
    Semicolon,
    Other,
    Nul,
    /// `$1`, `?`, `:name`: a place for a value that nobody gives.
    Parameter,
    /// A comment that is none to the server.
    Executed,
    /// A quote or comment that does not end.
    Open(&'static str),
}

struct Scanner<'a> {
    sql: &'a str,
    at: usize,
    lexis: Lexis,
}

impl Scanner<'_> {
    fn next(&mut self) -> Option<Token> {
        let rest = &self.sql[self.at..];
        let first = rest.chars().next()?;
        let postgres = self.lexis == Lexis::Postgres;
        let sqlite = self.lexis == Lexis::Sqlite;
        let snowflake = self.lexis == Lexis::Snowflake;
        let bigquery = self.lexis == Lexis::BigQuery;
        let databricks = self.lexis == Lexis::Databricks;
        let redshift = self.lexis == Lexis::Redshift;
        let clickhouse = self.lexis == Lexis::ClickHouse;
        let mysql = self.lexis == Lexis::MySql;
        let transact = self.lexis == Lexis::TransactSql;
        Some(match first {
            '\0' => Token::Nul,
            _ if first.is_whitespace() => self.skip(first.len_utf8(), Token::Blank),
            // Two dashes are two signs to MySQL if a word follows.
            '-' if mysql
                && rest.starts_with("--")
                && rest[2..].starts_with(|c: char| !c.is_whitespace() && !c.is_control()) =>
            {
                self.skip(2, Token::Other)
            }
            '-' if databricks && rest.starts_with("--") => self.skip(comment_with_escapes(rest), Token::Blank),
            '-' if transact && rest.starts_with("--") => self.comment_of_a_line(rest),
            '-' if rest.starts_with("--") => {
                let end = rest
                    .find(|c| c == '\n' || ((postgres || snowflake || redshift) && c == '\r'))
                    .unwrap_or(rest.len());
                self.skip(end, Token::Blank)
            }
            '/' if snowflake && rest.starts_with("//") => {
                self.skip(rest.find('\n').unwrap_or(rest.len()), Token::Blank)
            }
            '#' if bigquery || clickhouse || mysql => self.skip(rest.find('\n').unwrap_or(rest.len()), Token::Blank),
            '/' if mysql && (rest.starts_with("/*!") || rest.starts_with("/*M!")) => self.skip(3, Token::Executed),
            '/' if rest.starts_with("/*") => self.comment(),
            '\'' | '"' if bigquery => self.string(first),
            '\'' | '"' if databricks => self.quoted(first, true, "string"),
            'r' | 'R' if databricks && rest[1..].starts_with(['\'', '"']) => self.raw(),
            '`' if databricks => self.quoted('`', false, "quoted name"),
            '`' if bigquery || clickhouse => self.quoted('`', true, "quoted name"),
            '\'' if redshift => self.plain(),
            '@' if rest.starts_with("@@") && (bigquery || transact) => self.skip(2, Token::Other),
            '@' if (bigquery || transact) && rest[1..].starts_with(is_word) => self.skip(1, Token::Parameter),
            '\'' => self.quoted('\'', snowflake || clickhouse || mysql, "string"),
            'e' | 'E' if postgres && rest[1..].starts_with('\'') => {
                self.at += 1;
                self.quoted('\'', true, "string")
            }
            '"' if mysql => self.quoted('"', true, "string"),
            '"' => self.quoted('"', clickhouse, "quoted name"),
            '`' if sqlite || mysql => self.quoted('`', false, "quoted name"),
            '[' if transact => self.quoted(']', false, "quoted name"),
            '[' if sqlite => match rest.find(']') {
                Some(end) => self.skip(end + 1, Token::Other),
                None => Token::Open("quoted name"),
            },
            '?' if !postgres && !clickhouse && !redshift => self.skip(1, Token::Parameter),
            '$' | ':' | '@' if sqlite && rest[1..].starts_with(is_word) => self.skip(1, Token::Parameter),
            '$' if (postgres || redshift) && rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.skip(1, Token::Parameter)
            }
            '$' if postgres || clickhouse || (snowflake && rest.starts_with("$$")) => self.dollar(),
            '(' => self.skip(1, Token::Left),
            ')' => self.skip(1, Token::Right),
            ';' => self.skip(1, Token::Semicolon),
            _ if first.is_ascii_alphabetic() || first == '_' || !first.is_ascii() => {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                self.skip(end, Token::Word)
            }
            // A number swallows what could look like a dollar quote behind it.
            _ if first.is_ascii_digit() => {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                self.skip(end, Token::Other)
            }
            _ => self.skip(first.len_utf8(), Token::Other),
        })
    }

    fn skip(&mut self, bytes: usize, token: Token) -> Token {
        self.at += bytes;
        token
    }

    /// `--` where it is not said whether a carriage return alone ends it.
    fn comment_of_a_line(&mut self, rest: &str) -> Token {
        let line = rest.split('\n').next().unwrap_or_default();
        if line.trim_end_matches('\r').contains('\r') {
            return Token::Open("comment with a carriage return in it");
        }
        self.skip(line.len(), Token::Blank)
    }

    fn comment(&mut self) -> Token {
        let bytes = self.sql.as_bytes();
        let mut at = self.at + 2;
        let mut depth = 1;
        while depth > 0 {
            match bytes.get(at..at + 2) {
                Some(b"*/") => {
                    depth -= 1;
                    at += 2;
                }
                Some(b"/*")
                    if matches!(
                        self.lexis,
                        Lexis::Postgres | Lexis::Databricks | Lexis::Redshift | Lexis::TransactSql
                    ) =>
                {
                    depth += 1;
                    at += 2;
                }
                Some(_) => at += 1,
                None => return Token::Open("comment"),
            }
        }
        self.at = at;
        Token::Blank
    }

    /// A doubled quote is a quote; with `escapes` a backslash takes the next byte with it.
    fn quoted(&mut self, quote: char, escapes: bool, what: &'static str) -> Token {
        let bytes = self.sql.as_bytes();
        let mut at = self.at + 1;
        loop {
            match bytes.get(at) {
                None => return Token::Open(what),
                Some(b'\\') if escapes => at += 2,
                Some(&byte) if byte == quote as u8 => {
                    if bytes.get(at + 1) == Some(&byte) {
                        at += 2;
                    } else if escapes
                        && self.lexis == Lexis::Postgres
                        && let Some(next) = continuation(&self.sql[at + 1..])
                    {
                        at += 1 + next;
                    } else {
                        break;
                    }
                }
                Some(_) => at += 1,
            }
        }
        self.at = at + 1;
        Token::Other
    }

    /// A string of BigQuery's: its quotes stand once, or three times.
    fn string(&mut self, quote: char) -> Token {
        let bytes = self.sql.as_bytes();
        let three = [quote as u8; 3];
        let end: &[u8] = if bytes[self.at..].starts_with(&three) { &three } else { &three[..1] };
        let mut at = self.at + end.len();
        loop {
            match bytes.get(at) {
                None => return Token::Open("string"),
                Some(b'\\') => at += 2,
                Some(_) if bytes[at..].starts_with(end) => break,
                Some(_) => at += 1,
            }
        }
        self.at = at + end.len();
        Token::Other
    }

    /// A string that means the same whether or not backslashes escape.
    fn plain(&mut self) -> Token {
        let start = self.at;
        let token = self.quoted('\'', false, "string");
        let text = &self.sql[start..self.at];
        // An odd number of backslashes before a quote would take it along.
        let odd = |at: usize| (text[..at].len() - text[..at].trim_end_matches('\\').len()) % 2 == 1;
        let ambiguous = matches!(token, Token::Other) && text.match_indices('\'').any(|(at, _)| odd(at));
        if ambiguous { Token::Open("string with a backslash before a quote (write '' for a quote)") } else { token }
    }

    /// `r'…'`: ends at the next quote, whatever stands before it.
    fn raw(&mut self) -> Token {
        let rest = &self.sql[self.at + 1..];
        let quote = rest.chars().next().unwrap_or_default();
        match rest[1..].find(quote) {
            Some(end) => self.skip(end + 3, Token::Other),
            None => Token::Open("string"),
        }
    }

    fn dollar(&mut self) -> Token {
        let rest = &self.sql[self.at..];
        let Some(length) = rest[1..].find('$') else { return self.skip(1, Token::Other) };
        let tag = &rest[1..=length];
        if tag.starts_with(|c: char| c.is_ascii_digit()) || !tag.chars().all(|c| is_word(c) && c != '$') {
            return self.skip(1, Token::Other);
        }
        let delimiter = &rest[..length + 2];
        match rest[delimiter.len()..].find(delimiter) {
            Some(end) => self.skip(2 * delimiter.len() + end, Token::Other),
            None => Token::Open("dollar-quoted string"),
        }
    }
}

/// Bytes of a comment of Databricks': a backslash before the line's end takes the next line along.
fn comment_with_escapes(rest: &str) -> usize {
    let mut from = 0;
    while let Some(end) = rest[from..].find(['\n', '\r']).map(|end| from + end) {
        if !(rest[end..].starts_with('\n') && rest[..end].ends_with('\\')) {
            return end;
        }
        from = end + 1;
    }
    rest.len()
}

/// Two strings with nothing but blanks and a line break between them are one: bytes up to and with the second's opening quote.
fn continuation(rest: &str) -> Option<usize> {
    let next = rest.find(|c: char| !c.is_ascii_whitespace())?;
    (rest[next..].starts_with('\'') && rest[..next].contains(['\n', '\r'])).then_some(next + 1)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

#[cfg(test)]
#[path = "sql_tests.rs"]
mod tests;
