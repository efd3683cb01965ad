//! Tokens of Entra, and what errors become. What needs a server is tested against one that speaks the protocol, with the other warehouses.

use std::path::PathBuf;

use backflow_core::plan::{AzureSqlCredential, ModelQuery, Tls, TlsMode};
use backflow_core::secret::SecretRef;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::entra::{Entra, Environment};
use super::tokens::ServerError;
use super::*;
use crate::rest::script::{Answer as Http, Script};

/// Every secret is this password.
struct Password;

impl Secrets for Password {
    fn read(&self, _: &SecretRef) -> Result<SecretString, Failure> {
        Ok("s3cr3t".into())
    }
}

fn plan(authority: Option<String>) -> AzureSql {
    AzureSql {
        host: "shop.database.windows.net".into(),
        port: 1433,
        database: "shop".into(),
        credential: AzureSqlCredential::Login {
            user: "backflow".into(),
            password: SecretRef { name: "azure".into(), key: "password".into() },
        },
        tls: Tls { mode: TlsMode::Disable, ..Tls::default() },
        authority,
    }
}

fn lent(file: Option<PathBuf>) -> Environment {
    Environment { tenant: Some("lent-t".into()), client: Some("lent-c".into()), token_file: file, authority: None }
}

#[tokio::test]
async fn a_token_is_asked_for_once_with_what_proves_the_application() {
    let answer = Http::json(200, &json!({"access_token": "t0ken", "expires_in": 3599}));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "p0d\n").unwrap();
    let secret = SecretString::from(" s3&cr3t\n");
    for (given, expected) in [
        (
            (Some("t"), Some("c"), Some(secret)),
            "grant_type=client_credentials&client_id=c&scope=https%3A%2F%2Fdatabase.windows.net%2F.default&client_secret=s3%26cr3t",
        ),
        (
            (None, None, None),
            "grant_type=client_credentials&client_id=lent-c&scope=https%3A%2F%2Fdatabase.windows.net%2F.default&\
             client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=p0d",
        ),
    ] {
        let script = Script::start([answer.clone()]).await;
        let tenant = given.0.unwrap_or("lent-t");
        let entra = Entra::new(&plan(Some(script.endpoint.clone())), given, &lent(Some(file.path().into()))).unwrap();
        for fresh in [true, false] {
            let (token, made) = entra.token(false).await.unwrap();
            assert_eq!((token.expose_secret(), made), ("t0ken", fresh));
        }
        let asked = script.asked();
        let [asked] = &asked[..] else { panic!("{asked:?}") };
        assert_eq!(
            (asked.path.as_str(), asked.text.as_str()),
            (format!("/{tenant}/oauth2/v2.0/token").as_str(), expected)
        );
        assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    }
}

#[tokio::test]
async fn why_there_is_no_token_is_told_with_its_cure() {
    for (number, cure) in [
        (7_000_215, "not its id"),
        (7_000_222, "make a new one"),
        (700_016, "no such application in tenant t"),
        (90_002, "there is no tenant t"),
        (700_213, "federated credential"),
        (50_000, "sign-in logs"),
    ] {
        let body = json!({"error": "invalid_client", "error_description": "s3cr3t", "error_codes": [number]});
        let script = Script::start([Http::json(400, &body)]).await;
        let given = (Some("t"), Some("c"), Some("s3cr3t".into()));
        let failure = Entra::new(&plan(Some(script.endpoint.clone())), given, &lent(None))
            .unwrap()
            .token(false)
            .await
            .unwrap_err();
        assert_eq!(failure.code, Code::AuthenticationFailed);
        assert!(failure.message.contains(cure) && failure.message.contains(&format!("AADSTS{number}")), "{failure}");
        assert!(!failure.message.contains("s3cr3t"), "{failure}");
    }
    let script = Script::start([Http::text(200, "<html>")]).await;
    let given = (Some("t"), Some("c"), Some("s3cr3t".into()));
    let failure =
        Entra::new(&plan(Some(script.endpoint.clone())), given, &lent(None)).unwrap().token(false).await.unwrap_err();
    assert_eq!(failure.code, Code::ConnectionFailed, "{failure}");
    let nobody = Entra::new(&plan(None), (None, None, None), &Environment::default()).err().unwrap();
    assert!(nobody.code == Code::AuthenticationFailed && nobody.message.contains("azure.workload.identity/use"));
}

fn told(number: u32, message: &str) -> Error {
    Error::Server(ServerError { number, state: 1, message: message.into(), line: 3 })
}

