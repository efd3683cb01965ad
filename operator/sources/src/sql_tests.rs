//! What is one statement, and what would not stay in its parentheses.

use super::*;

fn code(sql: &str) -> Option<Code> {
    check_statement(sql, Lexis::Postgres, Subject("model \"m\"")).err().map(|failure| failure.code)
}

#[test]
fn one_select_passes_whatever_its_quotes_hold() {
    for sql in [
        "select 1",
        "  (select 1) union all (select 2)",
        "with a as (select ';') select * from a -- ; )",
        "select $$;)$$, $a$ $$ ; $b$ $a$, 'it''s;', e'\\';', \"a;\"\"b\" /* ; /* ) */ ; */",
        "select e'a'\n'b\\';'",
        "select a$b from t where a ? 'b' and c::text = 'd' and e[1:2] is null",
        "/* first */ SELECT\n1 -- no line break at the end",
        "select 'é;' as \"ü;\"",
        "select 1e5, x$y$z",
    ] {
        assert_eq!(code(sql), None, "{sql}");
    }
}

#[test]
fn what_breaks_the_wrapping_is_refused() {
    for sql in [
        "",
        "-- nothing",
        "delete from t",
        "select 1;",
        "select 1; -- end",
        "select 1) as a, (select 2",
        "select (1",
        "select 'a",
        "select \"a",
        "select $$a",
        "select /* a",
        "select 1 /* /* */",
        "'select'",
        "select $1",
        "1",
    ] {
        assert_eq!(code(sql), Some(Code::SqlError), "{sql}");
    }
    for sql in
        ["select 1; select 2", "select 1;; ", "select 1) x; drop table t; select (1", "select 1 -- a\r; drop table t"]
    {
        assert!(matches!(code(sql), Some(Code::MultipleStatements | Code::SqlError)), "{sql}");
    }
    assert_eq!(code("select 1; select 2"), Some(Code::MultipleStatements));
    assert_eq!(code("select 1 -- a\r; drop table t"), Some(Code::MultipleStatements));
}

#[test]
fn sqlite_knows_other_quotes() {
    let subject = Subject("model \"m\"");
    assert!(check_statement("select [a;b], `c;`, \"d;\"", Lexis::Sqlite, subject).is_ok());
    for sql in ["select $$;$$", "select ?", "select :id", "select @id", "select $id"] {
        assert!(check_statement(sql, Lexis::Sqlite, subject).is_err(), "{sql}");
    }
}

#[test]
fn snowflake_knows_backslashes_slashes_and_paths() {
    let check = |sql| check_statement(sql, Lexis::Snowflake, Subject("model \"m\"")).err().map(|failure| failure.code);
    for sql in [
        "select 'it\\'s; (' as a, $$;)$$ as b, src:customer.name::string, list[0] from t // ; )",
        "with a as (select $1 from values (1)) select * from a",
    ] {
        assert_eq!(check(sql), None, "{sql}");
    }
    for sql in ["select 'a\\'", "select ?", "select $$;", "select 1 // a\n)", "select `a;`"] {
        assert!(check(sql).is_some(), "{sql}");
    }
    let table = |text| table(text, Lexis::Snowflake, Subject("model \"m\"")).ok();
    assert_eq!(table("marts.Customers").as_deref(), Some("\"MARTS\".\"CUSTOMERS\""));
    assert_eq!(table("\"Marts\".t").as_deref(), Some("\"Marts\".\"T\""));
}

#[test]
fn a_filter_is_one_balanced_expression() {
    let check = |sql| check_expression(sql, Lexis::Postgres, Subject("where"));
    assert!(check("country <> 'XX' -- all but one").is_ok());
    assert!(check("(a or b) and c in (select 1)").is_ok());
    for sql in ["", " -- a", "a; drop table t", "a) or (b", "a = 'b"] {
        assert!(check(sql).is_err(), "{sql}");
    }
}

#[test]
fn tables_are_quoted_part_by_part() {
    let table = |text| table(text, Lexis::Postgres, Subject("model \"m\"")).ok();
    assert_eq!(table("marts.Customers").as_deref(), Some("\"marts\".\"customers\""));
    assert_eq!(table("\"Marts\".\"a.\"\"b\"").as_deref(), Some("\"Marts\".\"a.\"\"b\""));
    assert_eq!(table("order").as_deref(), Some("\"order\""));
    for text in ["", "a.", ".a", "a b", "a;b", "\"a", "a.b.c.d", "a\"b\"", "\"a\"b"] {
        assert_eq!(table(text), None, "{text}");
    }
}

