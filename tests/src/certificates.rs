//! Certificates made at run time with the `openssl` program.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::postgres::ServerTls;

/// A certificate authority of one test.
#[derive(Debug)]
pub struct Authority {
    dir: PathBuf,
    certificate: String,
}

impl Authority {
    /// Makes one, its files in `dir`.
    ///
    /// # Errors
    /// If `openssl` is missing or fails.
    pub fn new(dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut authority = Self { dir: dir.to_owned(), certificate: String::new() };
        let request =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
        let names = ["-subj", "/CN=Authority of a test", "-keyout", "ca.key", "-out", "ca.crt"];
        authority.openssl(&[&request[..], &names[..]].concat())?;
        authority.certificate = authority.read("ca.crt")?;
        Ok(authority)
    }

    /// Its certificate, PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Certificate and key of a server, PEM.
    ///
    /// # Errors
    /// If `openssl` fails.
    pub fn server(&self, tls: ServerTls) -> anyhow::Result<(String, String)> {
        let names = if tls == ServerTls::WrongHost { "DNS:elsewhere.test" } else { "DNS:localhost,IP:127.0.0.1" };
        let days = if tls == ServerTls::Expired { "-1" } else { "2" };
        self.sign("server", &format!("subjectAltName={names}\nextendedKeyUsage=serverAuth\n"), days)
    }

    /// Certificate and key of a server that is all of these hosts, PEM.
    ///
    /// # Errors
    /// If `openssl` fails.
    pub fn hosts(&self, hosts: &BTreeSet<&str>) -> anyhow::Result<(String, String)> {
        let names: Vec<String> = hosts.iter().map(|host| format!("DNS:{host}")).collect();
        self.sign("hosts", &format!("subjectAltName={}\nextendedKeyUsage=serverAuth\n", names.join(",")), "2")
    }

    /// Certificate and key of a client with this common name, PEM.
    ///
    /// # Errors
    /// If `openssl` fails.
    pub fn client(&self, name: &str) -> anyhow::Result<(String, String)> {
        self.sign(name, "extendedKeyUsage=clientAuth\n", "2")
    }

    fn sign(&self, name: &str, extensions: &str, days: &str) -> anyhow::Result<(String, String)> {
        std::fs::write(self.dir.join("extensions"), extensions)?;
        let subject = format!("/CN={name}");
        let request = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        self.openssl(&[&request[..], &["-subj", &subject, "-keyout", "leaf.key", "-out", "leaf.csr"]].concat())?;
        let sign = ["x509", "-req", "-in", "leaf.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
        self.openssl(&[&sign[..], &["-days", days, "-extfile", "extensions", "-out", "leaf.crt"]].concat())?;
        Ok((self.read("leaf.crt")?, self.read("leaf.key")?))
    }

    fn openssl(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .output()
            .context("the program openssl cannot be run; apt-get install openssl")?;
        if !output.status.success() {
            bail!("openssl {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    fn read(&self, name: &str) -> anyhow::Result<String> {
        std::fs::read_to_string(self.dir.join(name)).with_context(|| name.to_owned())
    }
}
