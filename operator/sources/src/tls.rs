//! TLS with a server that the user names: what proves it, and what it means when that fails.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use backflow_core::code::{Code, Failure};
use backflow_core::plan::{Tls, TlsMode};
use backflow_core::secret::{SecretRef, Secrets};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use secrecy::ExposeSecret;

/// The server and what the user says of its TLS, for messages.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// `Postgres at db.internal:5432`.
    pub(crate) address: String,
    pub(crate) host: String,
    pub(crate) mode: TlsMode,
    pub(crate) has_certificate: bool,
    pub(crate) has_ca: bool,
}

impl Peer {
    pub(crate) fn new(address: String, host: &str, tls: &Tls) -> Self {
        Self {
            address,
            host: host.to_owned(),
            mode: tls.mode,
            has_certificate: tls.client_certificate.is_some(),
            has_ca: tls.ca.is_some(),
        }
    }

    /// Why no connection came about, and what cures it.
    pub(crate) fn no_connection(&self, error: &io::Error) -> (Code, String) {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return (Code::TlsFailed, self.sentence(error));
        }
        let address = &self.address;
        let sentence = match error.kind() {
            ErrorKind::ConnectionRefused => {
                format!("{address} refuses connections; check host and port, and that the server runs")
            }
            ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                format!("{address} cannot be reached; check host, port, firewall and network policy")
            }
            _ => format!(
                "{address} closed the connection while it was being made; check host and port, and the server's log"
            ),
        };
        (Code::ConnectionFailed, sentence)
    }

    /// Why the handshake failed, and what cures it.
    pub(crate) fn sentence(&self, error: &rustls::Error) -> String {
        let Self { address, host, .. } = self;
        match error {
            rustls::Error::InvalidCertificate(reason) => match reason {
                CertificateError::UnknownIssuer => format!(
                    "the certificate of {address} is signed by an unknown authority; {}",
                    if self.has_ca { "give the right authority in tls.ca" } else { "give its authority in tls.ca" }
                ),
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
                    "the certificate of {address} is not for host \"{host}\"; use a host name that it names, or tls.mode: VerifyCa"
                ),
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    format!("the certificate of {address} has expired; renew it on the server")
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    format!("the certificate of {address} is not valid yet; check it, and the clocks")
                }
                CertificateError::Revoked => format!("the certificate of {address} is revoked; renew it on the server"),
                _ => format!("the certificate of {address} cannot be accepted as a server's; check it and tls.ca"),
            },
            rustls::Error::AlertReceived(_) if self.has_certificate => {
                format!(
                    "{address} refuses the client certificate; check tls.clientCertificate, its authority and its dates"
                )
            }
            rustls::Error::AlertReceived(_) => {
                format!(
                    "{address} broke TLS off; if it asks for a client certificate, give tls.clientCertificate and tls.clientKey"
                )
            }
            rustls::Error::InconsistentKeys(_) => {
                "tls.clientKey is not the key of tls.clientCertificate; give both of one pair".to_owned()
            }
            _ => format!("TLS with {address} failed; check that the server speaks TLS 1.2 or newer"),
        }
    }

    /// TLS is asked for, and the server has none.
    pub(crate) fn not_offered(&self) -> String {
        let mode = match self.mode {
            TlsMode::Disable => "Disable",
            TlsMode::Require => "Require",
            TlsMode::VerifyCa => "VerifyCa",
            TlsMode::VerifyFull => "VerifyFull",
        };
        format!(
            "{} does not offer TLS, and tls.mode is {mode}; enable TLS on the server, or set tls.mode: Disable if the network is trusted",
            self.address
        )
    }
}