#[test]
fn bigquery_knows_its_own_strings_and_names() {
    let check = |sql| check_statement(sql, Lexis::BigQuery, Subject("model \"m\"")).err().map(|failure| failure.code);
    for sql in [
        "select 'it\\'s; (', \"a;'(\", r'\\\\', \"\"\"a\"b;(\"\"\", ''';''', `a;b` from `p-1.d.t` # ; )",
        "select @@project_id, '', a[offset(0)] from t",
    ] {
        assert_eq!(check(sql), None, "{sql}");
    }
    for sql in ["select 'a\\'", "select ?", "select @p", "select \"\"\"a\"", "select `a", "select 1 # a\n)"] {
        assert!(check(sql).is_some(), "{sql}");
    }
    let table = |text| table(text, Lexis::BigQuery, Subject("model \"m\"")).ok();
    assert_eq!(table("my-project.marts.Customers").as_deref(), Some("`my-project`.`marts`.`Customers`"));
    assert_eq!(table("`my dataset`.t").as_deref(), Some("`my dataset`.`t`"));
    assert_eq!((table("`a``b`.t"), table("a\\b")), (None, None));
}

#[test]
fn databricks_knows_raw_strings_nested_comments_and_paths() {
    let check = |sql| check_statement(sql, Lexis::Databricks, Subject("model \"m\"")).err().map(|failure| failure.code);
    for sql in [
        "select 'it\\'s; (', \"a;'(\", r'\\', R\"\\\", 'a''b', raw:owner.name::string, `a;``b` from c.s.t -- ; )",
        "with a as (select 1 /* ; /* ) */ ( */ from t) select * from a",
        "select 1 -- goes on \\\n ) ;\nfrom t",
    ] {
        assert_eq!(check(sql), None, "{sql}");
    }
    for sql in [
        "select 'a\\'",
        "select r'a\\''",
        "select ?",
        "select \"a",
        "select `a",
        "select 1 /* /* */",
        "select 1 -- a\n)",
        "select 1 -- a\\\r\n)",
        "select r'\\'; drop table t; --'",
    ] {
        assert!(check(sql).is_some(), "{sql}");
    }
    let table = |text| table(text, Lexis::Databricks, Subject("model \"m\"")).ok();
    assert_eq!(table("main.marts.Customers").as_deref(), Some("`main`.`marts`.`Customers`"));
    assert_eq!(table("`my ``schema`.t").as_deref(), Some("`my ``schema`.`t`"));
    assert_eq!((table("a b"), table("`a`b`")), (None, None));
}

#[test]
fn redshift_takes_no_string_that_could_mean_two_things() {
    let check = |sql| check_statement(sql, Lexis::Redshift, Subject("model \"m\"")).err().map(|failure| failure.code);
    for sql in [
        "select 'it''s; (', 'a\\b', 'a\\\\', \"a;\"\"(\" from t -- ; )",
        "with a as (select 1 /* ; /* ) */ ( */) select a ? 'b' from a",
    ] {
        assert_eq!(check(sql), None, "{sql}");
    }
    for sql in [
        "select 'a\\'",
        "select 'it\\'s; ('",
        "select '\\'; drop table t; --'",
        "select '\\'', 1; drop table t; --'",
        "select $1",
        "select 'a",
        "select 1 -- a\n)",
    ] {
        assert!(check(sql).is_some(), "{sql}");
    }
    let table = |text| table(text, Lexis::Redshift, Subject("model \"m\"")).ok();
    assert_eq!(table("Marts.Customers").as_deref(), Some("\"marts\".\"customers\""));
}

