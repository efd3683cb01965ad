//! Configuration files of containerd, the pod network and the kubelet.

use std::fs;

use anyhow::Result;
use serde_json::json;

use super::layout::{DNS_ADDRESS, Layout, NETWORK, NODE_ADDRESS};
use super::versions::PAUSE;

/// Writes all of them.
///
/// # Errors
/// A file cannot be written.
pub(super) fn write(layout: &Layout) -> Result<()> {
    for folder in ["cni", "log", "etcd"] {
        fs::create_dir_all(layout.path(folder))?;
    }
    fs::write(layout.path("resolv.conf"), format!("nameserver {NODE_ADDRESS}\n"))?;
    fs::write(layout.path("containerd.toml"), containerd(layout))?;
    fs::write(layout.path("cni/10-pods.conflist"), serde_json::to_vec_pretty(&pod_network(layout))?)?;
    fs::write(layout.path("kubelet.json"), serde_json::to_vec_pretty(&kubelet(layout))?)?;
    Ok(())
}

/// `restrict_oom_score_adj`: without CAP_SYS_RESOURCE (containers, sandboxes) runc may not lower the score, and every
/// pod would die at its start. The namespaces of pods' networks stay below the run folder, where `down` finds them.
fn containerd(layout: &Layout) -> String {
    let run = layout.run.display();
    let socket = layout.socket();
    let socket = socket.display();
    let snapshotter = if on_overlay(layout) { "native" } else { "overlayfs" };
    format!(
        r#"version = 2
root = "{run}/containerd"
state = "{run}/containerd-state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{run}/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:{PAUSE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{run}/runc"
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{run}/cni"
"#
    )
}

/// Whether the cache lies on an overlay itself (in a container), on which no second one can be mounted.
fn on_overlay(layout: &Layout) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut best = (0, false);
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (Some(point), Some(kind)) = (fields.nth(1), fields.next()) else { continue };
        if layout.run.starts_with(point) && point.len() >= best.0 {
            best = (point.len(), kind == "overlay");
        }
    }
    best.1
}

/// Point-to-point links, routed by this machine: no bridge, so no dependency on `br_netfilter`. Masquerading is one
/// rule of our own (network.rs), so that the plugins leave no rules behind.
fn pod_network(layout: &Layout) -> serde_json::Value {
    json!({
        "cniVersion": "0.4.0",
        "name": NETWORK,
        "plugins": [{
            "type": "ptp",
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": layout.path("cni-addresses"),
                "ranges": [[{"subnet": "10.244.0.0/22"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}

/// Images are never collected (they cannot be pulled again) and a nearly full disk does not evict test pods. Chains
/// of the packet filter are kube-proxy's alone, which can remove them.
fn kubelet(layout: &Layout) -> serde_json::Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": layout.pki.join("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": layout.pki.join("kubelet.crt"),
        "tlsPrivateKeyFile": layout.pki.join("kubelet.key"),
        "containerRuntimeEndpoint": format!("unix://{}", layout.socket().display()),
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": false,
        "failSwapOn": false,
        "resolvConf": layout.path("resolv.conf"),
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "podLogsDir": layout.path("pod-logs"),
        "volumePluginDir": layout.path("kubelet/volume-plugins"),
        "makeIPTablesUtilChains": false,
        "maxPods": 250,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    })
}
