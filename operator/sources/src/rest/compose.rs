//! The statements around a model's SQL, and the way back from the line of an error to the user's own.

use std::ops::Range;

use backflow_core::code::Failure;
use backflow_core::plan::{ModelPlan, ModelQuery};

use crate::sql::{Lexis, Subject, check_expression, check_statement, table};

/// A statement that holds the user's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Composed {
    pub(crate) sql: String,
    /// Lines of the statement, from 1, that are the model's own.
    model: Range<usize>,
    /// Those of the `where`.
    filter: Range<usize>,
}

/// The model as something that can stand in parentheses, checked.
fn relation(model: &ModelPlan, lexis: Lexis) -> Result<(String, bool), Failure> {
    let subject = format!("model \"{}\"", model.name);
    match &model.query {
        ModelQuery::Sql(sql) => {
            check_statement(sql, lexis, Subject(&subject))?;
            Ok((sql.clone(), true))
        }
        ModelQuery::Table(name) => Ok((format!("SELECT * FROM {}", table(name, lexis, Subject(&subject))?), false)),
    }
}

impl Composed {
    /// Names and types of the model's columns, and no row. With the filter, so that what is wrong with it shows before any row.
    pub(crate) fn describe(model: &ModelPlan, lexis: Lexis, filter: Option<&str>) -> Result<Self, Failure> {
        Self::around(model, lexis, "_m.*", filter, Some(0))
    }

    /// `expressions` of its rows.
    pub(crate) fn read(
        model: &ModelPlan,
        lexis: Lexis,
        expressions: &[String],
        filter: Option<&str>,
        limit: Option<u32>,
    ) -> Result<Self, Failure> {
        // A model without a column that is used still has rows.
        let list = if expressions.is_empty() { "NULL".to_owned() } else { expressions.join(", ") };
        Self::around(model, lexis, &list, filter, limit)
    }

    fn around(
        model: &ModelPlan,
        lexis: Lexis,
        list: &str,
        filter: Option<&str>,
        limit: Option<u32>,
    ) -> Result<Self, Failure> {
        let (text, user) = relation(model, lexis)?;
        let mut composed = Self { sql: format!("SELECT {list} FROM (\n"), model: 0..0, filter: 0..0 };
        let lines = composed.push(&text);
        if user {
            composed.model = lines;
        }
        composed.sql.push_str("\n) AS _m");
        if let Some(filter) = filter {
            check_expression(filter, lexis, Subject("where"))?;
            composed.sql.push_str(" WHERE (\n");
            composed.filter = composed.push(filter);
            composed.sql.push_str("\n)");
        }
        if let Some(limit) = limit {
            composed.sql.push_str(&format!(" LIMIT {limit}"));
        }
        Ok(composed)
    }

    fn push(&mut self, text: &str) -> Range<usize> {
        let first = self.sql.matches('\n').count() + 1;
        self.sql.push_str(text);
        first..self.sql.matches('\n').count() + 2
    }

    /// A line of the statement, as the user counts: `line 3`, or `line 1 of the where`.
    pub(crate) fn place(&self, line: usize) -> Option<String> {
        if self.model.contains(&line) {
            return Some(format!("line {}", line - self.model.start + 1));
        }
        self.filter.contains(&line).then(|| format!("line {} of the where", line - self.filter.start + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(query: ModelQuery) -> ModelPlan {
        ModelPlan { name: "customers".into(), query, primary_key: vec!["ID".into()] }
    }

    #[test]
    fn every_statement() {
        let sql = model(ModelQuery::Sql("select id, -- the key\n  email\nfrom marts.customers // all".into()));
        let columns = ["_m.\"ID\"".to_owned(), "TO_JSON(_m.\"it\"\"ems\"::VARIANT)".to_owned()];
        let filter = Some("country <> 'XX' -- not there");
        let table = model(ModelQuery::Table("marts.\"Customers\"".into()));
        let all = [
            Composed::describe(&sql, Lexis::Snowflake, None).unwrap().sql,
            Composed::describe(&sql, Lexis::Snowflake, filter).unwrap().sql,
            Composed::read(&sql, Lexis::Snowflake, &columns, filter, None).unwrap().sql,
            Composed::read(&table, Lexis::Snowflake, &columns[..1], None, Some(10)).unwrap().sql,
            Composed::read(&table, Lexis::Snowflake, &[], None, None).unwrap().sql,
        ];
        insta::assert_snapshot!(all.join(";\n\n"));
    }

    #[test]
    fn lines_are_counted_as_the_user_does() {
        let model = model(ModelQuery::Sql("select\n1 as id".into()));
        let composed =
            Composed::read(&model, Lexis::Snowflake, &["_m.\"a\nb\"".into()], Some("true\nand id > 0"), None).unwrap();
        let lines: Vec<&str> = composed.sql.lines().collect();
        let at = |text| lines.iter().position(|line| *line == text).unwrap() + 1;
        assert_eq!(composed.place(at("1 as id")).as_deref(), Some("line 2"));
        assert_eq!(composed.place(at("and id > 0")).as_deref(), Some("line 2 of the where"));
        assert_eq!((composed.place(1), composed.place(99)), (None, None));
    }
}
