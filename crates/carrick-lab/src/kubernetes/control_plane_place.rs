//! Where the control plane of a real cluster stands, and what its certificate names there.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::{API_ADDRESS, PORT, PROJECT, PUBLIC_API, REAL_ADDRESS, SPARE_NODES};
use crate::cluster::{KUBE_PROXY, SERVICE_CIDRS};
use crate::layout;
use crate::namespace::Namespaces;
use crate::topology::Topology;
use carrick_test_apiserver::control_plane::{Assets, ControlPlane, ExtraFlags, Options, User};

/// The first Service address, which is the API server's.
const SERVICE_ADDRESS: &str = "10.96.0.1";
/// By which names pods know the API server.
const NAMES: &str = "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost";

/// A place for a control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the internet, as a cloud's managed one.
    Outside,
    /// In a node's network.
    OnNode {
        /// Where it is inside the node's location.
        private: SocketAddr,
        /// Where the location's router publishes it.
        public: SocketAddr,
    },
}

impl Place {
    /// What a topology asks for.
    pub(super) fn of(topology: &Topology) -> Result<Self> {
        let Some(host) = &topology.control_plane else { return Ok(Self::Outside) };
        let (location, node) = layout::of_node(topology, host)?;
        let v4 = node.internal.v4.zip(location.wan.v4);
        let (private, public) = v4.with_context(|| format!("{host} has no IPv4 to put the control plane on"))?;
        Ok(Self::OnNode {
            private: SocketAddr::new(private.into(), PORT),
            public: SocketAddr::new(public.into(), PORT),
        })
    }

    /// Where it listens in its own network.
    pub(super) const fn address(self) -> SocketAddr {
        match self {
            Self::Outside => REAL_ADDRESS,
            Self::OnNode { private, .. } => private,
        }
    }

    /// Where it is found from the internet.
    pub(super) const fn as_published(self) -> SocketAddr {
        match self {
            Self::Outside => REAL_ADDRESS,
            Self::OnNode { public, .. } => public,
        }
    }
}

/// The control plane of a real cluster.
pub(super) enum ClusterControlPlane {
    /// It runs.
    Running(ControlPlane),
    /// Its certificate is there, but its node is not.
    Prepared,
}

impl ClusterControlPlane {
    /// The running one.
    pub(super) fn running(&self) -> Result<&ControlPlane> {
        match self {
            Self::Running(control_plane) => Ok(control_plane),
            Self::Prepared => bail!("the control plane's node is not there yet"),
        }
    }
}

/// Starts a control plane that kubelets and controllers can use: its certificate and its Service name the addresses at which it
/// is found.
pub(super) fn start(
    place: Place,
    topology: &Topology,
    namespaces: &Namespaces,
    directory: &Path,
) -> Result<ControlPlane> {
    let project = Path::new(PROJECT);
    let nodes = topology.locations.iter().flat_map(|location| &location.nodes);
    let spare = (1..=SPARE_NODES).map(|number| format!("spare{number}"));
    let kubelets = nodes.map(|node| node.name.clone()).chain(spare);
    let mut users: Vec<User> =
        kubelets.map(|node| User { name: super::kubelet(&node), groups: vec!["system:nodes".to_owned()] }).collect();
    users.push(User { name: KUBE_PROXY.to_owned(), groups: vec!["system:node-proxier".to_owned()] });
    let options = Options {
        assets: Assets::locate_cluster(&project.join("tests/kubernetes/build.sh"))?,
        namespace: Some(namespaces.network_descriptor()?),
        address: place.address(),
        directory: directory.to_path_buf(),
        users,
        manifests: Vec::new(),
    };
    let mut apiserver = vec![
        format!("--service-cluster-ip-range={SERVICE_CIDRS}"),
        "--allow-privileged".to_owned(),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
    ];
    if place == Place::Outside {
        apiserver.extend(["--bind-address=127.0.0.1".to_owned(), format!("--advertise-address={API_ADDRESS}")]);
    }
    let flags = ExtraFlags { apiserver, etcd: Vec::new() };
    ControlPlane::start_with(options, flags).context("start the control plane")
}

/// Makes the certificate of a control plane that stands on a node. The one that kube-apiserver makes for itself would name its
/// private address alone.
pub(super) fn certify(private: IpAddr, directory: &Path) -> Result<()> {
    let pki = directory.join("pki");
    fs::create_dir_all(&pki).context("make a directory for certificates")?;
    let path = |name: &str| pki.join(name).to_string_lossy().into_owned();
    let names = format!("subjectAltName={NAMES},IP:{private},IP:{},IP:{SERVICE_ADDRESS}", PUBLIC_API.ip());
    let (authority_key, authority) = (path("authority.key"), path("authority.crt"));
    let (key, own) = (path("apiserver.key"), path("own.crt"));
    openssl(&["-subj", "/CN=lab", "-keyout", &authority_key, "-out", &authority])?;
    let by = ["-CA", &authority, "-CAkey", &authority_key];
    let what = ["-subj", "/CN=kube-apiserver", "-addext", &names, "-addext", "basicConstraints=critical,CA:FALSE"];
    openssl(&[&by[..], &what, &["-keyout", &key, "-out", &own]].concat())?;
    let chain = fs::read_to_string(own)? + &fs::read_to_string(authority)?;
    fs::write(pki.join("apiserver.crt"), chain).context("write the API server's certificate")
}

fn openssl(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-noenc", "-days", "365"]).args(arguments);
    let output = command.stdin(Stdio::null()).output().context("run openssl")?;
    ensure!(output.status.success(), "openssl failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
