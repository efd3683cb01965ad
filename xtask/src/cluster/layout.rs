//! Names, addresses and files of the running test cluster.

use std::path::PathBuf;

use crate::workspace::Workspace;

/// The node's name.
pub(super) const NODE: &str = "backflow";
/// The node's address, on a bridge of its own. Pods reach processes of this machine at it.
pub const NODE_ADDRESS: &str = "172.30.0.1";
/// The bridge that carries the address: some kernels have no `dummy` links.
pub(super) const BRIDGE: &str = "backflow0";
/// Addresses of pods.
pub const POD_CIDR: &str = "10.244.0.0/16";
/// Addresses of Services.
pub(super) const SERVICE_CIDR: &str = "10.96.0.0/16";
/// The cluster's own DNS; assets/coredns.yaml asks for the same address.
pub(super) const DNS_ADDRESS: &str = "10.96.0.10";
/// Where the API server listens: not 6443, which another cluster on this machine may hold.
pub(super) const API_PORT: u16 = 17443;
/// Name of the pod network; the CNI plugins name their files after it.
pub(super) const NETWORK: &str = "backflow-pods";

/// The folder of the running cluster; everything in it goes away with it, but for the certificates.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// `cluster/run` in the cache.
    pub(super) run: PathBuf,
    /// Certificates and keys. They outlive `down`, so that an exported `KUBECONFIG` stays right.
    pub(super) pki: PathBuf,
    /// Taken by whoever starts or stops the cluster.
    pub(super) lock: PathBuf,
}

impl Layout {
    /// The files of this user's cluster.
    #[must_use]
    pub(super) fn of(workspace: &Workspace) -> Self {
        let folder = workspace.cache.join("cluster");
        Self { run: folder.join("run"), pki: folder.join("pki"), lock: folder.join("lock") }
    }

    /// A file or folder of the running cluster.
    #[must_use]
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.run.join(name)
    }

    /// Whether a cluster runs or has left something: `down` removes all but the logs.
    pub(super) fn leftovers(&self) -> bool {
        self.path("etcd").exists()
    }

    /// What `KUBECONFIG` must name to reach the cluster as its administrator.
    #[must_use]
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.pki.join("admin.kubeconfig")
    }

    /// containerd's socket.
    #[must_use]
    pub(super) fn socket(&self) -> PathBuf {
        self.path("containerd.sock")
    }

    /// The log of a component.
    #[must_use]
    pub(super) fn log(&self, component: &str) -> PathBuf {
        self.path("log").join(format!("{component}.log"))
    }

    /// The file that remembers a component's process.
    #[must_use]
    pub(super) fn pid_file(&self, component: &str) -> PathBuf {
        self.path(&format!("{component}.pid"))
    }
}
