//! What a request without an answer means.

use std::error::Error;
use std::io;

use backflow_core::code::{Code, Failure};
use reqwest::Url;

use crate::tls::Peer;

/// From a transport's error to a code and a sentence. The error's own text is only searched, never passed on.
pub(super) fn trouble(name: &str, base: &Url, peer: Option<&Peer>, error: &reqwest::Error) -> Failure {
    let host = base.host_str().unwrap_or_default();
    let mut text = String::new();
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(inner) = cause {
        text.push_str(&inner.to_string());
        text.push('\n');
        cause = inner.source();
    }
    let (code, sentence) = if let Some(tls) = find::<rustls::Error>(error) {
        // Of a server of the user's own, the sentence names it.
        match peer {
            Some(peer) => return Failure::new(Code::TlsFailed, peer.sentence(tls)),
            None => (Code::TlsFailed, tls_sentence(host, tls)),
        }
    } else if text.contains("dns error") || text.contains("failed to lookup address") {
        (Code::HostNotFound, format!("its host {host} cannot be resolved; check its name, and the cluster's DNS"))
    } else if find::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        (Code::ConnectionFailed, format!("its host {host} refuses connections; check its name, network and proxy"))
    } else if error.is_connect() {
        (
            Code::ConnectionFailed,
            format!("no connection to its host {host} could be made; check network, policies and proxy"),
        )
    } else {
        (Code::ConnectionFailed, format!("its host {host} broke the connection before it answered"))
    };
    Failure::new(code, format!("{name}: {sentence}"))
}

fn tls_sentence(host: &str, error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(_) => format!(
            "the certificate of {host} does not prove the host: expired, for another name, or of an authority that is not \
             trusted here (worker.caBundle adds some)"
        ),
        _ => format!("TLS with {host} failed"),
    }
}

/// The first cause of this type. An `io::Error` does not list what it wraps among its sources, so it is opened.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    if let Some(found) = error.downcast_ref::<E>() {
        return Some(found);
    }
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => find(wrapped),
        None => find(error.source()?),
    }
}
