//! HTTP requests: the client, what its errors mean, and how much of an answer is read.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use backflow_core::code::{Code, Failure};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use url::Host;

use crate::address::{Forbidden, Guard, NotFound, forbidden};
use crate::delivery::{Answer, Trouble};

/// From the first packet to an open, encrypted connection; name resolution included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most of an answer's body that is read, and for how long: enough to recognise a web page and to use the connection again.
const BODY_CAP: usize = 64 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// A client for one URL: no redirects (they would carry records and credentials elsewhere), no forbidden addresses, proxies as the
/// environment says (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`), but never for loopback.
pub(crate) fn client(url: &Url, allow_loopback: bool, connections: usize) -> Result<Client, Failure> {
    let (name, literal) = match url.host() {
        Some(Host::Domain(name)) => (name.trim_end_matches('.'), None),
        Some(Host::Ipv4(address)) => ("", Some(address.into())),
        Some(Host::Ipv6(address)) => ("", Some(address.into())),
        None => return Err(Failure::new(Code::PlanInvalid, "settings.url names no host")),
    };
    if !allow_loopback && literal.is_some_and(forbidden) {
        return Err(address_forbidden(url));
    }
    let local = literal.is_some_and(|address: IpAddr| address.is_loopback()) || name.eq_ignore_ascii_case("localhost");
    let builder = || {
        let mut builder = Client::builder()
            .user_agent(concat!("backflow/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(connections);
        if local {
            builder = builder.no_proxy();
        }
        if !allow_loopback {
            builder = builder.dns_resolver(Guard { host: url.host_str().unwrap_or_default().to_owned() });
        }
        builder
    };
    // A machine without authorities can still speak plain HTTP.
    let built = builder().build().or_else(|error| match url.scheme() {
        "http" => builder().tls_certs_only([]).build(),
        _ => Err(error),
    });
    built.map_err(|_| {
        let message = "no certificate authorities are found on this machine, so no host can prove itself by TLS; install the package \
                       ca-certificates, or set SSL_CERT_FILE";
        Failure::new(Code::TlsFailed, message)
    })
}

/// Scheme, host and port: what may be shown of a URL. Its path and query are where webhooks carry tokens.
pub(crate) fn shown(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// The address rule's failure.
fn address_forbidden(url: &Url) -> Failure {
    Failure::new(
        Code::AddressForbidden,
        format!(
            "{} is a loopback, link-local or metadata address, which a run in a cluster never calls; name a Service or a public host",
            url.host_str().unwrap_or_default()
        ),
    )
}

/// What a failed request means.
pub(crate) fn trouble(url: &Url, error: &reqwest::Error) -> Trouble {
    let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
    let unreachable =
        |message: String| Trouble { failure: Failure::new(Code::DestinationUnreachable, message), fatal: false };
    if find::<Forbidden>(error).is_some() {
        return Trouble { failure: address_forbidden(url), fatal: true };
    }
    if find::<NotFound>(error).is_some() {
        return unreachable(format!("the host {host} cannot be resolved; check settings.url and the cluster's DNS"));
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return tls_trouble(host, port, tls);
    }
    if find::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        return unreachable(format!(
            "{host} refuses connections at port {port}; check settings.url, and that the receiver runs"
        ));
    }
    if error.is_connect() {
        let seconds = CONNECT_TIMEOUT.as_secs();
        return unreachable(match error.is_timeout() {
            true => format!(
                "{host} did not accept a connection at port {port} within {seconds} s; check network and policies"
            ),
            false => format!(
                "no connection to {host} at port {port} could be made; check settings.url, network and policies"
            ),
        });
    }
    unreachable(format!("{host} broke the connection before it answered"))
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

fn tls_trouble(host: &str, port: u16, error: &rustls::Error) -> Trouble {
    let (message, fatal) = match error {
        rustls::Error::InvalidCertificate(_) => (
            format!(
                "the certificate of {host} does not prove the host: expired, for another name, or of an authority that is not trusted here"
            ),
            true,
        ),
        rustls::Error::InvalidMessage(_) => {
            (format!("{host} does not speak TLS at port {port}; is settings.url meant to be http?"), true)
        }
        _ => (format!("TLS with {host} at port {port} failed"), false),
    };
    Trouble { failure: Failure::new(Code::TlsFailed, message), fatal }
}

/// Reads what counts of an answer. The body's end is waited for only shortly: the status line is the acknowledgement.
pub(crate) async fn answer(mut response: Response) -> Answer {
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers(), SystemTime::now());
    let mut body = Vec::new();
    let read = async {
        while body.len() < BODY_CAP
            && let Ok(Some(chunk)) = response.chunk().await
        {
            body.extend_from_slice(&chunk[..chunk.len().min(BODY_CAP - body.len())]);
        }
    };
    let _ = tokio::time::timeout(BODY_TIMEOUT, read).await;
    Answer { status, retry_after, html: is_html(&body) }
}

/// Whether a body is a web page. Its content type does not tell: many a small framework calls its plain `ok` text/html.
fn is_html(body: &[u8]) -> bool {
    let start = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    [&b"<!doctype html"[..], b"<html"]
        .iter()
        .any(|tag| start.len() >= tag.len() && start[..tag.len()].eq_ignore_ascii_case(tag))
}

/// `Retry-After` in either form. A date is measured from the answer's own `Date`, so that clocks may differ.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| httpdate::parse_http_date(text.trim()).ok();
    let now = headers.get(DATE).and_then(|value| value.to_str().ok()).and_then(date).unwrap_or(now);
    Some(date(text)?.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn wait(retry_after_text: &str, date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(retry_after_text).expect("header"));
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_str(date).expect("header"));
        }
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("date");
        retry_after(&headers, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_is_read_in_each_form() {
        assert_eq!(wait("7", None), Some(7));
        assert_eq!(wait(" 0 ", None), Some(0));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:00 GMT", None), Some(23));
        assert_eq!(wait("Sunday, 06-Nov-94 08:50:00 GMT", None), Some(23));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:00 GMT", None), Some(0), "in the past");
        assert_eq!(
            wait("Sun, 06 Nov 1994 09:00:10 GMT", Some("Sun, 06 Nov 1994 09:00:00 GMT")),
            Some(10),
            "the answer's clock"
        );
        for nonsense in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(wait(nonsense, None), None, "{nonsense}");
        }
    }

    #[test]
    fn web_pages_are_recognised_and_a_plain_ok_is_not_one() {
        for page in ["<!DOCTYPE html><p>", " \r\n<html lang=en>", "\u{feff}<!doctype HTML>"] {
            assert!(is_html(page.as_bytes()), "{page}");
        }
        for other in ["", "ok", "{\"a\":\"<html>\"}", "<htm", "<?xml version=\"1.0\"?>"] {
            assert!(!is_html(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn of_a_url_only_the_server_is_shown() {
        let url = Url::parse("https://u:p@example.com:8443/a/b?token=s3cret#f").expect("url");
        assert_eq!(shown(&url), "https://example.com:8443");
    }

    #[test]
    fn literal_addresses_are_judged_before_anything_is_sent() {
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://[::1]:80/",
            "http://169.254.169.254/latest",
        ] {
            let url = Url::parse(url).expect("url");
            assert_eq!(client(&url, false, 1).unwrap_err().code, Code::AddressForbidden, "{url}");
            assert!(client(&url, true, 1).is_ok(), "{url}");
        }
    }
}
