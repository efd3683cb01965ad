//! What a check of a Destination says.

use std::sync::Arc;

use backflow_core::code::{Code, Failure};
use backflow_core::secret::SecretRef;
use backflow_tests::postgres::{PostgresServer, ServerTls, secret};
use backflow_tests::rows::Rows;
use serde_json::json;

async fn check(shop: &Rows) -> Result<String, Failure> {
    backflow_destinations::check(&shop.destination, shop).await
}

async fn refused(shop: &Rows, code: Code, words: &str) {
    let failure = check(shop).await.expect_err(words);
    assert_eq!(failure.code, code, "{failure}");
    assert!(failure.message.contains(words), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_whose_database_it_is_or_what_is_wrong() {
    let shop = Rows::with("SELECT 1").await.unwrap();
    let account = check(&shop).await.unwrap();
    assert!(account.starts_with(&format!("database {} (PostgreSQL 1", shop.database)), "{account}");

    shop.wrong.lock().unwrap().insert("password".to_owned(), secret());
    refused(&shop, Code::DestinationUnauthorized, "check user and password").await;
    shop.wrong.lock().unwrap().clear();

    let shop = shop.setting("database", json!("nowhere"));
    refused(&shop, Code::DestinationMisconfigured, "has no database \"nowhere\"").await;
    let own = json!(shop.database);
    let shop = shop.setting("database", own).setting("schema", json!("private"));
    refused(&shop, Code::DestinationMisconfigured, "there is no schema \"private\"").await;
    shop.server.exec(&shop.database, "CREATE SCHEMA private").await.unwrap();
    refused(&shop, Code::DestinationMisconfigured, "GRANT USAGE ON SCHEMA \"private\" TO").await;
    let shop = shop.setting("schema", json!("public"));

    let mut shop = shop;
    let reference = shop.destination.secrets.remove("password").unwrap();
    refused(&shop, Code::DestinationUnauthorized, "and the Destination has none; set secrets.password").await;
    shop.destination.secrets.insert("password".to_owned(), SecretRef { key: "other".into(), ..reference });
    refused(&shop, Code::SecretKeyNotFound, "has no key \"other\"").await;

    let shop = shop.setting("host", json!("nowhere.invalid"));
    shop.wrong.lock().unwrap().insert("other".to_owned(), secret());
    refused(&shop, Code::DestinationUnreachable, "cannot be resolved").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_proven_and_a_client_proves_itself() {
    let server = Arc::new(PostgresServer::start_with(ServerTls::Good).await.unwrap());
    let shop = Rows::on(Arc::clone(&server), "SELECT 1").await.unwrap().setting("tlsMode", json!("VerifyFull"));
    refused(&shop, Code::TlsFailed, "give its authority in secrets.ca").await;
    let mut shop = shop;
    let ca = SecretRef { name: "authority".into(), key: "ca".into() };
    shop.destination.secrets.insert("ca".to_owned(), ca);
    check(&shop).await.unwrap();

    // A role that comes in by its certificate alone.
    server.role("certified").await.unwrap();
    shop.destination.secrets.remove("password");
    shop.destination.auth = "clientCertificate".into();
    let shop = shop.setting("user", json!("certified"));
    refused(&shop, Code::DestinationUnauthorized, "needs secrets.clientCertificate and secrets.clientKey").await;
    let mut shop = shop;
    let (certificate, key) = server.authority().client("certified").unwrap();
    for (name, value) in [("clientCertificate", certificate), ("clientKey", key)] {
        let reference = SecretRef { name: shop.database.clone(), key: name.to_owned() };
        shop.destination.secrets.insert(name.to_owned(), reference);
        shop.wrong.lock().unwrap().insert(name.to_owned(), value);
    }
    check(&shop).await.unwrap();

    server.restart_with(ServerTls::WrongHost).unwrap();
    refused(&shop, Code::TlsFailed, "settings.tlsMode: VerifyCa").await;
    let shop = shop.setting("tlsMode", json!("VerifyCa"));
    check(&shop).await.unwrap();
    server.restart_with(ServerTls::Off).unwrap();
    refused(&shop, Code::TlsFailed, "does not offer TLS, and settings.tlsMode is VerifyCa").await;
}
