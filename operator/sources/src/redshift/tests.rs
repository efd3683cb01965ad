//! Passwords of AWS's, each against a script of answers.

use backflow_core::code::Code;
use backflow_core::plan::{RedshiftCredential, RedshiftIam, RedshiftTarget, Tls};
use backflow_core::sigv4::{SigV4, Signable};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::api::{Aws, Key, Login};
use super::*;
use crate::rest::script::{Answer, Asked, Script};

fn iam(target: RedshiftTarget, role: Option<&str>) -> RedshiftIam {
    RedshiftIam { region: "eu-central-1".into(), target, role_arn: role.map(Into::into) }
}

fn cluster() -> RedshiftTarget {
    RedshiftTarget::Cluster("analytics".into())
}

fn workgroup() -> RedshiftTarget {
    RedshiftTarget::Workgroup("analytics".into())
}

fn key() -> Key {
    Key { id: "AKID".into(), secret: "s3cr3t-key".into(), token: Some("s3cr3t-token".into()) }
}

async fn login(iam: RedshiftIam, answers: impl IntoIterator<Item = Answer>) -> (Script, Result<Login, Failure>) {
    let script = Script::start(answers).await;
    let plan = Redshift {
        host: "h".into(),
        port: 5439,
        database: "dev".into(),
        user: "backflow".into(),
        credential: RedshiftCredential::Iam(iam.clone()),
        tls: Tls::default(),
        endpoint: Some(script.endpoint.clone()),
    };
    let login = Aws::new(&plan, &iam).unwrap().login_by(key(), "backflow", "dev").await;
    (script, login)
}

fn given() -> Answer {
    let xml = "<GetClusterCredentialsResponse><GetClusterCredentialsResult><DbUser>IAM:backflow</DbUser>\
               <DbPassword>p&amp;w&lt;d</DbPassword><Expiration>2030-01-01T00:00:00Z</Expiration></GetClusterCredentialsResult>\
               </GetClusterCredentialsResponse>";
    Answer::text(200, xml)
}

/// That a request is signed by a key, as it arrived.
fn signed(asked: &Asked, service: &str, id: &str, secret: &str, token: Option<&str>) {
    let signer = SigV4 {
        service: service.into(),
        region: "eu-central-1".into(),
        access_key_id: id.into(),
        secret_access_key: secret.to_owned().into(),
        session_token: token.map(|token| token.to_owned().into()),
    };
    let kept = ["content-type", "x-amz-target"];
    let headers: Vec<(String, String)> =
        asked.headers.iter().filter(|(name, _)| kept.contains(&name.as_str())).cloned().collect();
    let host = asked.header("host").unwrap();
    let (path, body) = (asked.path.as_str(), asked.text.as_bytes());
    let request = Signable { method: &asked.method, host, path, query: &[], headers: &headers, body };
    let date = asked.header("x-amz-date").unwrap();
    let at =
        format!("{}-{}-{}T{}:{}:{}Z", &date[..4], &date[4..6], &date[6..8], &date[9..11], &date[11..13], &date[13..15]);
    let expected = signer.sign(&request, at.parse().unwrap());
    assert_eq!(asked.header("authorization"), Some(expected.authorization.expose_secret()));
    assert_eq!(asked.header("x-amz-security-token"), token);
}

#[tokio::test]
async fn a_cluster_gives_a_password_for_a_user() {
    let (script, login) = login(iam(cluster(), None), [given()]).await;
    let login = login.unwrap();
    assert_eq!((login.user.as_str(), login.password.expose_secret()), ("IAM:backflow", "p&w<d"));
    assert_eq!(login.until, 1_893_456_000);
    let asked = &script.asked()[0];
    assert_eq!(
        asked.text,
        "Action=GetClusterCredentials&Version=2012-12-01&ClusterIdentifier=analytics&DbUser=backflow&DbName=dev&DurationSeconds=3600&AutoCreate=false"
    );
    signed(asked, "redshift", "AKID", "s3cr3t-key", Some("s3cr3t-token"));
}

