//! What a check says: the server, or what is missing with the statement that gives it. It changes nothing.

use backflow_core::code::{Code, Failure};
use backflow_core::plan::{Server, SourcePlan, TlsMode};
use backflow_core::secret::{SecretRef, Secrets};
use backflow_sources::warehouse::open;
use backflow_tests::mariadb::{MariaDb, source};
use backflow_tests::postgres::ServerTls;
use backflow_tests::state_conformance;
use secrecy::SecretString;

use super::shop::server;

async fn check(plan: &SourcePlan, secrets: &dyn Secrets) -> Result<String, Failure> {
    open(plan, secrets, "backflow/check").await?.check().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_what_is_missing_and_changes_nothing() {
    let server = server().await;
    for user in ["reader", "maker", "late"] {
        server.user(user).unwrap();
        server.exec(&format!("GRANT SELECT ON shop.* TO {user}")).unwrap();
    }
    server.exec("CREATE DATABASE closed; GRANT CREATE, INSERT, SELECT, DELETE ON `c\\_state`.* TO maker").unwrap();
    let with = |user: &str, schema: &str, change: &dyn Fn(&mut Server)| {
        let mut plan = server.plan(user, "shop");
        change(&mut plan);
        let mut source = source(plan);
        source.state = backflow_core::plan::StateLocation::Schema(schema.into());
        source
    };
    let refused = async |plan: &SourcePlan, code: Code, cure: &[&str]| {
        let failure = check(plan, &*server).await.unwrap_err();
        assert_eq!(failure.code, code, "{failure}");
        for text in cure {
            assert!(failure.message.contains(text), "no {text} in: {failure}");
        }
    };
    let as_is = |_: &mut Server| {};

    let version = check(&with("maker", "c_state", &as_is), &*server).await.unwrap();
    assert!(version.starts_with("MariaDB 1") && !version.contains('-'), "{version}");
    assert!(server.query("SHOW DATABASES LIKE 'c\\_state'").unwrap().is_empty(), "a check makes nothing");

    let create = "CREATE DATABASE `c_state`; GRANT CREATE, SELECT, INSERT, DELETE ON `c_state`.* TO `reader`@'%'";
    refused(&with("reader", "c_state", &as_is), Code::StateSchemaMissing, &[create]).await;
    let prepared = open(&with("maker", "c_state", &as_is), &*server, "backflow/run").await.unwrap().state();
    prepared.prepare().await.unwrap();
    check(&with("maker", "c_state", &as_is), &*server).await.unwrap();
    // Tables of another user: usable only with grants, and then also without CREATE.
    let grant = "GRANT CREATE, SELECT, INSERT, DELETE ON `c_state`.* TO `late`@'%'";
    server.exec("GRANT SELECT ON c_state.* TO late").unwrap();
    refused(&with("late", "c_state", &as_is), Code::PermissionDenied, &[grant]).await;
    server.exec("GRANT INSERT, DELETE ON c_state.* TO late").unwrap();
    check(&with("late", "c_state", &as_is), &*server).await.unwrap();
    server.exec("UPDATE c_state.meta SET schema_version = 2").unwrap();
    refused(&with("late", "c_state", &as_is), Code::StateTooNew, &["update Backflow"]).await;
    server.exec("DROP DATABASE c_state").unwrap();

    let at = |change: &dyn Fn(&mut Server)| with("maker", "c_state", change);
    refused(&at(&|plan| plan.database = "absent".into()), Code::PermissionDenied, &["GRANT SELECT ON `absent`.*"])
        .await;
    refused(
        &at(&|plan| plan.database = "closed".into()),
        Code::PermissionDenied,
        &["GRANT SELECT ON `closed`.* TO `maker`@'%'"],
    )
    .await;
    server.exec("GRANT SELECT ON *.* TO late").unwrap();
    let absent = with("late", "c_state", &|plan| plan.database = "absent".into());
    refused(&absent, Code::DatabaseNotFound, &["has no database \"absent\""]).await;
    refused(
        &at(&|plan| plan.user = "nobody".into()),
        Code::AuthenticationFailed,
        &["refuses the password of user \"nobody\""],
    )
    .await;
    refused(&at(&|plan| plan.password = None), Code::AuthenticationFailed, &["set password"]).await;
    let wrong_key = SecretRef { name: "maker".into(), key: "pass".into() };
    refused(&at(&|plan| plan.password = Some(wrong_key.clone())), Code::SecretKeyNotFound, &[]).await;
    refused(&at(&|plan| plan.host = "no-such-host.invalid".into()), Code::HostNotFound, &[]).await;
    // Nothing listens on port 1.
    refused(&at(&|plan| plan.port = 1), Code::ConnectionFailed, &["refuses connections"]).await;
    refused(&at(&|plan| plan.tls.mode = TlsMode::Require), Code::TlsFailed, &["does not offer TLS"]).await;
    let canary = check(&at(&as_is), &Wrong).await.unwrap_err();
    assert_eq!(canary.code, Code::AuthenticationFailed);
    assert!(!canary.message.contains("canary"), "{canary}");
}

struct Wrong;

impl Secrets for Wrong {
    fn read(&self, _: &SecretRef) -> Result<SecretString, Failure> {
        Ok("canary".into())
    }
}

/// Secrets of the server, and certificates beside them.
struct WithCertificates<'a> {
    server: &'a MariaDb,
    certificate: String,
    key: String,
}

