//! The statements around a model's SQL, and the way back from the line of an error to the user's own.

use std::ops::Range;

use backflow_core::code::Failure;
use backflow_core::plan::{ModelPlan, ModelQuery};

use crate::diff::pushdown::statement::Around;
use crate::sql::{Lexis, Subject, check_expression, check_statement, main_select, table};

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
        Self::selected(model, lexis, "_m.*", filter, Some(0))
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
        Self::selected(model, lexis, &list, filter, limit)
    }

    fn selected(
        model: &ModelPlan,
        lexis: Lexis,
        list: &str,
        filter: Option<&str>,
        limit: Option<u32>,
    ) -> Result<Self, Failure> {
        let transact = lexis == Lexis::TransactSql;
        let top = limit.filter(|_| transact).map_or_else(String::new, |limit| format!("TOP ({limit}) "));
        let mut composed = Self::enclosed(model, lexis, &format!("SELECT {top}{list} FROM"), filter)?;
        if let Some(limit) = limit.filter(|_| !transact) {
            composed.sql.push_str(&format!(" LIMIT {limit}"));
        }
        Ok(composed)
    }

    /// A statement of the pushdown engine around the model.
    pub(crate) fn around(
        model: &ModelPlan,
        lexis: Lexis,
        around: &Around,
        filter: Option<&str>,
    ) -> Result<Self, Failure> {
        let mut composed = Self::enclosed(model, lexis, around.before.trim_end(), filter)?;
        composed.sql.push_str(&around.after);
        Ok(composed)
    }

    /// What ends in FROM, then the model, then the filter.
    fn enclosed(model: &ModelPlan, lexis: Lexis, select: &str, filter: Option<&str>) -> Result<Self, Failure> {
        let (text, user) = relation(model, lexis)?;
        let transact = lexis == Lexis::TransactSql;
        let main = main_select(&text, lexis).filter(|_| transact);
        // What is in parentheses takes no WITH there: the model becomes the last of its own.
        let (before, text, after) = match main {
            Some(at) => {
                let model = format!("{}, _m AS ({}", &text[..at], &text[at..]);
                (String::new(), model, format!("\n) {select} _m"))
            }
            None => (format!("{select} (\n"), text, "\n) AS _m".to_owned()),
        };
        let mut composed = Self { sql: before, model: 0..0, filter: 0..0 };
        let lines = composed.push(&text);
        if user {
            composed.model = lines;
        }
        composed.sql.push_str(&after);
        if let Some(filter) = filter {
            composed.push_filter(filter, lexis)?;
        }
        Ok(composed)
    }

    fn push_filter(&mut self, filter: &str, lexis: Lexis) -> Result<(), Failure> {
        check_expression(filter, lexis, Subject("where"))?;
        self.sql.push_str(" WHERE (\n");
        self.filter = self.push(filter);
        self.sql.push_str("\n)");
        Ok(())
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
    fn a_with_stays_at_the_beginning_for_those_who_take_it_nowhere_else() {
        let sql = "-- all\nWITH [se]]lect(] AS (SELECT 1 AS id), b (x) AS (\nSELECT id FROM a) SELECT x AS id FROM b\nWHERE x > 0";
        let model = model(ModelQuery::Sql(sql.into()));
        let columns = ["_m.[id]".to_owned()];
        let composed = Composed::read(&model, Lexis::TransactSql, &columns, Some("id > 0"), Some(5)).unwrap();
        assert_eq!(
            composed.sql,
            "-- all\nWITH [se]]lect(] AS (SELECT 1 AS id), b (x) AS (\nSELECT id FROM a) , _m AS (SELECT x AS id FROM b\nWHERE x > 0\n) \
             SELECT TOP (5) _m.[id] FROM _m WHERE (\nid > 0\n)"
        );
        assert_eq!(
            (composed.place(4).as_deref(), composed.place(6)),
            (Some("line 4"), Some("line 1 of the where".into()))
        );
        let table = self::model(ModelQuery::Table("[dbo].[or]]ders]".into()));
        let described = Composed::describe(&table, Lexis::TransactSql, None).unwrap();
        assert_eq!(described.sql, "SELECT TOP (0) _m.* FROM (\nSELECT * FROM \"dbo\".\"or]ders\"\n) AS _m");
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
