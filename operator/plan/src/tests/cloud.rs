//! Warehouses of the clouds: what their fields become, and what is refused.

use std::collections::BTreeSet;

use backflow_core::plan::{Connection, DiffEngine, StateLocation};
use serde_json::{Value, json};

use super::manifests::{self, named, plan_between, plan_source, with};

fn key(name: &str) -> Value {
    json!({"secretKeyRef": {"name": name, "key": "k"}})
}

/// A Snowflake account with every field that can stand beside the others.
pub(super) fn snowflake() -> Value {
    json!({"account": "myorg-account", "user": "backflow", "warehouse": "loading", "database": "analytics",
        "schema": "marts", "role": "reporter", "privateKey": key("k"), "privateKeyPassphrase": key("p")})
}

/// A BigQuery project with every field.
pub(super) fn bigquery() -> Value {
    json!({"project": "my-project", "location": "EU", "dataset": "marts", "serviceAccountKey": key("k"),
        "impersonate": "etl@p.iam.gserviceaccount.com", "maximumBytesBilled": 1_000_000_000})
}

/// A Databricks SQL warehouse with every field that can stand beside the others.
pub(super) fn databricks() -> Value {
    json!({"host": "dbc-1.cloud.databricks.com", "httpPath": "/sql/1.0/warehouses/0123456789abcdef", "catalog": "main",
        "schema": "marts", "clientId": "c", "clientSecret": key("s"), "tenantId": "t", "startForChecks": true})
}

/// A database of Redshift with every field that can stand beside the others.
pub(super) fn redshift() -> Value {
    json!({"host": "c.abc.eu-central-1.redshift.amazonaws.com", "port": 5439, "database": "dev", "user": "backflow",
        "iam": {"region": "eu-central-1", "clusterIdentifier": "c", "roleArn": "arn:aws:iam::123456789012:role/reader"},
        "tls": {"mode": "VerifyCa", "ca": key("ca")}})
}

fn source(changes: Value) -> Value {
    json!({"snowflake": with(snowflake(), changes)})
}

fn planned(changes: Value) -> Value {
    serde_json::to_value(plan_source(&source(changes)).unwrap()).unwrap()
}

#[test]
fn every_field_of_snowflake_does_something() {
    let changes = [
        json!({}),
        json!({"account": "myorg-other"}),
        json!({"user": "other"}),
        json!({"warehouse": "other"}),
        json!({"database": "other"}),
        json!({"schema": null}),
        json!({"role": null}),
        json!({"privateKey": key("other")}),
        json!({"privateKeyPassphrase": null}),
        json!({"privateKey": null, "privateKeyPassphrase": null, "accessToken": key("t")}),
        json!({"privateKey": null, "privateKeyPassphrase": null, "oauthToken": key("t")}),
    ];
    let plans: BTreeSet<String> = changes.iter().map(|change| planned(change.clone()).to_string()).collect();
    assert_eq!(plans.len(), changes.len());
}

#[test]
fn names_are_folded_as_sql_folds_them() {
    let names =
        json!({"database": "\"say \"\"hi\"\"\"", "schema": "with space", "role": "\"lower\"", "warehouse": "Load$1"});
    let plan = plan_source(&source(names)).unwrap();
    let Connection::Snowflake(snowflake) = &plan.connection else { panic!("{plan:?}") };
    assert_eq!(snowflake.database, "say \"hi\"");
    assert_eq!(snowflake.schema.as_deref(), Some("with space"));
    assert_eq!(snowflake.role.as_deref(), Some("lower"));
    assert_eq!((snowflake.warehouse.as_str(), snowflake.user.as_str()), ("LOAD$1", "BACKFLOW"));
    assert_eq!(plan.state, StateLocation::Schema("_BACKFLOW".into()));
    assert_eq!(snowflake.endpoint, None, "no manifest says where the credentials go");
}

#[test]
fn what_snowflake_could_not_take_is_refused() {
    for (changes, path) in [
        (json!({"account": "https://o-a.snowflakecomputing.com"}), "spec.snowflake.account"),
        (json!({"account": "o-a.snowflakecomputing.com"}), "spec.snowflake.account"),
        (json!({"account": "o-a."}), "spec.snowflake.account"),
        (json!({"account": "-"}), "spec.snowflake.account"),
        (json!({"role": "\"open"}), "spec.snowflake.role"),
        (json!({"database": "\"a\"b\""}), "spec.snowflake.database"),
        (json!({"privateKey": null}), "spec.snowflake.privateKeyPassphrase"),
        (json!({"privateKey": null}), "spec.snowflake"),
        (json!({"accessToken": key("t")}), "spec.snowflake"),
    ] {
        let found = named(plan_source(&source(changes.clone())));
        assert!(found.contains(&(path.to_owned(), "InvalidSpec".to_owned())), "{changes}: {found:?}");
    }
    let pushdown = with(source(json!({})), json!({"diff": "Pushdown"}));
    assert_eq!(plan_source(&pushdown).unwrap().diff, DiffEngine::Pushdown);
}

#[test]
fn the_account_and_the_database_are_the_identity() {
    let identity =
        |changes| plan_between(&source(changes), &manifests::destination(), &manifests::mapping()).unwrap().identity;
    let usual = identity(json!({}));
    for same in [json!({"account": "MYORG-ACCOUNT"}), json!({"warehouse": "other"}), json!({"role": null})] {
        assert_eq!(identity(same.clone()), usual, "{same}");
    }
    for other in [json!({"account": "myorg-other"}), json!({"database": "other"})] {
        assert_ne!(identity(other.clone()), usual, "{other}");
    }
}

