//! From the driver's errors to codes and sentences of our own. The server's text is never passed on: it may quote a row.

use std::io::ErrorKind;

use backflow_core::code::{Code, Failure};
use backflow_core::plan::TlsMode;
use rustls::CertificateError;
use sqlx::Error;
use sqlx::postgres::PgDatabaseError;

use super::connect::Target;
use crate::quote;

/// Why no connection came about.
pub(crate) fn connect(error: &Error, target: &Target) -> Failure {
    let (code, sentence) = match error {
        Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => refused(error, target),
            None => (Code::ConnectionFailed, unexpected(target)),
        },
        Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => (Code::TlsFailed, tls(error, target)),
            None => (Code::ConnectionFailed, no_connection(error.kind(), target)),
        },
        Error::Tls(error) => match error.downcast_ref::<rustls::Error>() {
            Some(error) => (Code::TlsFailed, tls(error, target)),
            None => (
                Code::TlsFailed,
                format!(
                    "{} does not offer TLS, and {tls_mode} is {}; enable TLS on the server, or set {tls_mode}: Disable if the network is trusted",
                    target.address(),
                    mode(target.tls),
                    tls_mode = target.words.tls_mode
                ),
            ),
        },
        Error::Configuration(_) => (
            Code::TlsFailed,
            "the client certificate or its key cannot be used; check that they belong together".to_owned(),
        ),
        // SCRAM fails on our side when the server's proof is wrong, and when a password cannot be normalised.
        Error::Protocol(_) => (Code::ConnectionFailed, unexpected(target)),
        _ => (Code::ConnectionFailed, unexpected(target)),
    };
    Failure::new(code, sentence)
}

fn mode(mode: TlsMode) -> &'static str {
    match mode {
        TlsMode::Disable => "Disable",
        TlsMode::Require => "Require",
        TlsMode::VerifyCa => "VerifyCa",
        TlsMode::VerifyFull => "VerifyFull",
    }
}

fn unexpected(target: &Target) -> String {
    format!("{} did not answer as {} does; check host and port", target.address(), target.words.product)
}

fn no_connection(kind: ErrorKind, target: &Target) -> String {
    let address = target.address();
    match kind {
        ErrorKind::ConnectionRefused => {
            format!("{address} refuses connections; check host and port, and that the server runs")
        }
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            format!("{address} cannot be reached; check host, port, firewall and network policy")
        }
        _ => format!(
            "{address} closed the connection while it was being made; check host and port, and the server's log"
        ),
    }
}

fn tls(error: &rustls::Error, target: &Target) -> String {
    let words = target.words;
    let address = target.address();
    match error {
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::UnknownIssuer => format!(
                "the certificate of {address} is signed by an unknown authority; {}",
                if target.has_ca {
                    format!("give the right authority in {}", words.ca)
                } else {
                    format!("give its authority in {}", words.ca)
                }
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
                "the certificate of {address} is not for host \"{}\"; use a host name that it names, or {}: VerifyCa",
                target.host, words.tls_mode
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("the certificate of {address} has expired; renew it on the server")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("the certificate of {address} is not valid yet; check it, and the clocks")
            }
            CertificateError::Revoked => format!("the certificate of {address} is revoked; renew it on the server"),
            _ => format!("the certificate of {address} cannot be accepted as a server's; check it and {}", words.ca),
        },
        rustls::Error::AlertReceived(_) if target.has_certificate => {
            format!(
                "{address} refuses the client certificate; check {}, its authority and its dates",
                words.certificate
            )
        }
        rustls::Error::AlertReceived(_) => {
            format!(
                "{address} broke TLS off; if it asks for a client certificate, give {} and {}",
                words.certificate, words.key
            )
        }
        rustls::Error::InconsistentKeys(_) => {
            format!("{} is not the key of {}; give both of one pair", words.key, words.certificate)
        }
        _ => format!("TLS with {address} failed; check that the server speaks TLS 1.2 or newer"),
    }
}