#[test]
fn why_nobody_is_let_in_is_told_with_its_cure() {
    let connector = Connector::new(&plan(None), &Password, "backflow").unwrap();
    for (number, code, cure) in [
        (18_456, Code::AuthenticationFailed, "check user and password"),
        (18_486, Code::AuthenticationFailed, "unlock"),
        (18_487, Code::AuthenticationFailed, "set it anew"),
        (4060, Code::DatabaseNotFound, "database \"shop\""),
        (40_615, Code::ConnectionFailed, "firewall"),
        (40_914, Code::ConnectionFailed, "virtual network"),
        (47_073, Code::ConnectionFailed, "private endpoint"),
        (40_532, Code::AuthenticationFailed, "without @server"),
        (42_108, Code::WarehouseUnavailable, "resume the SQL pool"),
        (40_613, Code::WarehouseUnavailable, "tried again"),
        (49_918, Code::WarehouseUnavailable, "too much to do"),
        (10_928, Code::WarehouseUnavailable, "service tier"),
        (99_999, Code::ConnectionFailed, "error 99999"),
    ] {
        let failure = errors::connect(&told(number, "s3cr3t 10.1.2.3"), &connector);
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(cure) && !failure.message.contains("10.1.2.3"), "{failure}");
    }
}

#[test]
fn errors_of_the_users_sql_name_his_own_lines_and_words() {
    let connector = Connector::new(&plan(None), &Password, "backflow").unwrap();
    let sql = "SELECT o.id, o.nmae\nFROM dbo.orders AS o";
    let model = ModelPlan { name: "orders".into(), query: ModelQuery::Sql(sql.into()), primary_key: vec!["id".into()] };
    let composed = Composed::describe(&model, Lexis::TransactSql, None).unwrap();
    for (number, message, code, expected) in [
        (208, "Invalid object name 'dbo.orders'.", Code::TableNotFound, "view dbo.orders does not exist (line 2)"),
        (207, "Invalid column name 'nmae'.", Code::ColumnNotFound, "column nmae does not exist (line 2)"),
        (207, "Invalid column name 'hidden'.", Code::ColumnNotFound, "column does not exist (line 2)"),
        (8156, "The column 'id' was specified multiple times.", Code::DuplicateColumn, "named id; rename"),
        (
            229,
            "The SELECT permission was denied on the object 'orders', database 'shop', schema 'dbo'.",
            Code::PermissionDenied,
            "run: GRANT SELECT ON [dbo].[orders] TO [back]]flow]",
        ),
        (
            229,
            "The SELECT permission was denied on the object 'hidden', database 'shop', schema 'dbo'.",
            Code::PermissionDenied,
            "GRANT SELECT ON each table TO [back]]flow]",
        ),
        (1033, "The ORDER BY clause is invalid", Code::SqlError, "remove it (line 2) (error 1033)"),
        (8134, "Divide by zero", Code::SqlError, "NULLIF"),
        (245, "Conversion failed when converting the varchar value 's3cr3t'", Code::SqlError, "TRY_CONVERT"),
        (1205, "deadlock victim", Code::WarehouseUnavailable, "another transaction"),
        (4242, "hidden", Code::SqlError, "sqlcmd"),
    ] {
        let failure = errors::query(&told(number, message), "orders", &composed, "back]flow", &connector);
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(expected), "no {expected} in: {failure}");
        assert!(!failure.message.contains("hidden") && !failure.message.contains("s3cr3t"), "{failure}");
    }
}

#[test]
fn what_the_state_lacks_is_told_with_the_statement_that_gives_it() {
    let connector = Connector::new(&plan(None), &Password, "backflow").unwrap();
    let grants = "GRANT CREATE TABLE TO [u]; GRANT ALTER, SELECT, INSERT, UPDATE, DELETE ON SCHEMA::[_backflow] TO [u]";
    for (number, code, expected) in [
        (229, Code::PermissionDenied, grants),
        (262, Code::PermissionDenied, grants),
        (208, Code::StateSchemaMissing, "made again"),
        (207, Code::StateDamaged, "another name"),
        (3906, Code::PermissionDenied, "state.store"),
        (9002, Code::WarehouseUnavailable, "no space"),
        (4242, Code::WarehouseUnavailable, "error 4242"),
    ] {
        let Error::Server(error) = told(number, "s3cr3t") else { unreachable!() };
        let failure = errors::state(&error, "[_backflow]", "u", &connector);
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(expected) && !failure.message.contains("s3cr3t"), "{failure}");
    }
}