#[test]
fn every_field_of_bigquery_does_something() {
    let planned =
        |changes| plan_source(&json!({"bigquery": with(bigquery(), changes)})).map(|plan| format!("{plan:?}"));
    let changes = [
        json!({}),
        json!({"project": "other"}),
        json!({"location": "US"}),
        json!({"dataset": null}),
        json!({"serviceAccountKey": null}),
        json!({"impersonate": null}),
        json!({"maximumBytesBilled": null}),
    ];
    let plans: BTreeSet<String> = changes.iter().map(|change| planned(change.clone()).unwrap()).collect();
    assert_eq!(plans.len(), changes.len());
    for (changes, path) in [
        (json!({"project": "my project"}), "spec.bigquery.project"),
        (json!({"project": "a/b"}), "spec.bigquery.project"),
        (json!({"location": "EU?"}), "spec.bigquery.location"),
        (json!({"impersonate": "etl@p/../x"}), "spec.bigquery.impersonate"),
        (json!({"impersonate": "etl"}), "spec.bigquery.impersonate"),
    ] {
        assert_eq!(named(planned(changes.clone())), [(path.to_owned(), "InvalidSpec".to_owned())], "{changes}");
    }
    let pushdown = json!({"bigquery": bigquery(), "diff": "Pushdown"});
    assert_eq!(plan_source(&pushdown).unwrap().diff, DiffEngine::Pushdown);
}

#[test]
fn every_field_of_databricks_does_something() {
    let planned =
        |changes| plan_source(&json!({"databricks": with(databricks(), changes)})).map(|plan| format!("{plan:?}"));
    let token = json!({"clientId": null, "clientSecret": null, "tenantId": null, "accessToken": key("t")});
    let changes = [
        json!({}),
        json!({"host": "other"}),
        json!({"httpPath": "/sql/1.0/warehouses/other"}),
        json!({"catalog": null}),
        json!({"schema": null}),
        json!({"clientId": "other"}),
        json!({"clientSecret": key("other")}),
        json!({"tenantId": null}),
        json!({"startForChecks": null}),
        token.clone(),
    ];
    let plans: BTreeSet<String> = changes.iter().map(|change| planned(change.clone()).unwrap()).collect();
    assert_eq!(plans.len(), changes.len());
    let same = json!({"host": "DBC-1.cloud.databricks.com", "httpPath": "/sql/1.0/endpoints/0123456789abcdef/"});
    assert_eq!(planned(same), planned(json!({})));
    for (changes, path) in [
        (json!({"host": "https://dbc-1.cloud.databricks.com"}), "spec.databricks.host"),
        (json!({"host": "dbc-1.cloud.databricks.com:443"}), "spec.databricks.host"),
        (json!({"httpPath": "0123456789abcdef"}), "spec.databricks.httpPath"),
        (json!({"httpPath": "/sql/protocolv1/o/1/2-3-abc"}), "spec.databricks.httpPath"),
        (json!({"httpPath": "/sql/1.0/warehouses/a/../b"}), "spec.databricks.httpPath"),
        (json!({"tenantId": "t/../x"}), "spec.databricks.tenantId"),
        (json!({"clientId": null}), "spec.databricks"),
        (json!({"accessToken": key("t")}), "spec.databricks"),
        (with(token.clone(), json!({"tenantId": "t"})), "spec.databricks.tenantId"),
    ] {
        assert_eq!(named(planned(changes.clone())), [(path.to_owned(), "InvalidSpec".to_owned())], "{changes}");
    }
    let pushdown = json!({"databricks": databricks(), "diff": "Pushdown"});
    assert_eq!(plan_source(&pushdown).unwrap().diff, DiffEngine::Pushdown);
}

#[test]
fn every_field_of_redshift_does_something() {
    let planned =
        |changes| plan_source(&json!({"redshift": with(redshift(), changes)})).map(|plan| format!("{plan:?}"));
    let iam = |changes: Value| json!({"iam": changes});
    let changes = [
        json!({}),
        json!({"host": "other"}),
        json!({"port": 5440}),
        json!({"database": "other"}),
        json!({"user": "other"}),
        json!({"iam": null, "password": key("p")}),
        iam(json!({"region": "us-east-1"})),
        iam(json!({"clusterIdentifier": "other"})),
        iam(json!({"clusterIdentifier": null, "workgroup": "c"})),
        iam(json!({"roleArn": null})),
        json!({"tls": {"mode": "VerifyFull"}}),
        json!({"tls": {"ca": null}}),
    ];
    let plans: BTreeSet<String> = changes.iter().map(|change| planned(change.clone()).unwrap()).collect();
    assert_eq!(plans.len(), changes.len());
    for (changes, path) in [
        (json!({"port": 0}), "spec.redshift.port"),
        (json!({"password": key("p")}), "spec.redshift"),
        (iam(json!({"region": "EU (Frankfurt)"})), "spec.redshift.iam.region"),
        (iam(json!({"region": "eu.example.com/"})), "spec.redshift.iam.region"),
        (iam(json!({"workgroup": "w"})), "spec.redshift.iam"),
        (iam(json!({"roleArn": "arn:aws:iam::123456789012:user/me"})), "spec.redshift.iam.roleArn"),
        (json!({"tls": {"mode": "Disable"}}), "spec.redshift.tls.mode"),
        (json!({"tls": {"clientKey": key("k")}}), "spec.redshift.tls"),
    ] {
        assert_eq!(named(planned(changes.clone())), [(path.to_owned(), "InvalidSpec".to_owned())], "{changes}");
    }
    let pushdown = json!({"redshift": redshift(), "diff": "Pushdown"});
    assert_eq!(plan_source(&pushdown).unwrap().diff, DiffEngine::Pushdown);
}
