//! The configuration of a network namespace: links, addresses, routes, rules, firewall and sysctls.

mod netlink;
mod route;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

pub use self::netlink::{Netlink, PrefixRoute, VethEnd, configure};
pub use self::route::{Gateway, Route};
use crate::namespace::Namespaces;

/// Loads nftables rules.
///
/// # Errors
/// `nft` rejects the rules.
pub fn nft(namespaces: &Namespaces, rules: &str) -> Result<()> {
    let mut command = Command::new("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = namespaces.spawn(&mut command)?;
    let mut stdin = child.stdin.take().context("no pipe")?;
    // A program that fails early closes its input. Its output says more than the error of the broken pipe.
    let written = stdin.write_all(rules.as_bytes());
    drop(stdin);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{}: nft: {}\n{rules}", namespaces.name(), String::from_utf8_lossy(&output.stderr).trim_end());
    }
    written.context("write to nft")
}

/// The number of packets of a named counter in an `inet` table.
///
/// # Errors
/// There is no such counter.
pub fn counter(namespaces: &Namespaces, table: &str, name: &str) -> Result<u64> {
    let text = namespaces.exec(&["nft", "-j", "list", "counter", "inet", table, name])?;
    let answer: serde_json::Value = serde_json::from_str(&text).context("parse nft's answer")?;
    let objects = answer["nftables"].as_array().context("nft's answer has no objects")?;
    let packets = objects.iter().find_map(|object| object["counter"]["packets"].as_u64());
    packets.with_context(|| format!("nft's answer has no counter {name}"))
}

/// Sets sysctls of the network namespace, by their dotted names.
///
/// # Errors
/// The kernel does not have a sysctl, or refuses a value.
pub fn sysctl(namespaces: &Namespaces, settings: &[(&str, &str)]) -> Result<()> {
    namespaces.enter(|| {
        for (name, value) in settings {
            let path = format!("/proc/sys/{}", name.replace('.', "/"));
            std::fs::write(&path, value).with_context(|| format!("{}: write {path}", namespaces.name()))?;
        }
        Ok(())
    })
}

/// Prepares a new network namespace: addresses are usable at once, `lo` is up, and a router forwards packets.
///
/// # Errors
/// The kernel refuses a setting.
pub fn prepare(namespaces: &Namespaces, role: Role) -> Result<()> {
    let mut settings = Vec::new();
    if role == Role::Router {
        settings.push(("net.ipv4.ip_forward", "1"));
    }
    if kernel_has_ipv6() {
        settings.extend([("net.ipv6.conf.default.accept_dad", "0"), ("net.ipv6.conf.default.dad_transmits", "0")]);
        if role == Role::Router {
            settings.push(("net.ipv6.conf.all.forwarding", "1"));
        }
    }
    if role == Role::Router && Path::new("/proc/sys/net/bridge").exists() {
        // The router's firewall does not see the frames between two machines of a LAN.
        settings.extend([("net.bridge.bridge-nf-call-iptables", "0"), ("net.bridge.bridge-nf-call-ip6tables", "0")]);
    }
    sysctl(namespaces, &settings)?;
    configure(namespaces, |kernel| kernel.set_up("lo"))
}

/// Whether the kernel was started without `ipv6.disable=1`. Otherwise all locations must have `families: v4`.
#[must_use]
pub fn kernel_has_ipv6() -> bool {
    // Not by `/proc`: in the PID namespace of a node, it does not show the caller.
    socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::DGRAM, None).is_ok()
}

/// What a network namespace does with packets for other hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The setting of the kernel stays.
    Host,
    /// It forwards them.
    Router,
}
