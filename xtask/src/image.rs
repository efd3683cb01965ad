//! The one image: the service binary, static and stripped, under its two names, and the public CA roots. Nothing else: no shell, no libc.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::cluster::Cluster;
use crate::oci::{Archive, File, Image, Link};
use crate::packages::{self, Purpose};
use crate::process::{require, run};
use crate::steps::{say, step};
use crate::workspace::{VERSION, Workspace};

/// The image's name without tag.
const NAME: &str = "localhost/backflow";
/// The binary.
const BINARY: &str = "backflow-operator";
/// What it is called by; the first is what the image starts.
const NAMES: [&str; 2] = ["backflow-controller", "backflow-worker"];
/// The most bytes that the unpacked image may have.
const LIMIT: u64 = 40 * 1000 * 1000;
/// Where OpenSSL's users and rustls's look for roots on Debian. `SSL_CERT_FILE` names another file.
const ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Builds the binaries and writes the image to `target/image`.
///
/// # Errors
/// A program is missing, the build fails, or the image is above its limit.
pub fn build(workspace: &Workspace, install: bool) -> Result<Archive> {
    packages::ensure(&[Purpose::Build], install)?;
    let [program] = step("compile controller and worker", || workspace.programs([BINARY]))?;
    let archive = step("write the image", || {
        let folder = workspace.output().join("image");
        let content = fs::read(strip(&program, &folder)?)?;
        let files = vec![
            File { path: ROOTS.into(), mode: 0o644, content: public_roots().into_bytes() },
            File { path: format!("/{BINARY}"), mode: 0o755, content },
        ];
        let image = Image {
            name: NAME.into(),
            tag: VERSION.into(),
            files,
            links: NAMES.map(|name| Link { path: format!("/{name}"), target: BINARY.into() }).to_vec(),
            user: "65532:65532".into(),
            entrypoint: vec![format!("/{}", NAMES[0])],
            // Memory that is free goes back at once: what a pod's limit counts is what is in use.
            env: vec![format!("SSL_CERT_FILE={ROOTS}"), "MIMALLOC_PURGE_DELAY=0".into()],
            compress: true,
        };
        image.write(&folder.join(format!("backflow-{VERSION}.tar")))
    })?;
    if archive.unpacked > LIMIT {
        bail!("the image has {}, its limit is {}", megabytes(archive.unpacked), megabytes(LIMIT));
    }
    Ok(archive)
}

/// Loads the image into a cluster; returns the reference that pods should use.
///
/// # Errors
/// The cluster refuses it.
pub fn load(archive: &Archive, cluster: &Cluster) -> Result<String> {
    step("load the image into the cluster", || cluster.load(archive))
}

/// Says what was built, for people.
pub fn describe(archive: &Archive) {
    say(&format!("archive  {}", archive.path.display()));
    say(&format!("image    {}", archive.reference));
    say(&format!("         {}", archive.content_reference));
    say(&format!("size     {} compressed, {} unpacked", megabytes(archive.compressed), megabytes(archive.unpacked)));
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

/// A stripped copy: the build keeps its symbols for backtraces in tests.
fn strip(binary: &Path, folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let name = binary.file_name().context("a binary has a name")?;
    let stripped = folder.join(name);
    run(Command::new(require("strip")?).arg("-o").arg(&stripped).arg(binary))?;
    Ok(stripped)
}

/// Mozilla's roots, in the version that Cargo.lock pins: those of the build machine may differ, or hold a company's own.
fn public_roots() -> String {
    let mut pem = String::new();
    for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = STANDARD.encode(root);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, next) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = next;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_pem_with_lines_of_64() {
        let pem = public_roots();
        assert!(pem.matches("BEGIN CERTIFICATE").count() > 50);
        assert!(pem.lines().all(|line| line.len() <= 64 && !line.is_empty()));
    }

    #[test]
    fn sizes_read_like_sizes() {
        assert_eq!(megabytes(18_456_789), "18.4 MB");
        assert_eq!(megabytes(LIMIT), "40.0 MB");
    }
}
