//! What a failed request means.

use std::error::Error;
use std::io;
use std::time::Duration;

use backflow_core::code::{Code, Failure};
use reqwest::Url;

use crate::address::{Forbidden, NotFound};
use crate::delivery::Trouble;

/// `cure`: what the user looks at when the host is wrong.
pub(super) fn trouble(url: &Url, error: &reqwest::Error, connect: Duration, cure: &str) -> Trouble {
    let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
    let unreachable = |message: String| Trouble::unsent(Failure::new(Code::DestinationUnreachable, message));
    if let Some(Forbidden { private }) = find(error) {
        let kind = if *private { "private" } else { "loopback, link-local or metadata" };
        let message = format!(
            "{host} resolves to a {kind} address, which is never called for this destination; name a Service or a public host"
        );
        return Trouble::fatal(Failure::new(Code::AddressForbidden, message));
    }
    if find::<NotFound>(error).is_some() {
        return unreachable(format!("the host {host} cannot be resolved; check {cure} and the cluster's DNS"));
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return tls_trouble(host, port, tls, cure);
    }
    if find::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        return unreachable(format!(
            "{host} refuses connections at port {port}; check {cure}, and that the receiver runs"
        ));
    }
    if error.is_connect() {
        let seconds = connect.as_secs();
        return unreachable(match error.is_timeout() {
            true => format!(
                "{host} did not accept a connection at port {port} within {seconds} s; check network and policies"
            ),
            false => {
                format!("no connection to {host} at port {port} could be made; check {cure}, network and policies")
            }
        });
    }
    let message = format!("{host} broke the connection before it answered");
    Trouble::perhaps_arrived(Failure::new(Code::DestinationUnreachable, message))
}

/// The first cause of this type. An `io::Error` does not list what it wraps among its sources, so it is opened.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    if let Some(found) = error.downcast_ref::<E>() {
        return Some(found);
    }
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => find(wrapped),
        None => find(error.source()?),
    }
}

fn tls_trouble(host: &str, port: u16, error: &rustls::Error, cure: &str) -> Trouble {
    match error {
        rustls::Error::InvalidCertificate(_) => Trouble::fatal(Failure::new(
            Code::TlsFailed,
            format!(
                "the certificate of {host} does not prove the host: expired, for another name, or of an authority that is not \
                 trusted here (worker.caBundle adds some)"
            ),
        )),
        rustls::Error::InvalidMessage(_) => Trouble::fatal(Failure::new(
            Code::TlsFailed,
            format!("{host} does not speak TLS at port {port}; is {cure} meant to be http?"),
        )),
        _ => {
            // It may have broken in the middle of a request.
            let message = format!("TLS with {host} at port {port} failed");
            Trouble::perhaps_arrived(Failure::new(Code::TlsFailed, message))
        }
    }
}