fn refused(error: &PgDatabaseError, target: &Target) -> (Code, String) {
    let Target { host, database, user, words, .. } = target;
    let address = target.address();
    match error.code() {
        "28P01" if target.has_password => (
            Code::AuthenticationFailed,
            format!("{address} refuses the password of user \"{user}\"; check user and password"),
        ),
        "28P01" => (
            Code::AuthenticationFailed,
            format!(
                "{address} asks for a password of user \"{user}\", and the {} has none; set {}",
                words.kind, words.password
            ),
        ),
        // Told apart by a word that the server does not take from any data.
        "28000" if error.message().contains("certificate") && !target.has_certificate => (
            Code::TlsFailed,
            format!(
                "{address} wants a client certificate for user \"{user}\"; give {} and {} with that name",
                words.certificate, words.key
            ),
        ),
        "28000" if error.message().contains("certificate") => (
            Code::AuthenticationFailed,
            format!(
                "{address} does not take the client certificate for user \"{user}\"; its common name must be the user's, or be mapped to it"
            ),
        ),
        "28000" if target.tls == TlsMode::Disable => (
            Code::AuthenticationFailed,
            format!(
                "{address} does not let user \"{user}\" in unencrypted from this address; set {}, or add the user to pg_hba.conf",
                words.tls_mode
            ),
        ),
        "28000" => (
            Code::AuthenticationFailed,
            format!(
                "{address} does not let user \"{user}\" in: no such role, no LOGIN, or no entry in pg_hba.conf; check user \"{user}\""
            ),
        ),
        "3D000" => (
            Code::DatabaseNotFound,
            format!("{address} has no database \"{database}\"; check database, its letters' case too"),
        ),
        "42501" => (
            Code::PermissionDenied,
            format!(
                "user \"{user}\" may not connect to database \"{database}\"; run: GRANT CONNECT ON DATABASE {} TO {}",
                quote(database),
                quote(user)
            ),
        ),
        "53300" => (
            Code::WarehouseUnavailable,
            format!(
                "{address} has no free connection; raise max_connections or the role's limit, or lower maxConcurrentSyncs"
            ),
        ),
        code if code.starts_with("57P") => {
            (Code::WarehouseUnavailable, format!("{address} is starting, stopping or in recovery; it is tried again"))
        }
        code if code.starts_with("53") => {
            (Code::WarehouseUnavailable, format!("{address} is out of resources (SQLSTATE {code}); it is tried again"))
        }
        code => {
            (Code::ConnectionFailed, format!("{host} refuses the connection (SQLSTATE {code}); see the server's log"))
        }
    }
}

/// Whether an error is of the server's state and not of the statement.
#[must_use]
pub fn transient(state: &str) -> bool {
    matches!(state.get(..2), Some("53" | "57" | "58" | "40" | "55" | "08"))
}

/// Why such a statement failed.
#[must_use]
pub fn unavailable(state: &str, target: &Target) -> Failure {
    let what = match state {
        "57014" => "cancelled the statement: a person did, or statement_timeout is too short for it",
        "40001" | "40P01" => "broke the statement off for another transaction",
        "55P03" => "did not give a lock in time",
        "53100" => "has no disk space left",
        "53200" => "has no memory left",
        "53300" => "has no free connection",
        _ if state.starts_with("57P") => "ended the connection: it restarts, or an administrator did it",
        _ => "is not able to answer now",
    };
    Failure::new(
        Code::WarehouseUnavailable,
        format!("{} {what} (SQLSTATE {state}); it is tried again", target.address()),
    )
}

/// Why a statement failed that the server did not answer.
#[must_use]
pub fn broken(error: &Error, target: &Target) -> Failure {
    match error {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed => Failure::new(
            Code::ConnectionFailed,
            format!("the connection to {} broke; it is tried again", target.address()),
        ),
        _ => Failure::new(
            Code::Internal,
            format!("{} answered in a form that this version does not read; please report it", target.address()),
        ),
    }
}

/// What the server itself says.
#[must_use]
pub fn database(error: &Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()
}
