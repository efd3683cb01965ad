//! Models that cannot be read: each is named with its cure, and no row's content is repeated.

use backflow_core::code::{Code, Failure};
use backflow_core::plan::{ModelPlan, ModelQuery};
use backflow_sources::warehouse::{Query, Warehouse, open};
use futures::TryStreamExt as _;

use super::shop::server;

fn sql(text: &str) -> ModelPlan {
    ModelPlan { name: "customers".into(), query: ModelQuery::Sql(text.into()), primary_key: vec!["id".into()] }
}

async fn read(warehouse: &dyn Warehouse, model: ModelPlan, filter: Option<&str>) -> Result<usize, Failure> {
    let query = Query { model, columns: vec!["id".into()], filter: filter.map(Into::into), limit: None };
    let batches: Vec<_> = warehouse.rows(query).await?.try_collect().await?;
    Ok(batches.iter().map(|batch| batch.len()).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_models_are_named_with_their_cure() {
    let server = server().await;
    server.user("modeller").unwrap();
    server
        .exec(
            "CREATE DATABASE marts; CREATE TABLE marts.customers (id INT, Email TEXT, plan TEXT); CREATE TABLE marts.secret (id INT); \
             INSERT INTO marts.customers VALUES (1, 'canary', 'canary'), (2, 'canary', NULL); CREATE DATABASE hidden; CREATE TABLE hidden.t (id INT); \
             GRANT SELECT ON shop.* TO modeller; GRANT SELECT ON marts.customers TO modeller; CREATE SEQUENCE marts.s; GRANT ALL ON marts.s TO modeller",
        )
        .unwrap();
    let warehouse = open(&server.source("modeller", "shop"), &*server, "backflow/models").await.unwrap();
    let cases = [
        ("select 1 as id;", Code::SqlError, "semicolon"),
        ("select 1 as id; select 2 as id", Code::MultipleStatements, "more than one statement"),
        ("select 1 as id) x; drop table marts.customers; select (1", Code::SqlError, "parenthesis"),
        ("select 1 as id /*! ) */", Code::SqlError, "would be executed"),
        ("delete from marts.customers", Code::SqlError, "SELECT or WITH"),
        ("select id from customers", Code::TableNotFound, "table shop.customers does not exist"),
        (
            "select id from marts.customers join marts.absent using (id)",
            Code::PermissionDenied,
            "GRANT SELECT ON `marts`.`absent`",
        ),
        ("select id,\n  email2 from marts.customers", Code::ColumnNotFound, "column email2 does not exist"),
        ("select id,\n  from marts.customers", Code::SqlError, "syntax error (line 2)"),
        (
            "select id, nope(id) from marts.customers",
            Code::PermissionDenied,
            "function shop.nope does not exist, or user",
        ),
        ("select id from marts.secret", Code::PermissionDenied, "GRANT SELECT ON `marts`.`secret` TO `modeller`@'%'"),
        ("select id from hidden.t", Code::PermissionDenied, "GRANT SELECT ON `hidden`.`t` TO `modeller`@'%'"),
        ("select 1 as id, 2 as id", Code::DuplicateColumn, "two columns are named id"),
        ("select Email from marts.customers", Code::PrimaryKeyMissing, "(has: Email)"),
        ("select id as ID from marts.customers", Code::PrimaryKeyMissing, "it has \"ID\""),
        ("select ? as id", Code::SqlError, "parameter"),
    ];
    for (text, wanted, part) in cases {
        let failure = warehouse.describe(&sql(text)).await.unwrap_err();
        assert_eq!(failure.code, wanted, "{text}: {failure}");
        assert!(failure.message.contains(part), "{text}: no {part} in {failure}");
        assert!(!failure.message.contains("canary"), "{text}: {failure}");
        assert_eq!(read(&*warehouse, sql(text), None).await.unwrap_err().code, wanted, "{text}");
    }
    // What fails only while rows are read, and what would write.
    for (text, part) in [
        ("select id from marts.customers where id = (select id from marts.customers)", "more than one row"),
        ("select nextval(marts.s) as id", "only reads"),
    ] {
        let failure = read(&*warehouse, sql(text), None).await.unwrap_err();
        assert_eq!(failure.code, Code::SqlError, "{text}: {failure}");
        assert!(failure.message.contains(part) && !failure.message.contains("canary"), "{text}: {failure}");
    }
    let all = || sql("select * from marts.customers -- all");
    assert_eq!(read(&*warehouse, all(), Some("plan is not null # some")).await.unwrap(), 1);
    for (filter, wanted) in [
        ("true; drop table marts.customers", Code::SqlError),
        ("true) or (true", Code::SqlError),
        ("", Code::SqlError),
        ("id = = 1", Code::SqlError),
        ("country = 'DE'", Code::ColumnNotFound),
    ] {
        assert_eq!(read(&*warehouse, all(), Some(filter)).await.unwrap_err().code, wanted, "{filter}");
    }
    assert_eq!(server.query("SELECT COUNT(*) FROM marts.customers").unwrap(), [["2"]]);
}
