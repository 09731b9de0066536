//! Links, addresses, routes, firewalls and sysctls of a network namespace, set with the machine's own tools.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::namespace::Namespaces;

/// Runs lines of `ip` commands (without the word `ip`) in one process.
///
/// # Errors
/// A line fails; the error shows all lines, because `ip` reports the line's number.
pub fn ip(namespaces: &Namespaces, lines: &str) -> Result<()> {
    feed(namespaces, "ip", &["-batch", "-"], lines)
}

/// Loads nftables rules.
///
/// # Errors
/// `nft` rejects the rules.
pub fn nft(namespaces: &Namespaces, rules: &str) -> Result<()> {
    feed(namespaces, "nft", &["-f", "-"], rules)
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
    let mut settings = vec![("net.ipv6.conf.default.accept_dad", "0"), ("net.ipv6.conf.default.dad_transmits", "0")];
    match role {
        Role::Host => {}
        Role::Router => settings.extend([("net.ipv4.ip_forward", "1"), ("net.ipv6.conf.all.forwarding", "1")]),
    }
    if role == Role::Router && Path::new("/proc/sys/net/bridge").exists() {
        // The router's firewall does not see the frames between two machines of a LAN.
        settings.extend([("net.bridge.bridge-nf-call-iptables", "0"), ("net.bridge.bridge-nf-call-ip6tables", "0")]);
    }
    sysctl(namespaces, &settings)?;
    ip(namespaces, "link set lo up\n")
}

/// What a network namespace does with packets for other hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The setting of the kernel stays.
    Host,
    /// It forwards them.
    Router,
}

fn feed(namespaces: &Namespaces, program: &str, arguments: &[&str], input: &str) -> Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = namespaces.spawn(&mut command)?;
    let mut stdin = child.stdin.take().context("no pipe")?;
    // A program that fails early closes its input. Its output says more than the error of the broken pipe.
    let written = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{}: {program}: {}\n{input}", namespaces.name(), String::from_utf8_lossy(&output.stderr).trim_end());
    }
    written.with_context(|| format!("write to {program}"))
}
