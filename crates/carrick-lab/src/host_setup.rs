//! What the machine needs to run a lab.

use std::path::Path;

use anyhow::{Result, bail, ensure};

use crate::topology::Kubernetes;

/// Each program and its Debian package.
const PROGRAMS: &[(&str, &str)] = &[("nft", "nftables"), ("tcpdump", "tcpdump")];

/// The programs that a real cluster needs in addition.
const CLUSTER_PROGRAMS: &[(&str, &str)] =
    &[("runc", "runc"), ("busybox", "busybox-static"), ("cc", "gcc"), ("openssl", "openssl")];

/// Checks that this machine can run a lab.
///
/// # Errors
/// The caller is not root, or a program is missing; the error names the Debian packages.
pub fn check(kubernetes: Kubernetes) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "the lab makes PID, mount and network namespaces, which needs root: run it with sudo"
    );
    let of_cluster = match kubernetes {
        Kubernetes::Embedded | Kubernetes::Apiserver => &[],
        Kubernetes::Cluster => CLUSTER_PROGRAMS,
    };
    let missing: Vec<_> = PROGRAMS.iter().chain(of_cluster).filter(|(program, _)| !is_in_path(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    bail!("missing: {}; install with: apt-get install {}", programs.join(", "), packages.join(" "));
}

fn is_in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([Path::new("/usr/sbin").to_path_buf(), Path::new("/sbin").to_path_buf()])
        .any(|directory| directory.join(program).is_file())
}