#[test]
fn transact_sql_knows_brackets_and_nested_comments() {
    let subject = Subject("model \"m\"");
    let check = |sql| check_statement(sql, Lexis::TransactSql, subject).err().map(|failure| failure.code);
    for sql in [
        "select 'it''s; (', N'a\\', [a;]](], \"b;\"\"(\", @@version from #t -- ; )",
        "with a as (select 1 as x /* ; /* ) */ ( */) select x from a -- ; )\r\n",
    ] {
        assert_eq!(check(sql), None, "{sql}");
    }
    for sql in [
        "select 'a",
        "select [a",
        "select [a]]",
        "select @id",
        "select ?",
        "select 1 /* /* */",
        "select 1 -- a\n)",
        "select 1 as a -- \r(\n) as _m drop table t select * from (select 1 as a",
        "select 1 as a; drop table t",
    ] {
        assert!(check(sql).is_some(), "{sql}");
    }
    let table = |text| table(text, Lexis::TransactSql, subject).ok();
    assert_eq!(table("[my ]]schema].Customers").as_deref(), Some("\"my ]schema\".\"Customers\""));
    assert_eq!(table("shop.\"dbo\".[a\"b]").as_deref(), Some("\"shop\".\"dbo\".\"a\"\"b\""));
    assert_eq!((table("[a"), table("[a]b"), table("a]b")), (None, None, None));
}

#[test]
fn behind_with_comes_the_main_select_or_nothing_that_is_taken_for_it() {
    let main = |sql: &'static str| main_select(sql, Lexis::TransactSql).map(|at| &sql[at..]);
    for (sql, expected) in [
        ("with a as (select 1 as x) select x from a", "select x from a"),
        ("/* ( */ WITH [se]]lect(] (x) AS (SELECT 1) -- )\n, b AS (SELECT (2) AS y) SELECT 3", "SELECT 3"),
        ("with a as (select 1 as x) (select x from a) union all select 2", "(select x from a) union all select 2"),
        ("with xmlnamespaces ('u' as p), a as (select 1 as x) select x from a", "select x from a"),
    ] {
        assert_eq!(main(sql), Some(expected), "{sql}");
    }
    for sql in [
        "select 1",
        "with a as (select 1 as x)",
        "with a as (select 1 as x) delete from t select 1",
        "with a as (select 1 as x) update t set y = (1) select 1",
        "with a as (select 1 as x) [b] select 1",
        "with a as (select 1 as x) ) select 1",
        "exec (p) select 1",
    ] {
        assert_eq!(main(sql), None, "{sql}");
    }
}

#[test]
fn clickhouse_knows_backslashes_heredocs_and_a_choice() {
    let subject = Subject("model \"m\"");
    let check = |sql| check_statement(sql, Lexis::ClickHouse, subject).err().map(|failure| failure.code);
    for sql in [
        "select 'it\\'s; (', `a\\`;`, \"b\\\";\", $$;)$$, $a$ ;$$ $a$, a ? b : c, e[1] from t # ; )",
        "with 1 as a select {'a': 1}, a::UInt8 -- ; )",
    ] {
        assert_eq!(check(sql), None, "{sql}");
    }
    for sql in ["select 'a\\'", "select `a\\`", "select $$;", "select 1 # a\n)", "select 1; select 2"] {
        assert!(check(sql).is_some(), "{sql}");
    }
    let table = |text| table(text, Lexis::ClickHouse, subject).ok();
    assert_eq!(table("marts.Customers").as_deref(), Some("`marts`.`Customers`"));
    assert_eq!((table("`a``b`.t"), table("a\\b")), (None, None));
}

#[test]
fn mysql_knows_comments_that_are_executed_and_dashes_that_are_signs() {
    let subject = Subject("model \"m\"");
    let check = |sql| check_statement(sql, Lexis::MySql, subject).err().map(|failure| failure.code);
    for sql in [
        "select 'it\\'s; (', \"a\\\";(\", `a\\`, 5--3, @@version, @a -- ; )",
        "select /* ; ) */ /*+ NO_ICP(t) */ 1 # ; )",
        "select 1 --\tend ;",
    ] {
        assert_eq!(check(sql), None, "{sql}");
    }
    for sql in
        ["select 'a\\'", "select ?", "select 5--3;", "select 1 /*! ) */", "select 1 /*M!100100 */", "select 1 # a\n)"]
    {
        assert!(check(sql).is_some(), "{sql}");
    }
    let table = |text| table(text, Lexis::MySql, subject).ok();
    assert_eq!(table("shop.Customers").as_deref(), Some("`shop`.`Customers`"));
}
