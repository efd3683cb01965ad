//! A receiver must prove its host: by an authority that this machine trusts, for this name, and in time.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use backflow_core::authorities::{BUNDLE, FOLDER_VARIABLE};
use backflow_core::code::Code;
use backflow_core::record::Outcome;
use backflow_core::selection::Operation;
use backflow_tests::certificates::Authority;
use backflow_tests::postgres::ServerTls;
use backflow_tests::webhook::{Webhook, records};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Answers every connection's first request with 204; ends with the test's process.
fn serve(authority: &Authority, tls: ServerTls) -> String {
    let (certificate, key) = authority.server(tls).unwrap();
    let certificates = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(certificates, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/hook", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
            // Clients that do not trust this server end the handshake here.
            if stream.read(&mut [0; 65_536]).is_ok_and(|n| n > 0) {
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    url
}

#[tokio::test]
async fn a_certificate_that_proves_nothing_ends_the_run_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path()).unwrap();
    let webhook = Webhook::new(&serve(&authority, ServerTls::Good));
    let (sink, _stop) = webhook.open().unwrap();
    let delivery = sink.deliver(&records(0..3, Operation::Upsert)).await;
    assert_eq!((delivery.stop.map(|failure| failure.code), delivery.requests), (Some(Code::TlsFailed), 1));
    assert_eq!(delivery.outcomes, vec![Outcome::Retrying; 3]);
}

/// The trusted authorities are the process's, so each case is a process of its own.
#[test]
fn a_trusted_authority_is_enough_unless_name_or_time_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path()).unwrap();
    let trusted = dir.path().join("trusted.pem");
    std::fs::write(&trusted, authority.certificate()).unwrap();
    let cases = [(ServerTls::Good, "ready"), (ServerTls::WrongHost, "TlsFailed"), (ServerTls::Expired, "TlsFailed")];
    for (tls, expected) in cases {
        let printed = checked(&serve(&authority, tls), &[("SSL_CERT_FILE", &trusted)]);
        assert!(printed.contains(&format!("check: {expected}\n")), "{tls:?}: {printed}");
    }
}

/// What `worker.caBundle` rests on: a folder counts beside the file, and the file beside the folder.
#[test]
fn the_authorities_of_a_folder_are_trusted_beside_those_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let of = |name: &str| {
        let folder = dir.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let authority = Authority::new(&folder).unwrap();
        std::fs::create_dir(folder.join("trusted")).unwrap();
        std::fs::write(folder.join("trusted").join(BUNDLE), authority.certificate()).unwrap();
        (authority, folder.join("trusted"))
    };
    let ((public, roots), (own, bundle), (stranger, _)) = (of("public"), of("own"), of("stranger"));
    for (authority, expected) in [(public, "ready"), (own, "ready"), (stranger, "TlsFailed")] {
        let url = serve(&authority, ServerTls::Good);
        let printed = checked(&url, &[("SSL_CERT_FILE", &roots.join(BUNDLE)), (FOLDER_VARIABLE, &bundle)]);
        assert!(printed.contains(&format!("check: {expected}\n")), "{printed}");
    }
}

/// What another process says of a URL.
fn checked(url: &str, variables: &[(&str, &Path)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", "delivery_tls::check_says_whether_the_host_is_proven"]);
    command.env_remove(FOLDER_VARIABLE).envs(variables.iter().copied()).env("CHECK_URL", url);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// Checks the URL that it is given by the test above, else a receiver that nobody trusts.
#[tokio::test]
async fn check_says_whether_the_host_is_proven() {
    if let Ok(url) = std::env::var("CHECK_URL") {
        let result = Webhook::new(&url).check().await;
        println!("check: {}", result.map_or_else(|failure| failure.code.to_string(), |_| "ready".to_owned()));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path()).unwrap();
    let failure = Webhook::new(&serve(&authority, ServerTls::Good)).check().await.unwrap_err();
    assert_eq!(failure.code, Code::TlsFailed);
    assert!(failure.message.contains("does not prove the host"), "{failure}");
}
