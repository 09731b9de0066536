//! The place of a real cluster's control plane, and its certificate there.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::well_known::{API_ADDRESS, KUBE_PROXY, PORT, PUBLIC_API, REAL_ADDRESS, SERVICE_CIDRS, SPARE_NODES, kubelet};
use crate::layout;
use crate::namespace::Namespaces;
use crate::paths::project_file;
use crate::topology::Topology;
use carrick_test_apiserver::control_plane::{Assets, ControlPlane, ExtraFlags, Options, User};

/// The API server's Service address: the first one.
const SERVICE_ADDRESS: &str = "10.96.0.1";
/// The names by which pods reach the API server.
const NAMES: &str = "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost";

/// The place of a control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the internet, as that of a cloud provider.
    Outside,
    /// In a node's network namespace.
    OnNode {
        /// The address inside the node's location.
        private: SocketAddr,
        /// The address at which the location's router publishes it.
        public: SocketAddr,
    },
}

impl Place {
    /// The place that a topology asks for.
    pub(super) fn of(topology: &Topology) -> Result<Self> {
        let Some(host) = &topology.control_plane else { return Ok(Self::Outside) };
        let (location, node) = layout::of_node(topology, host)?;
        let v4 = node.internal.v4.zip(location.wan.v4);
        let (private, public) = v4.with_context(|| format!("{host} has no IPv4 address for the control plane"))?;
        Ok(Self::OnNode {
            private: SocketAddr::new(private.into(), PORT),
            public: SocketAddr::new(public.into(), PORT),
        })
    }

    /// The address in its own network namespace.
    pub(super) const fn address(self) -> SocketAddr {
        match self {
            Self::Outside => REAL_ADDRESS,
            Self::OnNode { private, .. } => private,
        }
    }

    /// The address in the internet.
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
    /// Its certificate exists, but its node does not.
    Prepared,
}

impl ClusterControlPlane {
    /// The running control plane.
    pub(super) fn running(&self) -> Result<&ControlPlane> {
        match self {
            Self::Running(control_plane) => Ok(control_plane),
            Self::Prepared => bail!("the control plane's node does not exist yet"),
        }
    }
}

/// The file of the audit log in the control plane's directory.
pub(super) const AUDIT_LOG: &str = "audit.log";

/// Logs the requests of agents and nothing else.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: [\"system:serviceaccount:carrick-system:carrick\"]
- level: None
";

/// Starts a control plane for kubelets and controllers.
pub(super) fn start(
    place: Place,
    topology: &Topology,
    namespaces: &Namespaces,
    directory: &Path,
) -> Result<ControlPlane> {
    let nodes = topology.locations.iter().flat_map(|location| &location.nodes);
    let spare = (1..=SPARE_NODES).map(|number| format!("spare{number}"));
    let kubelets = nodes.map(|node| node.name.clone()).chain(spare);
    let mut users: Vec<User> =
        kubelets.map(|node| User { name: kubelet(&node), groups: vec!["system:nodes".to_owned()] }).collect();
    users.push(User { name: KUBE_PROXY.to_owned(), groups: vec!["system:node-proxier".to_owned()] });
    let options = Options {
        assets: Assets::locate_cluster(&project_file("tests/kubernetes/build.sh"))?,
        namespace: Some(namespaces.network_descriptor()?),
        address: place.address(),
        directory: directory.to_path_buf(),
        users,
        manifests: Vec::new(),
    };
    let audit_policy = directory.join("audit-policy.yaml");
    fs::create_dir_all(directory).context("make a directory for the control plane")?;
    fs::write(&audit_policy, AUDIT_POLICY).context("write the audit policy")?;
    let mut apiserver = vec![
        format!("--audit-policy-file={}", audit_policy.display()),
        format!("--audit-log-path={}", directory.join(AUDIT_LOG).display()),
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

/// Makes the certificate of a control plane on a node. The certificate that kube-apiserver makes for itself would not contain the
/// public address.
pub(super) fn certify(private: IpAddr, directory: &Path) -> Result<()> {
    let pki = directory.join("pki");
    fs::create_dir_all(&pki).context("make a directory for certificates")?;
    let path = |name: &str| pki.join(name).to_string_lossy().into_owned();
    let names = format!("subjectAltName={NAMES},IP:{private},IP:{},IP:{SERVICE_ADDRESS}", PUBLIC_API.ip());
    let (authority_key, authority) = (path("authority.key"), path("authority.crt"));
    let (key, own) = (path("apiserver.key"), path("own.crt"));
    openssl(&["-subj", "/CN=lab", "-keyout", &authority_key, "-out", &authority])?;
    let by = ["-CA", &authority, "-CAkey", &authority_key];
    let subject = ["-subj", "/CN=kube-apiserver", "-addext", &names, "-addext", "basicConstraints=critical,CA:FALSE"];
    openssl(&[&by[..], &subject, &["-keyout", &key, "-out", &own]].concat())?;
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
