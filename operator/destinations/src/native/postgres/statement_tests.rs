use std::collections::BTreeMap;

use super::super::table::{Column, Grants};
use super::super::values::Kind;
use super::*;

fn column(name: &str, type_name: &str) -> Column {
    Column {
        name: name.into(),
        kind: Kind::named(type_name, -1),
        type_name: type_name.into(),
        not_null: false,
        filled: false,
        written: Written::Freely,
    }
}

pub(in super::super) fn table(columns: Vec<Column>) -> Table {
    Table {
        schema: "public".into(),
        name: "people".into(),
        columns,
        unique: vec![vec!["id".into()]],
        constraints: BTreeMap::new(),
        grants: Grants { usage: true, select: true, insert: true, update: true, delete: true },
        plain: true,
    }
}

fn sql(verb: Verb, columns: &[usize], keys: usize) -> String {
    let table = table(vec![column("id", "bigint"), column("e\"mail", "text"), column("tags", "text[]")]);
    let op = Operation::Upsert;
    statement(&table, &Shape { op, columns: columns.to_vec() }, keys, verb)
}

#[test]
fn each_verb_is_one_statement() {
    assert_eq!(
        sql(Verb::Upsert, &[0, 2, 1], 1),
        "INSERT INTO \"public\".\"people\" (\"id\", \"tags\", \"e\"\"mail\") SELECT x.c1::bigint, x.c2::text[], x.c3 \
         FROM unnest($1::text[], $2::text[], $3::text[]) AS x(c1, c2, c3) ORDER BY 1 ON CONFLICT (\"id\") DO UPDATE SET \
         \"tags\" = EXCLUDED.\"tags\", \"e\"\"mail\" = EXCLUDED.\"e\"\"mail\""
    );
    let inserted = "INSERT INTO \"public\".\"people\" (\"id\") SELECT x.c1::bigint FROM unnest($1::text[]) AS x(c1)";
    assert_eq!(sql(Verb::Append, &[0], 0), inserted);
    assert_eq!(sql(Verb::Append, &[0], 1), format!("{inserted} ORDER BY 1 ON CONFLICT (\"id\") DO NOTHING"));
    assert_eq!(sql(Verb::Insert, &[0], 1), format!("{inserted} ORDER BY 1 ON CONFLICT (\"id\") DO NOTHING"));
    assert_eq!(sql(Verb::Upsert, &[0], 1), format!("{inserted} ORDER BY 1 ON CONFLICT (\"id\") DO NOTHING"));
    assert_eq!(
        sql(Verb::Update, &[0, 1], 1),
        "UPDATE \"public\".\"people\" AS t SET \"e\"\"mail\" = x.c2 FROM unnest($1::text[], $2::text[]) WITH ORDINALITY \
         AS x(c1, c2, n) WHERE t.\"id\" = x.c1::bigint RETURNING x.n"
    );
    assert_eq!(
        sql(Verb::Delete, &[0, 1], 2),
        "DELETE FROM \"public\".\"people\" AS t USING unnest($1::text[], $2::text[]) AS x(c1, c2) \
         WHERE t.\"id\" = x.c1::bigint AND t.\"e\"\"mail\" = x.c2"
    );
}

#[test]
fn an_identity_that_is_always_generated_is_overridden() {
    let id = Column { written: Written::AsIdentity, ..column("id", "bigint") };
    let shape = Shape { op: Operation::Upsert, columns: vec![0, 1] };
    let sql = statement(&table(vec![id, column("name", "text")]), &shape, 1, Verb::Upsert);
    assert!(sql.contains("(\"id\", \"name\") OVERRIDING SYSTEM VALUE SELECT"), "{sql}");
}
