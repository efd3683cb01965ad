//! The processes of the control plane and the node, and their flags.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};

use super::build::Build;
use super::layout::{API_PORT, Layout, NODE, NODE_ADDRESS, POD_CIDR, SERVICE_CIDR};
use crate::process::{Daemon, require, tail};

/// How long a component may take to stop before it is killed. The API server waits for its watches to end; its data
/// go away with the cluster.
const GRACE: Duration = Duration::from_secs(2);
const ETCD: &str = "http://127.0.0.1:12379";
const ETCD_PEER: &str = "http://127.0.0.1:12380";

/// Names, in the order in which they start; they stop in the reverse order.
pub(super) const COMPONENTS: [&str; 7] =
    ["etcd", "containerd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"];

/// Starts a component unless it runs.
///
/// # Errors
/// The program is missing or cannot be started.
pub(super) fn start(name: &str, layout: &Layout, build: &Build) -> Result<Daemon> {
    let pid_file = layout.pid_file(name);
    if let Some(daemon) = Daemon::running(&pid_file) {
        return Ok(daemon);
    }
    let program: PathBuf = if name == "containerd" { require(name)? } else { build.program(name) };
    fs::create_dir_all(layout.path("log"))?;
    Daemon::start(&program, &arguments(name, layout), &layout.run, &layout.log(name), &pid_file)
}

/// Stops all components that run.
pub(super) fn stop_all(layout: &Layout) {
    for name in COMPONENTS.iter().rev() {
        stop(name, layout);
    }
}

fn stop(name: &str, layout: &Layout) {
    let pid_file = layout.pid_file(name);
    if let Some(daemon) = Daemon::running(&pid_file) {
        daemon.stop(GRACE);
    }
    let _was_not_there = fs::remove_file(pid_file);
}

/// The components that run.
#[must_use]
pub(super) fn running(layout: &Layout) -> Vec<(&'static str, Daemon)> {
    COMPONENTS.iter().filter_map(|name| Some((*name, Daemon::running(&layout.pid_file(name))?))).collect()
}

/// Fails if a component has ended, with the last it said.
///
/// # Errors
/// A component is not running.
pub(super) fn check(layout: &Layout, names: &[&str]) -> Result<()> {
    for name in names {
        if Daemon::running(&layout.pid_file(name)).is_none() {
            let log = layout.log(name);
            let said = fs::read_to_string(&log).unwrap_or_default();
            bail!("{name} ended; the end of {}:\n{}", log.display(), tail(&said, 15));
        }
    }
    Ok(())
}

fn arguments(name: &str, layout: &Layout) -> Vec<String> {
    let admin = layout.kubeconfig();
    let admin = admin.display();
    let pki = layout.pki.display();
    let run = layout.run.display();
    let text = match name {
        // A crash of the machine may cost the data; it is a test cluster, and the disk is spared.
        "etcd" => format!(
            "--data-dir={run}/etcd --unsafe-no-fsync --log-level=warn --listen-client-urls={ETCD} \
             --advertise-client-urls={ETCD} --listen-peer-urls={ETCD_PEER} \
             --initial-advertise-peer-urls={ETCD_PEER} --initial-cluster=default={ETCD_PEER}"
        ),
        "containerd" => format!("--config={run}/containerd.toml"),
        "kube-apiserver" => format!(
            "--etcd-servers={ETCD} --service-cluster-ip-range={SERVICE_CIDR} --secure-port={API_PORT} \
             --advertise-address={NODE_ADDRESS} --tls-cert-file={pki}/apiserver.crt \
             --tls-private-key-file={pki}/apiserver.key --cert-dir={run}/apiserver --client-ca-file={pki}/ca.crt \
             --service-account-issuer=https://kubernetes.default.svc --service-account-key-file={pki}/sa.pub \
             --service-account-signing-key-file={pki}/sa.key --authorization-mode=Node,RBAC \
             --enable-admission-plugins=NodeRestriction --kubelet-client-certificate={pki}/admin.crt \
             --kubelet-client-key={pki}/admin.key --kubelet-certificate-authority={pki}/ca.crt \
             --kubelet-preferred-address-types=InternalIP --allow-privileged=true"
        ),
        // Its start makes dozens of service accounts, which its usual rate spreads over four seconds.
        "kube-controller-manager" => format!(
            "--kubeconfig={admin} --authentication-kubeconfig={admin} --authorization-kubeconfig={admin} \
             --service-account-private-key-file={pki}/sa.key --root-ca-file={pki}/ca.crt \
             --use-service-account-credentials --leader-elect=false --allocate-node-cidrs=false \
             --kube-api-qps=200 --kube-api-burst=400"
        ),
        "kube-scheduler" => format!(
            "--kubeconfig={admin} --authentication-kubeconfig={admin} --authorization-kubeconfig={admin} \
             --leader-elect=false"
        ),
        "kubelet" => format!(
            "--kubeconfig={pki}/kubelet.kubeconfig --config={run}/kubelet.json --hostname-override={NODE} \
             --node-ip={NODE_ADDRESS} --root-dir={run}/kubelet"
        ),
        // The limit of tracked connections is the machine's business.
        "kube-proxy" => format!(
            "--kubeconfig={admin} --cluster-cidr={POD_CIDR} --proxy-mode=iptables --hostname-override={NODE} \
             --conntrack-max-per-core=0"
        ),
        _ => String::new(),
    };
    text.split_whitespace().map(String::from).collect()
}
