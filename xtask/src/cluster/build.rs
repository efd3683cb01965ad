//! Builds the test cluster's programs and images, once, into the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::versions::{COREDNS, Module, PAUSE, PAUSE_SOURCE, PROGRAMS, Program, key, linker_flags};
use crate::oci::{File, Image, digest};
use crate::process::{require, run};
use crate::steps::step;
use crate::workspace::Workspace;

/// A build in the cache.
#[derive(Clone, Debug)]
pub struct Build {
    folder: PathBuf,
}

impl Build {
    /// The folder of the present recipe, built or not.
    #[must_use]
    pub fn locate(workspace: &Workspace) -> Self {
        Self { folder: workspace.cache.join("cluster").join(key()) }
    }

    /// A program of the build.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs().join(name)
    }

    /// Where its programs are.
    #[must_use]
    pub fn programs(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// An image of the build, as an OCI archive.
    #[must_use]
    pub fn image(&self, name: &str) -> PathBuf {
        self.folder.join("images").join(format!("{name}.tar"))
    }

    /// The API's schemas for `kubeconform`, made from the sources of the same Kubernetes by what has this text.
    #[must_use]
    pub fn schemas(&self, maker: &[u8]) -> PathBuf {
        self.folder.join(format!("schemas-{:.8}", digest(maker)))
    }

    /// Builds what tools a cluster's user needs: kubectl, helm, kubeconform.
    ///
    /// # Errors
    /// A download or a build failed.
    pub fn tools(&self) -> Result<()> {
        PROGRAMS.iter().filter(|program| !program.server).try_for_each(|program| self.ensure(program))
    }

    /// Builds an API server and what it stores in.
    ///
    /// # Errors
    /// A download or a build failed.
    pub fn api_server(&self) -> Result<()> {
        let wanted = |program: &&Program| ["etcd", "kube-apiserver"].contains(&program.name);
        PROGRAMS.iter().filter(wanted).try_for_each(|program| self.ensure(program))
    }

    /// Builds everything, the images included. What is there already costs nothing.
    ///
    /// # Errors
    /// A download or a build failed.
    pub fn everything(&self) -> Result<()> {
        PROGRAMS.iter().try_for_each(|program| self.ensure(program))?;
        if !self.image("pause").exists() {
            step("image pause", || self.pause_image())?;
        }
        if !self.image("coredns").exists() {
            step("image coredns", || {
                let binary = fs::read(self.program("coredns"))?;
                self.scratch_image("coredns", COREDNS, "0:0", binary)
            })?;
        }
        Ok(())
    }

    /// The folder of a module's sources in Go's own cache.
    ///
    /// # Errors
    /// The download failed.
    pub fn module_folder(&self, program: &Program) -> Result<PathBuf> {
        let folder = self.prepare(program.module)?;
        let module = program.package.split("/cmd/").next().unwrap_or(program.package);
        run(go(&folder)?.args(["mod", "download", module]))?;
        let found = run(go(&folder)?.args(["list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module]))?;
        Ok(PathBuf::from(found.trim()))
    }

    fn ensure(&self, program: &Program) -> Result<()> {
        let file = self.program(program.name);
        if file.exists() {
            return Ok(());
        }
        step(&format!("build {} {}", program.name, program.version), || {
            let folder = self.prepare(program.module)?;
            fs::create_dir_all(self.folder.join("bin"))?;
            let partial = file.with_extension("partial");
            let mut build = go(&folder)?;
            build.args(["build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", &linker_flags(program)]);
            run(build.arg("-o").arg(&partial).arg(program.package))?;
            // Renamed only when whole: a build that was interrupted is not taken for a finished one.
            Ok(fs::rename(&partial, &file)?)
        })
    }

    fn prepare(&self, module: &Module) -> Result<PathBuf> {
        let folder = self.folder.join("modules").join(module.name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        fs::write(folder.join("go.mod"), module.manifest)?;
        fs::write(folder.join("go.sum"), module.sums)?;
        Ok(folder)
    }

    fn pause_image(&self) -> Result<()> {
        let folder = self.folder.join("modules/pause");
        fs::create_dir_all(&folder)?;
        let (source, binary) = (folder.join("pause.c"), folder.join("pause"));
        fs::write(&source, PAUSE_SOURCE)?;
        run(Command::new(require("gcc")?).args(["-Os", "-static", "-s", "-o"]).args([&binary, &source]))?;
        self.scratch_image("pause", PAUSE, "65535:65535", fs::read(&binary)?)
    }

    fn scratch_image(&self, name: &str, tag: &str, user: &str, binary: Vec<u8>) -> Result<()> {
        let image = Image {
            name: format!("localhost/{name}"),
            tag: tag.into(),
            files: vec![File { path: format!("/{name}"), mode: 0o755, content: binary }],
            links: Vec::new(),
            user: user.into(),
            entrypoint: vec![format!("/{name}")],
            env: Vec::new(),
            compress: false,
        };
        image.write(&self.image(name)).map(drop)
    }
}

/// `go`, static and independent of the user's own Go settings.
fn go(folder: &Path) -> Result<Command> {
    let mut go = Command::new(require("go").context("Go 1.26 or newer is needed: see https://go.dev/dl")?);
    go.current_dir(folder).env("CGO_ENABLED", "0").env("GOFLAGS", "").env("GOWORK", "off");
    Ok(go)
}
