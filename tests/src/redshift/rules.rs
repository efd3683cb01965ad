//! What Redshift refuses of the statements that Postgres takes, by the words in them.

use super::vocabulary::{AGGREGATES, PHRASES, RESERVED, SETTINGS, STATEMENTS, WORDS};
use super::words::{closing, contains, opening, words};

/// What `version()` says.
pub const VERSION: &str = "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2, Redshift 1.0.75379";

/// A statement as Postgres is given it, or why Redshift refuses it.
///
/// # Errors
/// The reason.
pub fn reworded(sql: &str) -> Result<String, String> {
    let words = words(sql)?;
    let text: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    for statement in text.split(|word| *word == ";") {
        refused(statement)?;
    }
    let mut out = sql.to_owned();
    for (at, word) in words.iter().enumerate().rev() {
        let range = word.start..word.end;
        match word.text.as_str() {
            "sysdate" => out.replace_range(range, "LOCALTIMESTAMP"),
            "sortkey" => {
                let end = closing(&text, at + 1).and_then(|end| words.get(end));
                out.replace_range(word.start..end.map_or(word.end, |end| end.end), "");
            }
            "query_group" => out.replace_range(range, "application_name"),
            "version" if text.get(at + 1) == Some(&"(") && text.get(at + 2) == Some(&")") => {
                let end = words.get(at + 2).map_or(word.end, |word| word.end);
                out.replace_range(word.start..end, &format!("CAST('{VERSION}' AS VARCHAR)"));
            }
            _ => {}
        }
    }
    Ok(out)
}

fn refused(words: &[&str]) -> Result<(), String> {
    let refuse = |reason: &str| Err(reason.to_owned());
    let first = words.first().copied().unwrap_or_default();
    if let Some((_, reason)) = STATEMENTS.iter().find(|(word, _)| *word == first) {
        return refuse(reason);
    }
    if first == "copy" && words.iter().any(|word| matches!(*word, "stdout" | "stdin")) {
        return refuse("COPY is from S3 and its like, and never from or to a client; it is UNLOAD the other way");
    }
    if first == "copy" && words.get(1) == Some(&"(") {
        return refuse("COPY takes no query; it is UNLOAD");
    }
    if first == "set" {
        let name = words.iter().skip(1).find(|word| !matches!(**word, "local" | "session"));
        if !name.is_some_and(|name| SETTINGS.contains(name) || matches!(*name, "time" | "role")) {
            return Err(format!("there is no setting {}", name.copied().unwrap_or_default()));
        }
    }
    for (at, word) in words.iter().enumerate() {
        if let Some((_, reason)) = WORDS.iter().find(|(known, _)| known == word) {
            return refuse(reason);
        }
        if let Some((_, reason)) = PHRASES.iter().find(|(phrase, _)| words[at..].starts_with(phrase)) {
            return refuse(reason);
        }
        if let Some(reason) = misused(words, at) {
            return refuse(reason);
        }
        if *word == "]" && words.get(at.wrapping_sub(1)) == Some(&"[") {
            return refuse("there are no arrays");
        }
        if *word == "identity" && words.get(at + 1) != Some(&"(") {
            return refuse("IDENTITY has a seed and a step");
        }
        if *word == "varchar" && words.get(at + 1) == Some(&"(") {
            let length: u64 = words.get(at + 2).and_then(|length| length.parse().ok()).unwrap_or(0);
            if length > 65_535 {
                return refuse("VARCHAR has at most 65535 bytes");
            }
        }
    }
    if first == "create" && words.get(1) == Some(&"table") && words.contains(&"text") {
        return refuse("TEXT is VARCHAR(256), which cuts nothing and refuses what is longer; say the length");
    }
    if first == "create" && contains(words, &["if", "not", "exists"]) && contains(words, &["as", "select"]) {
        return refuse("there is no IF NOT EXISTS of a table that is made of a query");
    }
    if first == "delete" {
        let end = words.iter().position(|word| matches!(*word, "using" | "where")).unwrap_or(words.len());
        if words[..end].contains(&"as") {
            return refuse("a DELETE gives its table no other name");
        }
        if contains(words, &["using", "("]) {
            return refuse("USING of a DELETE names tables");
        }
    }
    if first == "update" && outer_join(words) {
        return refuse("an UPDATE joins nothing by an outer join");
    }
    if first == "merge" {
        return refuse("MERGE has a table as its source, and one action for what matches");
    }
    Ok(())
}

