//! The programs of the machine that the lab uses as test equipment.

use std::path::Path;

use anyhow::{Result, bail, ensure};

use crate::topology::Kubernetes;

/// Each program and the Debian package it comes from.
const TOOLS: &[(&str, &str)] = &[("ip", "iproute2"), ("nft", "nftables"), ("tcpdump", "tcpdump")];

/// What real Kubernetes needs besides.
const KUBERNETES_TOOLS: &[(&str, &str)] =
    &[("runc", "runc"), ("busybox", "busybox-static"), ("cc", "gcc"), ("openssl", "openssl")];

/// Checks that a lab can run here.
///
/// # Errors
/// Says what is missing and how to get it: root, or Debian packages.
pub fn require(kubernetes: Kubernetes) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "the lab makes namespaces of processes, mounts and networks, which needs root: run it with sudo"
    );
    let of_kubernetes = match kubernetes {
        Kubernetes::Embedded | Kubernetes::Apiserver => &[],
        Kubernetes::Cluster => KUBERNETES_TOOLS,
    };
    let missing: Vec<_> = TOOLS.iter().chain(of_kubernetes).filter(|(program, _)| !in_path(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    bail!("missing: {}; get them with: apt-get install {}", programs.join(", "), packages.join(" "));
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([Path::new("/usr/sbin").to_path_buf(), Path::new("/sbin").to_path_buf()])
        .any(|directory| directory.join(program).is_file())
}