impl Secrets for WithCertificates<'_> {
    fn read(&self, reference: &SecretRef) -> Result<SecretString, Failure> {
        match (reference.name.as_str(), reference.key.as_str()) {
            ("client", "certificate") => Ok(self.certificate.clone().into()),
            ("client", "key") => Ok(self.key.clone().into()),
            ("client", _) => Ok("not a certificate".into()),
            ("foreign", _) => {
                let dir = tempfile::tempdir().unwrap();
                Ok(backflow_tests::certificates::Authority::new(dir.path()).unwrap().certificate().into())
            }
            _ => self.server.read(reference),
        }
    }
}

fn secret(name: &str, key: &str) -> Option<SecretRef> {
    Some(SecretRef { name: name.into(), key: key.into() })
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_proves_what_its_mode_says() {
    let server = MariaDb::start_with(ServerTls::Good).await.unwrap();
    for user in ["encrypted", "certified"] {
        server.user(user).unwrap();
        server.exec(&format!("GRANT SELECT ON shop.* TO {user}")).unwrap();
    }
    server.exec("ALTER USER encrypted REQUIRE SSL; ALTER USER certified REQUIRE X509").unwrap();
    let (certificate, key) = server.authority().client("certified").unwrap();
    let secrets = WithCertificates { server: &server, certificate, key };
    let connect = async |user: &str, mode: TlsMode, ca: Option<SecretRef>, client: Option<SecretRef>| {
        let mut plan = server.plan(user, "shop");
        plan.tls.mode = mode;
        plan.tls.ca = ca;
        plan.tls.client_key = client.as_ref().and_then(|_| secret("client", "key"));
        plan.tls.client_certificate = client;
        open(&source(plan), &secrets, "backflow/tls").await?.server().await
    };
    let code = |result: Result<String, Failure>| result.unwrap_err().code;
    let ca = || secret("authority", "ca");

    let plain = connect("encrypted", TlsMode::Disable, None, None).await.unwrap_err();
    assert_eq!(plain.code, Code::AuthenticationFailed);
    assert!(plain.message.contains("set tls.mode"), "{plain}");
    connect("encrypted", TlsMode::Require, None, None).await.unwrap();
    for mode in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
        connect("encrypted", mode, ca(), None).await.unwrap();
        for unknown in [None, secret("foreign", "ca"), secret("client", "broken")] {
            assert_eq!(code(connect("encrypted", mode, unknown, None).await), Code::TlsFailed);
        }
        assert_eq!(code(connect("encrypted", mode, secret("absent", "ca"), None).await), Code::SecretNotFound);
    }
    connect("certified", TlsMode::VerifyFull, ca(), secret("client", "certificate")).await.unwrap();
    let wanted = connect("certified", TlsMode::VerifyFull, ca(), None).await.unwrap_err();
    assert_eq!(wanted.code, Code::AuthenticationFailed);
    assert!(wanted.message.contains("tls.clientCertificate"), "{wanted}");
    assert_eq!(code(connect("certified", TlsMode::Require, None, secret("client", "broken")).await), Code::TlsFailed);

    server.restart_with(ServerTls::WrongHost).await.unwrap();
    connect("encrypted", TlsMode::Require, None, None).await.unwrap();
    connect("encrypted", TlsMode::VerifyCa, ca(), None).await.unwrap();
    let host = connect("encrypted", TlsMode::VerifyFull, ca(), None).await.unwrap_err();
    assert_eq!(host.code, Code::TlsFailed);
    assert!(host.message.contains("not for host \"127.0.0.1\""), "{host}");

    server.restart_with(ServerTls::Expired).await.unwrap();
    let expired = connect("encrypted", TlsMode::VerifyFull, ca(), None).await.unwrap_err();
    assert_eq!(expired.code, Code::TlsFailed);
    assert!(expired.message.contains("expired"), "{expired}");
}

#[tokio::test(flavor = "multi_thread")]
async fn state_conforms() {
    let server = server().await;
    server.user("keeper").unwrap();
    server.exec("GRANT SELECT ON shop.* TO keeper; GRANT ALL ON `kept\\_state`.* TO keeper").unwrap();
    let mut plan = server.source("keeper", "shop");
    plan.state = backflow_core::plan::StateLocation::Schema("kept_state".into());
    let one = open(&plan, &*server, "backflow/one").await.unwrap();
    let other = open(&plan, &*server, "backflow/other").await.unwrap();
    state_conformance::check(one.state(), other.state()).await;
    assert_eq!(server.query("SHOW TABLES IN kept_state").unwrap(), [["meta"], ["objects"]]);
}
