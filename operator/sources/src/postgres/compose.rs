//! The statements around a model's SQL, and the way back from an error's position to the line that the user wrote.

use backflow_core::code::Failure;
use backflow_core::plan::{ModelPlan, ModelQuery};

use crate::diff::pushdown::statement::Around;
use crate::sql::{Lexis, Subject, check_expression, check_statement, table};

/// A statement that holds the user's text, with the place of each piece in characters.
#[derive(Clone, Debug)]
pub(crate) struct Composed {
    pub(crate) sql: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
struct Piece {
    what: &'static str,
    start: usize,
    text: String,
}

/// Where an error is in the user's own text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// `line 3, column 8`, or that of the `where`.
    pub(crate) at: String,
    /// The word there.
    pub(crate) word: Option<&'a str>,
}

/// The model as something that can follow FROM.
pub(crate) struct Relation {
    text: String,
    user: bool,
}

/// Checks the model and its filter, before anything is sent.
pub(crate) fn relation(model: &ModelPlan) -> Result<Relation, Failure> {
    let subject = format!("model \"{}\"", model.name);
    match &model.query {
        ModelQuery::Sql(sql) => {
            check_statement(sql, Lexis::Postgres, Subject(&subject))?;
            Ok(Relation { text: sql.clone(), user: true })
        }
        ModelQuery::Table(name) => Ok(Relation {
            text: format!("SELECT * FROM {}", table(name, Lexis::Postgres, Subject(&subject))?),
            user: false,
        }),
    }
}

/// The table that is the model, quoted; `None`: it is a query.
pub(crate) fn table_of(model: &ModelPlan) -> Result<Option<String>, Failure> {
    match &model.query {
        ModelQuery::Sql(_) => Ok(None),
        ModelQuery::Table(name) => {
            table(name, Lexis::Postgres, Subject(&format!("model \"{}\"", model.name))).map(Some)
        }
    }
}

impl Composed {
    /// Describes the model's columns: one row of NULLs, the model itself planned, but not executed.
    pub(crate) fn describe(relation: &Relation) -> Self {
        let mut composed = Self { sql: String::new(), pieces: Vec::new() };
        composed.sql.push_str("SELECT _m.* FROM (SELECT 1) AS _one LEFT JOIN ");
        composed.push_relation(relation);
        composed.sql.push_str(" ON false");
        composed
    }

    /// Parses, plans and permission-checks the model and its filter, reading nothing.
    pub(crate) fn probe(relation: &Relation, filter: Option<&str>) -> Self {
        let mut composed = Self { sql: String::new(), pieces: Vec::new() };
        composed.sql.push_str("SELECT 1 FROM ");
        composed.push_relation(relation);
        if let Some(filter) = filter {
            composed.push_filter(filter);
        }
        composed.sql.push_str(" LIMIT 0");
        composed
    }

    /// Streams `expressions` of the model's rows in COPY's binary format.
    pub(crate) fn copy(relation: &Relation, expressions: &[String], filter: Option<&str>, limit: Option<u32>) -> Self {
        let mut composed = Self { sql: String::new(), pieces: Vec::new() };
        composed.sql.push_str("COPY (SELECT ");
        composed.sql.push_str(&expressions.join(", "));
        composed.sql.push_str(" FROM ");
        composed.push_relation(relation);
        if let Some(filter) = filter {
            composed.push_filter(filter);
        }
        if let Some(limit) = limit {
            composed.sql.push_str(&format!(" LIMIT {limit}"));
        }
        composed.sql.push_str(") TO STDOUT (FORMAT binary)");
        composed
    }

    /// A statement of the pushdown engine around the model.
    pub(crate) fn around(relation: &Relation, filter: Option<&str>, around: &Around) -> Self {
        let mut composed = Self { sql: String::new(), pieces: Vec::new() };
        for before in [Some(&around.before), around.between.as_ref()].into_iter().flatten() {
            composed.sql.push_str(before);
            composed.push_relation(relation);
            if let Some(filter) = filter {
                composed.push_filter(filter);
            }
        }
        composed.sql.push_str(&around.after);
        composed
    }

    fn push_relation(&mut self, relation: &Relation) {
        // On lines of its own, so that a comment at its end does not swallow the parenthesis.
        self.sql.push_str("(\n");
        if relation.user {
            self.push_piece("", &relation.text);
        } else {
            self.sql.push_str(&relation.text);
        }
        self.sql.push_str("\n) AS _m");
    }

    fn push_filter(&mut self, filter: &str) {
        self.sql.push_str(" WHERE (\n");
        self.push_piece("where, ", filter);
        self.sql.push_str("\n)");
    }

    fn push_piece(&mut self, what: &'static str, text: &str) {
        self.pieces.push(Piece { what, start: self.sql.chars().count(), text: text.to_owned() });
        self.sql.push_str(text);
    }

    /// The place of a character (from 1, as the server counts) of this statement in the user's text.
    pub(crate) fn locate(&self, position: usize) -> Option<Place<'_>> {
        let at = position.checked_sub(1)?;
        self.pieces.iter().find_map(|piece| {
            let offset = at.checked_sub(piece.start)?;
            let (byte, _) = piece.text.char_indices().nth(offset)?;
            let before = &piece.text[..byte];
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
            Some(Place { at: format!("{}line {line}, column {column}", piece.what), word: word(&piece.text[byte..]) })
        })
    }

    /// Whether the user wrote this name.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        !name.is_empty() && self.sql.to_lowercase().contains(&name)
    }
}

/// The identifier chain at the front, such as `orders.total` or `"a b"`. Never a string literal: it may be long, or private.
fn word(text: &str) -> Option<&str> {
    let mut quoted = false;
    let end = text
        .char_indices()
        .find(|&(_, c)| {
            if c == '"' {
                quoted = !quoted;
            }
            !(quoted || c == '"' || c == '.' || c == '_' || c == '$' || c.is_alphanumeric())
        })
        .map_or(text.len(), |(at, _)| at);
    (0 < end && end <= 130).then(|| &text[..end])
}

/// Checks a filter's text.
pub(crate) fn check_filter(filter: Option<&str>) -> Result<(), Failure> {
    filter.map_or(Ok(()), |filter| check_expression(filter, Lexis::Postgres, Subject("where")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_lead_back_to_the_users_lines() {
        let model = ModelPlan {
            name: "m".into(),
            query: ModelQuery::Sql("select é,\n  naem from t".into()),
            primary_key: vec!["id".into()],
        };
        let composed = Composed::describe(&relation(&model).unwrap());
        let position = composed.sql.chars().collect::<String>().find("naem").unwrap();
        let characters = composed.sql[..position].chars().count() + 1;
        let place = composed.locate(characters).unwrap();
        assert_eq!((place.at.as_str(), place.word), ("line 2, column 3", Some("naem")));
        assert_eq!(composed.locate(3), None);
        assert_eq!(composed.locate(0), None);
    }
}