/// What is wrong with the word at a place.
fn misused(words: &[&str], at: usize) -> Option<&'static str> {
    let before = at.checked_sub(1).and_then(|before| words.get(before));
    match words[at] {
        word if before == Some(&"as") && RESERVED.contains(&word) => Some("the name is a reserved word"),
        "concat" => {
            let end = closing(words, at + 1)?;
            let mut commas = 0;
            let mut next = at + 2;
            while next < end {
                commas += usize::from(words[next] == ",");
                next = closing(words, next).unwrap_or(next) + 1;
            }
            (commas != 1).then_some("CONCAT takes two texts; more are joined by ||")
        }
        "over" => {
            let window = &words[at + 1..=closing(words, at + 1)?];
            let function = opening(words, at.checked_sub(1)?)?.checked_sub(1).and_then(|name| words.get(name))?;
            let ordered = contains(window, &["order", "by"]);
            if AGGREGATES.contains(function) && ordered && !window.contains(&"rows") {
                return Some("an aggregate over an ordered window says its frame");
            }
            (matches!(*function, "lag" | "lead") && !ordered).then_some("LAG and LEAD are of an ordered window")
        }
        _ => None,
    }
}

/// Whether a statement joins by an outer join outside of all parentheses.
fn outer_join(words: &[&str]) -> bool {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if matches!(*word, "left" | "right" | "full") && words.get(at + 1) != Some(&"(") {
            return true;
        }
        at = closing(words, at).unwrap_or(at) + 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_statement_that_meets_it() {
        let mut met = std::collections::BTreeSet::new();
        let mut refuse = |sql: &str| met.insert(reworded(sql).expect_err(sql));
        for (word, _) in WORDS {
            refuse(&format!("SELECT 1 AS a, {word} FROM t"));
        }
        for (phrase, _) in PHRASES {
            refuse(&format!("SELECT {}", phrase.join(" ")));
        }
        for (word, _) in STATEMENTS {
            refuse(word);
        }
        for sql in [
            "COPY t TO STDOUT",
            "copy t (a) from stdin",
            "COPY (SELECT 1) TO 's3://b'",
            "SET lock_timeout = 1",
            "SET LOCAL client_min_messages = error",
            "SELECT '{}'::integer[]",
            "CREATE TABLE t (id INT IDENTITY)",
            "CREATE TABLE t (a VARCHAR(65536))",
            "CREATE TABLE t (a TEXT)",
            "MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN DELETE",
            "SELECT $$a$$",
            "SELECT 'it\\'s",
            "SELECT 1; INSERT INTO t VALUES (1) RETURNING id",
            "CREATE TABLE IF NOT EXISTS t AS SELECT 1",
            "DELETE FROM t AS e WHERE e.a = 1",
            "DELETE FROM t USING (SELECT 1 AS a) WHERE b = a",
            "UPDATE t SET a = 1 FROM b LEFT JOIN c ON b.x = c.x WHERE t.x = b.x",
            "SELECT 1 AS delta",
            "SELECT concat(a, b, c) FROM t",
            "SELECT sum(a) OVER (PARTITION BY b ORDER BY c) FROM t",
            "SELECT lead(1) OVER () IS NULL FROM t",
        ] {
            refuse(sql);
        }
        assert!(met.len() > 60, "{}", met.len());
    }

    #[test]
    fn what_redshift_has_passes() {
        for sql in [
            "BEGIN READ ONLY",
            "SET query_group TO 'backflow/run-1'",
            "SELECT 'jsonb returning', \"uuid\" FROM t -- on conflict",
            "SELECT /* array_agg */ COUNT(*) FROM pg_namespace WHERE nspname = 'it''s \\' jsonb'",
            "CREATE TABLE t (id BIGINT GENERATED BY DEFAULT AS IDENTITY(1, 1), a VARCHAR(65535))",
            "COPY t FROM 's3://bucket/key'",
            "LOCK t",
            "DELETE FROM t WHERE EXISTS (SELECT 1 FROM (SELECT e.a AS b FROM t AS e) AS x WHERE x.b = a)",
            "UPDATE t SET a = x.b FROM (SELECT b, c FROM u LEFT JOIN v ON u.d = v.d) AS x WHERE c = x.c",
            "SELECT sum(a) OVER (ORDER BY b ROWS UNBOUNDED PRECEDING), count(*) OVER (PARTITION BY b), concat(a, left(b, 1)) FROM t",
            "SELECT a FROM t JOIN u USING (a)",
        ] {
            reworded(sql).expect(sql);
        }
    }

    #[test]
    fn what_postgres_has_not_is_put_in_other_words() {
        assert_eq!(
            reworded("INSERT INTO t VALUES ('sysdate', SYSDATE)").unwrap(),
            "INSERT INTO t VALUES ('sysdate', LOCALTIMESTAMP)"
        );
        assert_eq!(reworded("SELECT version()").unwrap(), format!("SELECT CAST('{VERSION}' AS VARCHAR)"));
        assert_eq!(reworded("SET query_group TO 'a'").unwrap(), "SET application_name TO 'a'");
        assert_eq!(
            reworded("CREATE TABLE t SORTKEY (kind, place) AS SELECT 1 AS kind, 2 AS place").unwrap(),
            "CREATE TABLE t  AS SELECT 1 AS kind, 2 AS place"
        );
    }
}
