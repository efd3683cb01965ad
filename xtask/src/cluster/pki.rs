//! Certificates and kubeconfigs of the test cluster, made at run time with openssl.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::layout::{API_PORT, Layout, NODE, NODE_ADDRESS};
use crate::process::{require, run};

/// Days the certificates are valid.
const DAYS: &str = "3650";

/// Makes the authority, one certificate per party and the key that signs service accounts' tokens, unless they are there.
///
/// # Errors
/// openssl failed or a file cannot be written.
pub(super) fn ensure(layout: &Layout) -> Result<()> {
    let pki = &layout.pki;
    // The key of service accounts is made last and stands for the whole set.
    if !pki.join("sa.pub").exists() {
        certificates(pki)?;
    }
    kubeconfig(pki, "kubelet")?;
    kubeconfig(pki, "admin")
}

fn certificates(pki: &Path) -> Result<()> {
    fs::create_dir_all(pki)?;
    fs::set_permissions(pki, fs::Permissions::from_mode(0o700))?;
    let file = |name: &str| pki.join(name);
    let authority = "[req]\ndistinguished_name = name\nprompt = no\nx509_extensions = ca\n[name]\nCN = backflow-test-ca\n\
                     [ca]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\n\
                     subjectKeyIdentifier = hash\n";
    fs::write(file("ca.conf"), authority)?;
    let mut ca = openssl()?;
    ca.args(["req", "-x509", "-days", DAYS, "-config"]).arg(file("ca.conf")).args(NEW_KEY);
    run(ca.arg("-keyout").arg(file("ca.key")).arg("-out").arg(file("ca.crt")))?;

    let server = format!(
        "IP:127.0.0.1, IP:{NODE_ADDRESS}, IP:10.96.0.1, DNS:localhost, DNS:kubernetes, DNS:kubernetes.default, \
         DNS:kubernetes.default.svc, DNS:kubernetes.default.svc.cluster.local"
    );
    certificate(pki, "apiserver", "CN = kube-apiserver", &server)?;
    certificate(pki, "admin", "O = system:masters\nCN = admin", "DNS:admin")?;
    // `kubectl logs` fails unless the kubelet's certificate names the node's address.
    let node = format!("IP:127.0.0.1, IP:{NODE_ADDRESS}, DNS:{NODE}");
    certificate(pki, "kubelet", &format!("O = system:nodes\nCN = system:node:{NODE}"), &node)?;

    let mut key = openssl()?;
    key.args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"]).arg(file("sa.key"));
    run(&mut key)?;
    run(openssl()?.args(["pkey", "-pubout", "-in"]).arg(file("sa.key")).arg("-out").arg(file("sa.pub")))?;
    Ok(())
}

const NEW_KEY: [&str; 5] = ["-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

fn openssl() -> Result<Command> {
    Ok(Command::new(require("openssl")?))
}

fn certificate(pki: &Path, name: &str, subject: &str, names: &str) -> Result<()> {
    let file = |ending: &str| pki.join(format!("{name}.{ending}"));
    let config = format!(
        "[req]\ndistinguished_name = name\nprompt = no\n[name]\n{subject}\n[leaf]\nbasicConstraints = critical, CA:FALSE\n\
         keyUsage = critical, digitalSignature\nextendedKeyUsage = serverAuth, clientAuth\nsubjectAltName = {names}\n"
    );
    fs::write(file("conf"), config)?;
    let mut request = openssl()?;
    request.args(["req", "-config"]).arg(file("conf")).args(NEW_KEY);
    run(request.arg("-keyout").arg(file("key")).arg("-out").arg(file("csr")))?;
    let mut sign = openssl()?;
    sign.args(["x509", "-req", "-days", DAYS, "-CAcreateserial", "-extensions", "leaf", "-extfile"]).arg(file("conf"));
    sign.arg("-CA").arg(pki.join("ca.crt")).arg("-CAkey").arg(pki.join("ca.key"));
    run(sign.arg("-in").arg(file("csr")).arg("-out").arg(file("crt")))?;
    Ok(())
}

/// JSON is YAML, and nothing here needs to be edited by hand.
fn kubeconfig(pki: &Path, user: &str) -> Result<()> {
    let data = |name: String| -> Result<String> {
        let path = pki.join(name);
        Ok(STANDARD.encode(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?))
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NODE, "cluster": {
            "server": format!("https://127.0.0.1:{API_PORT}"),
            "certificate-authority-data": data("ca.crt".into())?,
        }}],
        "users": [{"name": user, "user": {
            "client-certificate-data": data(format!("{user}.crt"))?,
            "client-key-data": data(format!("{user}.key"))?,
        }}],
        "contexts": [{"name": NODE, "context": {"cluster": NODE, "user": user}}],
        "current-context": NODE,
    });
    let path = pki.join(format!("{user}.kubeconfig"));
    fs::write(&path, serde_json::to_vec_pretty(&config)?)?;
    Ok(fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?)
}
