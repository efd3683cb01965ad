//! The receiver's process, started and asked.

use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use super::{Faults, Stats};
use crate::taken::{Taken, decode};
use backflow_bench_processes::Cpu;

/// How long an answer may take: a ledger of 10 million records has 320 MB.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A running receiver; it ends with this.
pub struct Client {
    child: Child,
    address: String,
    http: reqwest::Client,
}

impl Client {
    /// Starts this program as a receiver on a free port of an address.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(address: IpAddr) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["receiver", "--listen", &SocketAddr::from((address, 0)).to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("the receiver does not start")?;
        let mut address = String::new();
        let said = child.stdout.take().context("the receiver has no output")?;
        BufReader::new(said).read_line(&mut address)?;
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        Ok(Self { child, address: address.trim().to_owned(), http })
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where batches go.
    #[must_use]
    pub fn url(&self) -> String {
        self.at("/hook")
    }

    fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn clear(&self) -> anyhow::Result<()> {
        self.http.post(self.at("/clear")).send().await?.error_for_status()?;
        Ok(())
    }

    /// Fails from now on.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn faults(&self, faults: &Faults) -> anyhow::Result<()> {
        self.http.post(self.at("/faults")).json(faults).send().await?.error_for_status()?;
        Ok(())
    }

    /// What it counted.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn stats(&self) -> anyhow::Result<Stats> {
        Ok(self.http.get(self.at("/stats")).send().await?.error_for_status()?.json().await?)
    }

    /// What it took.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn taken(&self) -> anyhow::Result<Vec<Taken>> {
        decode(&self.http.get(self.at("/taken")).send().await?.error_for_status()?.bytes().await?)
    }

    /// Processor seconds that it used so far.
    ///
    /// # Errors
    /// It is gone.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        Ok(Cpu::of(self.child.id())?.own)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
