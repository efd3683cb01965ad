//! From the errors of a bucket to codes and sentences of our own. The server's text is only searched for the words that the vendors
//! document, and never passed on.

use std::error::Error as StdError;
use std::io;

use backflow_core::code::{Code, Failure};
use object_store::Error;

/// Whose protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vendor {
    S3,
    Gcs,
    Azure,
}

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Read,
    Write,
    List,
    Remove,
}

impl Vendor {
    /// A place as the vendor's tools write it.
    pub(super) fn place(self, bucket: &str, prefix: &str) -> String {
        let scheme = match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        };
        let slash = if prefix.is_empty() { "" } else { "/" };
        format!("{scheme}://{bucket}{slash}{prefix}")
    }

    const fn member(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gcs",
            Self::Azure => "azure",
        }
    }

    /// What has to be allowed.
    const fn permission(self, action: Action) -> &'static str {
        match (self, action) {
            (Self::S3, Action::Read) => "s3:GetObject on its objects",
            (Self::S3, Action::Write) => "s3:PutObject on its objects",
            (Self::S3, Action::List) => "s3:ListBucket on the bucket",
            (Self::S3, Action::Remove) => "s3:DeleteObject on its objects",
            (Self::Gcs, Action::Read) => "storage.objects.get",
            (Self::Gcs, Action::Write) => "storage.objects.create and storage.objects.delete",
            (Self::Gcs, Action::List) => "storage.objects.list",
            (Self::Gcs, Action::Remove) => "storage.objects.delete",
            (Self::Azure, _) => "the role Storage Blob Data Contributor on the container",
        }
    }

    const fn keys(self) -> &'static str {
        match self {
            Self::S3 => "accessKeyId and secretAccessKey",
            Self::Gcs => "serviceAccountKey",
            Self::Azure => "accountKey",
        }
    }
}

/// What an error means.
pub(super) fn failure(error: &Error, action: Action, vendor: Vendor, bucket: &str, place: &str) -> Failure {
    // With all causes: the server's answer is in one of them.
    let mut text = error.to_string();
    let mut cause = StdError::source(error);
    while let Some(inner) = cause {
        text.push('\n');
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let member = vendor.member();
    let (code, sentence) = if let Some(tls) = find::<rustls::Error>(error) {
        (Code::TlsFailed, tls_sentence(tls, place))
    } else if says(&["NoSuchBucket", "ContainerNotFound", "specified bucket does not exist", "FilesystemNotFound"]) {
        let sentence =
            format!("{place}: there is no bucket or container \"{bucket}\"; create it, or mend state.store.{member}");
        (Code::StateStoreMissing, sentence)
    } else if says(&["PermanentRedirect", "AuthorizationHeaderMalformed", "incorrectly configured region"]) {
        (
            Code::StateStoreMissing,
            format!("{place} is in another region; set state.store.{member}.region to the bucket's"),
        )
    } else if says(&["RequestTimeTooSkewed"]) {
        (Code::AuthenticationFailed, format!("{place}: the clocks of the server and of this machine differ; set them"))
    } else if no_identity(&text) {
        let sentence = format!(
            "{place}: no credentials were found; give state.store.{member}.{}, or run workers under an identity of the cloud \
             (worker.serviceAccountName)",
            vendor.keys()
        );
        (Code::AuthenticationFailed, sentence)
    } else if refused(error, &says) {
        let sentence =
            format!("{place} refuses the credentials; mend state.store.{member}.{}, or its Secret", vendor.keys());
        (Code::AuthenticationFailed, sentence)
    } else if matches!(error, Error::PermissionDenied { .. }) || says(&["AccessDenied", "403 Forbidden"]) {
        (Code::PermissionDenied, format!("{place}: access is denied; allow {}", vendor.permission(action)))
    } else if says(&["QuotaExceeded", "StorageFull", "507 Insufficient", "InsufficientStorage"]) {
        (Code::StateStoreUnavailable, format!("{place} is full; make room there"))
    } else if says(&[
        "SlowDown",
        "429 Too Many",
        "503 Service",
        "TooManyRequests",
        "ServerBusy",
        "RequestLimitExceeded",
    ]) {
        (Code::StateStoreUnavailable, format!("{place} takes no more requests for now; it is tried again"))
    } else if matches!(error, Error::NotImplemented { .. } | Error::NotSupported { .. })
        || says(&["501 Not Implemented"])
    {
        let sentence =
            format!("{place} does not support what the state needs (conditional writes, lists); use another server");
        (Code::StateStoreUnfit, sentence)
    } else {
        network(error, &text, place)
    };
    Failure::new(code, sentence)
}

/// Nobody answered who could lend an identity: the cloud's metadata service is asked last.
fn no_identity(text: &str) -> bool {
    let metadata =
        ["169.254.169.254", "169.254.170.", "metadata.google.internal", "instance metadata", "instance credentials"];
    metadata.iter().any(|word| text.contains(word))
}

fn refused(error: &Error, says: &dyn Fn(&[&str]) -> bool) -> bool {
    matches!(error, Error::Unauthenticated { .. })
        || says(&[
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "ExpiredToken",
            "InvalidToken",
            "AuthenticationFailed",
            "NotSignedUp",
            "invalid_grant",
            "InvalidIdentityToken",
            "AccessDeniedException",
            "AssumeRoleWithWebIdentity",
        ])
}

fn network(error: &Error, text: &str, place: &str) -> (Code, String) {
    if text.contains("dns error") || text.contains("failed to lookup address") {
        return (Code::HostNotFound, format!("the host of {place} cannot be resolved; check endpoint and DNS"));
    }
    let kind = find::<io::Error>(error).map(io::Error::kind);
    let sentence = match kind {
        Some(io::ErrorKind::ConnectionRefused) => {
            format!("the server of {place} refuses connections; check endpoint, and that it runs")
        }
        _ if text.contains("timed out") || kind == Some(io::ErrorKind::TimedOut) => {
            format!("the server of {place} did not answer in time; check endpoint, network and policies")
        }
        _ if text.contains("status code: 5") => {
            return (Code::StateStoreUnavailable, format!("the server of {place} failed; it is tried again"));
        }
        _ if text.contains("status code: 4") => {
            return (
                Code::StateStoreUnfit,
                format!("the server of {place} refuses the request; check endpoint, and that it speaks this protocol"),
            );
        }
        _ if kind.is_some() || text.contains("error sending request") || text.contains("connection closed") => {
            format!("the connection to the server of {place} broke; it is tried again")
        }
        _ => format!("the server of {place} did not answer as it should; check endpoint"),
    };
    (Code::ConnectionFailed, sentence)
}

fn tls_sentence(error: &rustls::Error, place: &str) -> String {
    match error {
        rustls::Error::InvalidCertificate(_) => format!(
            "the certificate of the server of {place} does not prove it: expired, for another name, or of an authority that is not trusted here"
        ),
        rustls::Error::InvalidMessage(_) => {
            format!("the server of {place} does not speak TLS there; is endpoint meant to be http?")
        }
        _ => format!("TLS with the server of {place} failed"),
    }
}

/// The first cause of this type. An `io::Error` does not list what it wraps among its sources, so it is opened.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    if let Some(found) = error.downcast_ref::<E>() {
        return Some(found);
    }
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => find(wrapped),
        None => find(error.source()?),
    }
}
