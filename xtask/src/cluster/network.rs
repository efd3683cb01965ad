//! The node's address and the packet filter's rules: the only things outside the cache that the cluster changes.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::build::Build;
use super::layout::{BRIDGE, NODE_ADDRESS, POD_CIDR};
use crate::process::{require, run};

/// The rules, as arguments after `-A`/`-C`/`-D`. A machine that forwards nothing by default (Docker's does) must let
/// pods through; what leaves the cluster bears the machine's address.
const RULES: [(&str, &[&str]); 3] = [
    ("filter", &["FORWARD", "-s", POD_CIDR, "-j", "ACCEPT"]),
    ("filter", &["FORWARD", "-d", POD_CIDR, "-j", "ACCEPT"]),
    ("nat", &["POSTROUTING", "-s", POD_CIDR, "!", "-d", POD_CIDR, "-j", "MASQUERADE"]),
];

/// Makes what is missing.
///
/// # Errors
/// Not root, or the kernel refuses.
pub(super) fn up() -> Result<()> {
    if !present() {
        run(ip()?.args(["link", "add", BRIDGE, "type", "bridge"]))?;
        run(ip()?.args(["addr", "add", &format!("{NODE_ADDRESS}/24"), "dev", BRIDGE]))?;
    }
    run(ip()?.args(["link", "set", BRIDGE, "up"]))?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot let this machine forward packets")?;
    for (table, rule) in RULES {
        if run(&mut iptables(table, "-C", rule)?).is_err() {
            run(&mut iptables(table, "-I", rule)?)?;
        }
    }
    Ok(())
}

/// Whether the bridge is there.
#[must_use]
pub(super) fn present() -> bool {
    fs::exists(format!("/sys/class/net/{BRIDGE}")).unwrap_or(false)
}

/// Removes the bridge, our rules and kube-proxy's. `ip_forward` stays: others may have come to rely on it.
///
/// # Errors
/// The bridge is there and cannot be removed.
pub(super) fn down(build: &Build) -> Result<()> {
    for (table, rule) in RULES {
        while run(&mut iptables(table, "-D", rule)?).is_ok() {}
    }
    let proxy = build.program("kube-proxy");
    if proxy.exists() {
        run(Command::new(proxy).arg("--cleanup"))?;
    }
    for program in ["iptables", "ip6tables"] {
        remove_kube_firewall(program)?;
    }
    if present() {
        run(ip()?.args(["link", "delete", BRIDGE]))?;
    }
    Ok(())
}

/// A chain that kube-proxy makes and its own cleanup leaves, in case a kubelet also uses it.
fn remove_kube_firewall(program: &str) -> Result<()> {
    let program = require(program)?;
    for action in ["-D INPUT -j", "-D OUTPUT -j", "-F", "-X"] {
        let mut command = Command::new(&program);
        command.arg("-w").args(action.split(' ')).arg("KUBE-FIREWALL");
        let _not_there = run(&mut command);
    }
    Ok(())
}

fn ip() -> Result<Command> {
    Ok(Command::new(require("ip")?))
}

fn iptables(table: &str, action: &str, rule: &[&str]) -> Result<Command> {
    let mut command = Command::new(require("iptables")?);
    command.args(["-w", "-t", table, action]).args(rule);
    Ok(command)
}
