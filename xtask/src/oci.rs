//! Writes OCI images: one layer of static files, no base image, no build engine. The same files give the same digest.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Digits of the digest that make a tag: enough to tell builds apart, short enough to read.
const TAG_DIGITS: usize = 12;

/// A file of the image.
#[derive(Clone, Debug)]
pub struct File {
    /// Absolute path in the image.
    pub path: String,
    /// Permission bits; the owner is root, so that the running user cannot change it.
    pub mode: u32,
    /// The content.
    pub content: Vec<u8>,
}

/// A symbolic link of the image.
#[derive(Clone, Debug)]
pub struct Link {
    /// Absolute path in the image.
    pub path: String,
    /// What it stands for, seen from its folder.
    pub target: String,
}

/// What goes into an image.
#[derive(Clone, Debug)]
pub struct Image {
    /// `localhost/NAME`.
    pub name: String,
    /// The tag people use; a second one is derived from the content.
    pub tag: String,
    /// The files of its one layer.
    pub files: Vec<File>,
    /// Links beside them, in folders that files have.
    pub links: Vec<Link>,
    /// `UID:GID` of the process.
    pub user: String,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Environment, `NAME=value`.
    pub env: Vec<String>,
    /// Whether the layer is gzipped: for images that travel, not for those of the test cluster itself.
    pub compress: bool,
}

/// An image that was written.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The tar file.
    pub path: PathBuf,
    /// `NAME:TAG`.
    pub reference: String,
    /// `NAME:TAG-DIGEST`: what pods should name, since it never means an older build.
    pub content_reference: String,
    /// Bytes to transfer.
    pub compressed: u64,
    /// Bytes on the node's disk.
    pub unpacked: u64,
}

impl Image {
    /// Writes the image as an OCI layout in a tar file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<Archive> {
        let (tar, unpacked) = self.layer()?;
        let diff_id = digest(&tar);
        let (media_type, layer) = if self.compress {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
            gzip.write_all(&tar)?;
            ("application/vnd.oci.image.layer.v1.tar+gzip", gzip.finish()?)
        } else {
            ("application/vnd.oci.image.layer.v1.tar", tar)
        };
        let config = serde_json::to_vec(&json!({
            "created": "1970-01-01T00:00:00Z",
            "architecture": go_architecture(),
            "os": "linux",
            "config": {"User": self.user, "Env": self.env, "Entrypoint": self.entrypoint, "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{diff_id}")]},
        }))?;
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor(media_type, &layer)],
        }))?;
        let reference = format!("{}:{}", self.name, self.tag);
        let content_tag = format!("{}-{}", self.tag, &digest(&manifest)[..TAG_DIGITS]);
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        // containerd, kind and Docker read the first, podman and skopeo the second.
        entry["annotations"] =
            json!({"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": reference});
        let index = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [entry],
        }))?;
        let mut files = vec![
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json".to_owned(), index),
        ];
        let compressed = layer.len() as u64;
        files.extend([config, manifest, layer].map(|blob| (format!("blobs/sha256/{}", digest(&blob)), blob)));
        write_atomically(path, &files)?;
        let content_reference = format!("{}:{content_tag}", self.name);
        Ok(Archive { path: path.to_path_buf(), reference, content_reference, compressed, unpacked })
    }

    /// The layer's tar, and the bytes of the files in it.
    fn layer(&self) -> Result<(Vec<u8>, u64)> {
        let mut files: Vec<&File> = self.files.iter().collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut tar = tar::Builder::new(Vec::new());
        let mut folders: Vec<&Path> = Vec::new();
        let mut unpacked = 0;
        for file in files {
            let relative = Path::new(file.path.trim_start_matches('/'));
            let mut parents: Vec<&Path> = relative.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()).collect();
            parents.reverse();
            for folder in parents {
                if !folders.contains(&folder) {
                    folders.push(folder);
                    let mut header = header(tar::EntryType::Directory, 0o755, 0);
                    tar.append_data(&mut header, folder, std::io::empty())?;
                }
            }
            unpacked += file.content.len() as u64;
            let mut header = header(tar::EntryType::Regular, file.mode, file.content.len() as u64);
            tar.append_data(&mut header, relative, file.content.as_slice())?;
        }
        for link in &self.links {
            let mut header = header(tar::EntryType::Symlink, 0o777, 0);
            tar.append_link(&mut header, link.path.trim_start_matches('/'), &link.target)?;
        }
        Ok((tar.into_inner()?, unpacked))
    }
}

/// The processor's name as Go and OCI spell it.
fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A header without time, names or numbers of the building user.
fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{}", digest(blob)), "size": blob.len()})
}

/// SHA-256 in hexadecimal digits.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_atomically(path: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    let folder = path.parent().context("the archive needs a folder")?;
    fs::create_dir_all(folder)?;
    let partial = path.with_extension("partial");
    let mut tar = tar::Builder::new(fs::File::create(&partial)?);
    for (name, content) in files {
        tar.append_data(&mut header(tar::EntryType::Regular, 0o644, content.len() as u64), name, content.as_slice())?;
    }
    tar.finish()?;
    fs::rename(&partial, path).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(content: &str) -> Image {
        Image {
            name: "localhost/sample".into(),
            tag: "1.0".into(),
            files: vec![
                File { path: "/etc/ssl/roots.pem".into(), mode: 0o644, content: b"roots".to_vec() },
                File { path: "/app".into(), mode: 0o755, content: content.as_bytes().to_vec() },
            ],
            links: vec![Link { path: "/other-name".into(), target: "app".into() }],
            user: "65532:65532".into(),
            entrypoint: vec!["/app".into()],
            env: Vec::new(),
            compress: true,
        }
    }

    fn write(name: &str, content: &str) -> (Archive, Vec<u8>) {
        let path = std::env::temp_dir().join(format!("xtask-oci-{}-{name}.tar", std::process::id()));
        let archive = image(content).write(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        (archive, bytes)
    }

    #[test]
    fn same_files_same_archive_other_files_other_tag() {
        let (first, first_bytes) = write("a", "one");
        let (again, again_bytes) = write("b", "one");
        let (other, _) = write("c", "two");
        assert_eq!(first_bytes, again_bytes);
        assert_eq!(first.content_reference, again.content_reference);
        assert_eq!(first.reference, "localhost/sample:1.0");
        assert_ne!(first.content_reference, other.content_reference);
        assert!(first.content_reference.starts_with("localhost/sample:1.0-"));
        assert_eq!(first.unpacked, 8);
    }

    #[test]
    fn every_blob_is_named_by_its_digest_and_the_layer_has_its_folders() {
        let (_, bytes) = write("d", "one");
        let mut names = Vec::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut content = Vec::new();
            std::io::copy(&mut entry, &mut content).unwrap();
            if let Some(named) = name.strip_prefix("blobs/sha256/") {
                assert_eq!(named, digest(&content));
            }
            names.push(name);
        }
        assert_eq!(names.iter().filter(|name| name.starts_with("blobs/")).count(), 3);
        let (layer, _) = image("one").layer().unwrap();
        let paths: Vec<String> = tar::Archive::new(layer.as_slice())
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(paths, ["app", "etc", "etc/ssl", "etc/ssl/roots.pem", "other-name"].map(String::from));
    }
}
