//! Brings an image to the nodes of whichever cluster is in use.

use std::process::Command;

use anyhow::{Result, bail};

use super::layout::Layout;
use super::{Cluster, Kind};
use crate::oci::Archive;
use crate::process::{find, require, run};

impl Cluster {
    /// Loads an image so that pods can name it; returns the reference that they should use.
    ///
    /// # Errors
    /// The import failed, or the cluster is of a kind that offers no way to load an image: then it must be pushed to
    /// a registry that the cluster reaches, and its name given in `BACKFLOW_IMAGE`.
    pub fn load(&self, archive: &Archive) -> Result<String> {
        if let Kind::Own(layout) = &self.kind {
            let mut import = self.ctr(layout)?;
            run(import.args(["images", "import"]).arg(&archive.path))?;
            // A tag that never moves: a pod cannot run an older build by accident.
            let mut tag = self.ctr(layout)?;
            run(tag.args(["images", "tag", "--force", &archive.reference, &archive.content_reference]))?;
            return Ok(archive.content_reference.clone());
        }
        if let Some(pushed) = std::env::var("BACKFLOW_IMAGE").ok().filter(|image| !image.is_empty()) {
            return Ok(pushed);
        }
        let context = run(self.kubectl().args(["config", "current-context"]))?;
        let context = context.trim();
        let mut command = match context.split_once('-') {
            Some(("kind", name)) => loader("kind", &["load", "image-archive", "--name", name])?,
            Some(("k3d", name)) => loader("k3d", &["image", "import", "--cluster", name])?,
            _ if context == "minikube" => loader("minikube", &["image", "load"])?,
            _ => bail!(
                "no way is known to load an image into the cluster of context `{context}`: push {} to a registry it \
                 reaches and name it in BACKFLOW_IMAGE",
                archive.path.display()
            ),
        };
        run(command.arg(&archive.path))?;
        Ok(archive.reference.clone())
    }

    /// `ctr`, in the namespace where the kubelet looks for images.
    pub(super) fn ctr(&self, layout: &Layout) -> Result<Command> {
        let mut ctr = Command::new(require("ctr")?);
        ctr.arg("--address").arg(layout.socket()).args(["--namespace", "k8s.io"]);
        Ok(ctr)
    }
}

fn loader(program: &str, args: &[&str]) -> Result<Command> {
    let Some(path) = find(program) else {
        bail!("the cluster was made by `{program}`, which is not installed here, so the image cannot be loaded");
    };
    let mut command = Command::new(path);
    command.args(args);
    Ok(command)
}