/// What a client proves and wants proven; `None` without encryption.
///
/// # Errors
/// `TlsFailed` for what is no certificate or key, and where no certificate authorities are found; what [`Secrets::read`] says.
pub(crate) fn client(tls: &Tls, peer: &Peer, secrets: &dyn Secrets) -> Result<Option<ClientConfig>, Failure> {
    let failed = |error: &rustls::Error| Failure::new(Code::TlsFailed, peer.sentence(error));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let signed = match tls.mode {
        TlsMode::Disable => return Ok(None),
        TlsMode::Require => None,
        TlsMode::VerifyCa | TlsMode::VerifyFull => Some(authorities(tls, &provider, secrets)?),
    };
    let verifier: Arc<dyn ServerCertVerifier> = match (tls.mode, signed) {
        (TlsMode::VerifyFull, Some(signed)) => signed,
        (_, signed) => Arc::new(AnyName { signed, provider: Arc::clone(&provider) }),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match (&tls.client_certificate, &tls.client_key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(&pem_certificates(secrets, certificate)?);
            let key =
                PrivateKeyDer::from_pem_slice(&pem_key(secrets, key)?).map_err(|_| not_pem(key, "private key"))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| failed(&error))?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => return Err(not_a_pair()),
    };
    Ok(Some(config))
}

/// Who may sign the server's certificate: those of `tls.ca`, else those that the system trusts.
fn authorities(
    tls: &Tls,
    provider: &Arc<CryptoProvider>,
    secrets: &dyn Secrets,
) -> Result<Arc<dyn ServerCertVerifier>, Failure> {
    let Some(ca) = &tls.ca else {
        let system = rustls_platform_verifier::Verifier::new(Arc::clone(provider)).map_err(|_| no_authorities())?;
        return Ok(Arc::new(system));
    };
    let mut roots = RootCertStore::empty();
    let (_, unusable) = roots.add_parsable_certificates(certificates(&pem_certificates(secrets, ca)?));
    if roots.is_empty() || unusable > 0 {
        return Err(not_pem(ca, "certificate of an authority"));
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    Ok(verifier.map_err(|_| not_pem(ca, "certificate of an authority"))?)
}

fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).flatten().collect()
}

/// The PEM of certificates, checked.
pub(crate) fn pem_certificates(secrets: &dyn Secrets, reference: &SecretRef) -> Result<Vec<u8>, Failure> {
    let pem = secrets.read(reference)?.expose_secret().as_bytes().to_vec();
    let mut found = CertificateDer::pem_slice_iter(&pem).peekable();
    if found.peek().is_none() || found.any(|certificate| certificate.is_err()) {
        return Err(not_pem(reference, "certificate"));
    }
    Ok(pem)
}

/// The PEM of a private key, checked.
pub(crate) fn pem_key(secrets: &dyn Secrets, reference: &SecretRef) -> Result<Vec<u8>, Failure> {
    let pem = secrets.read(reference)?.expose_secret().as_bytes().to_vec();
    if PrivateKeyDer::from_pem_slice(&pem).is_err() {
        return Err(not_pem(reference, "private key"));
    }
    Ok(pem)
}

/// A client's certificate without its key, or the other way round.
pub(crate) fn not_a_pair() -> Failure {
    Failure::new(Code::TlsFailed, "tls.clientCertificate and tls.clientKey belong together; give both or none")
}

/// There is nobody whom this machine trusts.
pub(crate) fn no_authorities() -> Failure {
    let message = "no certificate authorities are found on this machine, so no host can prove itself by TLS; install the package \
                   ca-certificates, or set SSL_CERT_FILE";
    Failure::new(Code::TlsFailed, message)
}

fn not_pem(reference: &SecretRef, what: &str) -> Failure {
    Failure::new(
        Code::TlsFailed,
        format!("key \"{}\" of Secret \"{}\" is not a PEM {what}", reference.key, reference.name),
    )
}

/// Takes a certificate for any host: one that is signed by an authority, or any at all.
#[derive(Debug)]
struct AnyName {
    signed: Option<Arc<dyn ServerCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(signed) = &self.signed else { return Ok(ServerCertVerified::assertion()) };
        match signed.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
