//! What the test cluster is made of: Go modules with pinned sums, and one C program.

use crate::oci::digest;

/// Version of Kubernetes; the charts are checked against its schemas too.
pub const KUBERNETES: &str = "1.35.4";
/// Version of CoreDNS.
pub const COREDNS: &str = "1.15.0";

/// A Go module that pins programs and everything they are made of.
#[derive(Debug)]
pub struct Module {
    /// Folder name below the build folder.
    pub name: &'static str,
    /// Its `go.mod`.
    pub manifest: &'static str,
    /// Its `go.sum`: a download that differs is refused.
    pub sums: &'static str,
}

/// A program of the test cluster.
#[derive(Debug)]
pub struct Program {
    /// File name.
    pub name: &'static str,
    /// Its version, for people.
    pub version: &'static str,
    /// The Go package.
    pub package: &'static str,
    /// The module that pins it.
    pub module: &'static Module,
    /// Whether only a cluster of our own needs it (not one that `KUBECONFIG` names).
    pub server: bool,
}

macro_rules! module {
    ($name:literal) => {
        Module {
            name: $name,
            manifest: include_str!(concat!("../../assets/go/", $name, "/go.mod")),
            sums: include_str!(concat!("../../assets/go/", $name, "/go.sum")),
        }
    };
}

static KUBERNETES_MODULE: Module = module!("kubernetes");
// CoreDNS and Helm want other versions of the Kubernetes libraries, so each is a module of its own.
static COREDNS_MODULE: Module = module!("coredns");
static HELM_MODULE: Module = module!("helm");
static KUBECONFORM_MODULE: Module = module!("kubeconform");

macro_rules! kubernetes {
    ($name:literal, $server:literal) => {
        Program {
            name: $name,
            version: KUBERNETES,
            package: concat!("k8s.io/kubernetes/cmd/", $name),
            module: &KUBERNETES_MODULE,
            server: $server,
        }
    };
}

/// Everything that is built, in this order.
pub static PROGRAMS: [Program; 10] = [
    kubernetes!("kubectl", false),
    kubernetes!("kube-apiserver", true),
    kubernetes!("kube-controller-manager", true),
    kubernetes!("kube-scheduler", true),
    kubernetes!("kube-proxy", true),
    kubernetes!("kubelet", true),
    Program {
        name: "etcd",
        version: "3.6.5",
        package: "go.etcd.io/etcd/server/v3",
        module: &KUBERNETES_MODULE,
        server: true,
    },
    Program {
        name: "coredns",
        version: COREDNS,
        package: "github.com/coredns/coredns",
        module: &COREDNS_MODULE,
        server: true,
    },
    Program {
        name: "helm",
        version: "3.19.0",
        package: "helm.sh/helm/v3/cmd/helm",
        module: &HELM_MODULE,
        server: false,
    },
    Program {
        name: "kubeconform",
        version: "0.8.0",
        package: "github.com/yannh/kubeconform/cmd/kubeconform",
        module: &KUBECONFORM_MODULE,
        server: false,
    },
];

/// The linker's flags. A Kubernetes program that does not know its version is refused by clients, and Helm takes one
/// that it was not told for 1.20.
#[must_use]
pub fn linker_flags(program: &Program) -> String {
    let mut parts = KUBERNETES.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let variables = match program.module.name {
        "kubernetes" if program.package.starts_with("k8s.io/") => {
            let version = "k8s.io/component-base/version";
            format!(
                " -X {version}.gitVersion=v{KUBERNETES} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}"
            )
        }
        "helm" => {
            let helm = "helm.sh/helm/v3";
            format!(
                " -X {helm}/internal/version.version=v{} -X {helm}/pkg/chartutil.k8sVersionMajor={major} \
                 -X {helm}/pkg/chartutil.k8sVersionMinor={minor}",
                program.version
            )
        }
        _ => String::new(),
    };
    format!("-s -w{variables}")
}

/// The container that holds a pod's network; no Linux distribution packages it.
pub const PAUSE_SOURCE: &str = include_str!("../../assets/pause.c");
/// Version of the pause image: counts up when its source changes.
pub const PAUSE: &str = "1";

/// Names the folder of a build: other versions or another recipe, another folder.
#[must_use]
pub fn key() -> String {
    let mut recipe = String::from(PAUSE_SOURCE);
    for program in &PROGRAMS {
        for part in [program.package, program.module.manifest, program.module.sums, &linker_flags(program)] {
            recipe.push_str(part);
            recipe.push('\0');
        }
    }
    format!("{KUBERNETES}-{}", &digest(recipe.as_bytes())[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_the_one_its_module_pins() {
        for program in &PROGRAMS {
            let parts: Vec<&str> = program.package.split("/cmd/").collect();
            let pinned = format!("{} v{}", parts[0], program.version);
            assert!(program.module.manifest.contains(&pinned), "{}/go.mod lacks {pinned}", program.module.name);
        }
    }

    #[test]
    fn kubernetes_learns_its_version() {
        assert!(linker_flags(&PROGRAMS[0]).ends_with("gitMajor=1 -X k8s.io/component-base/version.gitMinor=35"));
        let etcd = PROGRAMS.iter().find(|program| program.name == "etcd").unwrap();
        assert_eq!(linker_flags(etcd), "-s -w");
    }
}