#[tokio::test]
async fn a_workgroup_gives_a_user_and_its_password() {
    let answer = Answer::json(200, &json!({"dbUser": "IAMR:reader", "dbPassword": "pw", "expiration": 1.9e9}));
    let (script, login) = login(iam(workgroup(), None), [answer]).await;
    let login = login.unwrap();
    assert_eq!((login.user.as_str(), login.password.expose_secret()), ("IAMR:reader", "pw"));
    let asked = &script.asked()[0];
    assert_eq!(asked.header("x-amz-target"), Some("RedshiftServerless.GetCredentials"));
    assert_eq!(asked.header("content-type"), Some("application/x-amz-json-1.1"));
    assert_eq!(asked.body, json!({"workgroupName": "analytics", "dbName": "dev", "durationSeconds": 3600}));
    signed(asked, "redshift-serverless", "AKID", "s3cr3t-key", Some("s3cr3t-token"));
}

#[tokio::test]
async fn a_role_is_assumed_first() {
    let role = "arn:aws:iam::123456789012:role/reader";
    let assumed = Answer::text(
        200,
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>other</SecretAccessKey>\
         <SessionToken>session</SessionToken></Credentials></AssumeRoleResult></AssumeRoleResponse>",
    );
    let (script, login) = login(iam(cluster(), Some(role)), [assumed, given()]).await;
    login.unwrap();
    let asked = script.asked();
    assert!(
        asked[0].text.contains("Action=AssumeRole&")
            && asked[0].text.contains("arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Freader")
    );
    signed(&asked[0], "sts", "AKID", "s3cr3t-key", Some("s3cr3t-token"));
    signed(&asked[1], "redshift", "ASIA", "other", Some("session"));
}

#[tokio::test]
async fn what_aws_refuses_is_told_with_its_cure() {
    let xml = |status, code: &str, message: &str| {
        let text = format!(
            "<ErrorResponse><Error><Code>{code}</Code><Message>{message} s3cr3t</Message></Error></ErrorResponse>"
        );
        Answer::text(status, text)
    };
    let typed = |status, kind: &str| {
        Answer::json(status, &json!({"__type": format!("com.amazonaws#{kind}"), "message": "s3cr3t"}))
    };
    let role = "arn:aws:iam::123456789012:role/reader";
    let cases = [
        (cluster(), None, xml(403, "AccessDenied", "x"), Code::PermissionDenied, "redshift:GetClusterCredentials"),
        (
            workgroup(),
            None,
            typed(400, "AccessDeniedException"),
            Code::PermissionDenied,
            "redshift-serverless:GetCredentials",
        ),
        (
            cluster(),
            Some(role),
            xml(403, "AccessDenied", "not authorized to perform: sts:AssumeRole"),
            Code::PermissionDenied,
            "trust policy",
        ),
        (
            cluster(),
            None,
            xml(404, "ClusterNotFound", "x"),
            Code::DatabaseNotFound,
            "cluster analytics in eu-central-1",
        ),
        (workgroup(), None, typed(400, "ResourceNotFoundException"), Code::DatabaseNotFound, "workgroup analytics"),
        (
            cluster(),
            None,
            xml(403, "InvalidClientTokenId", "x"),
            Code::AuthenticationFailed,
            "expired, revoked or wrong",
        ),
        (cluster(), None, xml(403, "SignatureDoesNotMatch", "x"), Code::AuthenticationFailed, "the clock"),
        (cluster(), None, xml(400, "Throttling", "x"), Code::WarehouseUnavailable, "tried again"),
        (cluster(), None, xml(400, "Other", "x"), Code::AuthenticationFailed, "HTTP 400"),
        (cluster(), None, Answer::text(200, "<html>s3cr3t</html>"), Code::ConnectionFailed, "something else"),
        (cluster(), None, given().cut(60), Code::ConnectionFailed, "broke the connection"),
    ];
    for (target, role, answer, code, said) in cases {
        let (_script, login) = login(iam(target, role), [answer]).await;
        let failure = login.err().unwrap();
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(said), "no {said} in: {failure}");
        assert!(!failure.message.contains("s3cr3t"), "{failure}");
    }
}
