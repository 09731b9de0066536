//! Kubernetes, as the lab's nodes see it: an API server in the internet, which each node reaches through a proxy of its own, and the
//! objects that kubelets and the controller manager write.

mod node_object;
mod place;
mod well_known;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Child;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use self::node_object::node_object;
use self::place::{ClusterControlPlane, Place};
use self::well_known::{KUBE_PROXY, REAL_ADDRESS, kubelet};
pub use self::well_known::{POD_CIDRS, PUBLIC_API, SERVICE_CIDRS};
use crate::address::Family;
use crate::layout::{API_ADDRESSES, NodeLayout};
use crate::namespace::Namespaces;
use crate::paths::project_file;
use crate::site::Site;
use crate::topology::{self, Topology};
use carrick_test_apiserver::control_plane::{ADMIN, Assets, ControlPlane, Options, kubeconfig_of};
use carrick_test_apiserver::proxy::{Backend, Mode, Proxy};
use carrick_test_apiserver::{ApiServer, Key, Resource};

/// The port of a node's proxy is this port plus the node's number.
const FIRST_PROXY_PORT: u16 = 6443;

/// The API server and its proxies.
pub struct Kubernetes {
    server: Server,
    place: Place,
    directory: PathBuf,
    internet: Namespaces,
    network: Namespaces,
    proxies: BTreeMap<String, Proxy>,
    published: Option<Proxy>,
}

enum Server {
    Embedded(ApiServer),
    Real(ControlPlane),
    Cluster(ClusterControlPlane),
}

impl Kubernetes {
    /// Starts the API server in the internet. A real API server has its state in `directory`. An API server on a node is only prepared:
    /// [`Kubernetes::start_on_node`] starts it.
    ///
    /// # Errors
    /// The API server cannot listen, or the programs of a real one can be neither found nor built.
    pub fn start(topology: &Topology, internet: &Namespaces, directory: &Path) -> Result<Self> {
        let place = Place::of(topology)?;
        let mut published = None;
        let server = match topology.kubernetes {
            topology::Kubernetes::Embedded => {
                let listener = listen(internet, (Ipv4Addr::LOCALHOST, 0).into())?;
                Server::Embedded(ApiServer::start(listener).context("start the API server")?)
            }
            topology::Kubernetes::Apiserver => Server::Real(start_control_plane(internet, directory)?),
            topology::Kubernetes::Cluster => {
                let control_plane = match place {
                    Place::Outside => ClusterControlPlane::Running(place::start(place, topology, internet, directory)?),
                    Place::OnNode { private, .. } => {
                        place::certify(private.ip(), directory)?;
                        ClusterControlPlane::Prepared
                    }
                };
                let backend = Backend::in_namespace(place.as_published(), internet.network_descriptor()?);
                let proxy = Proxy::start(listen(internet, PUBLIC_API)?, backend).context("publish the API server")?;
                published = Some(proxy);
                Server::Cluster(control_plane)
            }
        };
        let (network, internet) = (internet.clone(), internet.clone());
        Ok(Self {
            server,
            place,
            directory: directory.to_owned(),
            internet,
            network,
            proxies: BTreeMap::new(),
            published,
        })
    }

    /// Starts a control plane whose place is a node, in that node's network namespace, and publishes it on the location's router.
    ///
    /// # Errors
    /// The control plane does not start, or the kernel refuses.
    pub fn start_on_node(&mut self, topology: &Topology, node: &Namespaces, site: &Site) -> Result<()> {
        let Place::OnNode { private, .. } = self.place else { return Ok(()) };
        self.network = self.internet.with_network_of(node)?;
        site.publish(private)?;
        let control_plane = place::start(self.place, topology, &self.network, &self.directory)?;
        self.server = Server::Cluster(ClusterControlPlane::Running(control_plane));
        Ok(())
    }

    /// The namespaces of the control plane's processes.
    #[must_use]
    pub const fn namespaces(&self) -> &Namespaces {
        &self.network
    }

    /// The embedded API server.
    ///
    /// # Errors
    /// The lab has a real API server.
    pub fn embedded(&self) -> Result<&ApiServer> {
        match &self.server {
            Server::Embedded(server) => Ok(server),
            Server::Real(_) | Server::Cluster(_) => bail!("the lab has a real API server"),
        }
    }

    /// Runs kubectl as the administrator and returns its standard output.
    ///
    /// # Errors
    /// kubectl fails, or the lab has no real API server.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        Ok(self.real()?.kubectl(arguments)?)
    }

    /// Starts kubectl as the administrator in the control plane's namespaces, with pipes from its output.
    ///
    /// # Errors
    /// kubectl cannot be started, or the lab has no real API server.
    pub fn start_kubectl(&self, arguments: &[&str]) -> Result<Child> {
        Ok(self.real()?.start_kubectl(arguments)?)
    }

    /// The administrator's kubeconfig, for programs in the control plane's namespaces.
    ///
    /// # Errors
    /// The lab has no real API server.
    pub fn admin_kubeconfig(&self) -> Result<String> {
        let server = self.real()?;
        Ok(server.kubeconfig(&server.url(), ADMIN)?)
    }

    /// The kubeconfig of kube-proxy, for all nodes.
    ///
    /// # Errors
    /// The lab has no real API server.
    pub fn kube_proxy_kubeconfig(&self) -> Result<String> {
        Ok(kubeconfig_of(&self.directory, &format!("https://{PUBLIC_API}"), KUBE_PROXY)?)
    }

    /// The directory of Kubernetes' programs.
    ///
    /// # Errors
    /// The lab has no real API server.
    pub fn programs(&self) -> Result<PathBuf> {
        Ok(self.real()?.assets().directory().to_owned())
    }

    /// The requests of agents that a cluster's API server has logged, one after the other
    /// (<https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/>).
    ///
    /// # Errors
    /// The lab has no cluster, or the log cannot be read.
    pub fn agents_requests(&self) -> Result<Vec<Value>> {
        let path = self.directory.join(place::AUDIT_LOG);
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        // The server may be writing the last line.
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete.lines().map(|line| serde_json::from_str(line).context("parse the audit log")).collect()
    }

    fn real(&self) -> Result<&ControlPlane> {
        match &self.server {
            Server::Real(server) => Ok(server),
            Server::Cluster(server) => server.running(),
            Server::Embedded(_) => bail!("the lab has no real API server"),
        }
    }

    /// Opens a node's proxy and returns the node's kubeconfig. In a cluster it is the kubelet's; otherwise it is the agent's, and the node
    /// is registered as a kubelet and the controller manager do.
    ///
    /// # Errors
    /// A Node of this name exists, or the proxy cannot listen.
    pub fn register(&mut self, node: &NodeLayout, spec: &topology::Node) -> Result<String> {
        match &self.server {
            Server::Embedded(_) | Server::Real(_) => self.create(node_object(node, spec))?,
            Server::Cluster(_) => {}
        }
        let family = if node.internal.v4.is_some() { Family::V4 } else { Family::V6 };
        let address = API_ADDRESSES.of(family).context("the API has an address of each family")?;
        let address = SocketAddr::new(address, FIRST_PROXY_PORT + node.number);
        let listener = listen(&self.internet, address)?;
        let proxy = Proxy::start(listener, self.backend()?).context("start a proxy")?;
        self.proxies.insert(node.name.clone(), proxy);
        self.kubeconfig(address, &node.name)
    }

    /// Sets the mode of one node's connections to the API.
    ///
    /// # Errors
    /// There is no such node.
    pub fn set(&self, node: &str, mode: Mode) -> Result<()> {
        self.proxies.get(node).with_context(|| format!("no node named {node}"))?.set(mode);
        Ok(())
    }

    /// Sets the mode of all nodes' connections to the API.
    pub fn set_all(&self, mode: Mode) {
        for proxy in self.proxies.values() {
            proxy.set(mode);
        }
        if let Some(proxy) = &self.published {
            proxy.set(mode);
        }
    }

    /// A node's Node object.
    ///
    /// # Errors
    /// There is no such Node.
    pub fn node(&self, name: &str) -> Result<Value> {
        match &self.server {
            Server::Embedded(server) => server.get(&Key::node(name)).with_context(|| format!("no Node {name}")),
            Server::Real(_) | Server::Cluster(_) => {
                let text = self.kubectl(&["get", "node", name, "--output=json"])?;
                serde_json::from_str(&text).context("parse kubectl's answer")
            }
        }
    }

    /// Changes a Node object with a merge patch (RFC 7386).
    ///
    /// # Errors
    /// There is no such Node.
    pub fn patch_node(&self, name: &str, patch: Value) -> Result<()> {
        match &self.server {
            Server::Embedded(server) => server.patch(&Key::node(name), patch).map(drop)?,
            Server::Real(_) | Server::Cluster(_) => {
                let patch = patch.to_string();
                self.kubectl(&["patch", "node", name, "--type=merge", "--patch", &patch])?;
            }
        }
        Ok(())
    }

    /// Sets an annotation of a Node object, or removes it.
    ///
    /// # Errors
    /// There is no such Node.
    pub fn annotate(&self, node: &str, key: &str, value: Option<&str>) -> Result<()> {
        self.patch_node(node, json!({ "metadata": { "annotations": { key: value } } }))
    }

    /// Deletes a Node object.
    ///
    /// # Errors
    /// There is no such Node.
    pub fn delete_node(&self, name: &str) -> Result<()> {
        match &self.server {
            Server::Embedded(server) => server.delete(&Key::node(name))?,
            Server::Real(_) | Server::Cluster(_) => {
                self.kubectl(&["delete", "node", name])?;
            }
        }
        Ok(())
    }

    fn create(&self, node: Value) -> Result<()> {
        match &self.server {
            Server::Embedded(server) => server.create(Resource::Node, node).map(drop)?,
            Server::Real(_) | Server::Cluster(_) => {
                let mut file = tempfile::NamedTempFile::new().context("make a file for kubectl")?;
                file.write_all(node.to_string().as_bytes())?;
                let path = file.path().to_str().context("a temporary path is not UTF-8")?;
                self.kubectl(&["create", "--filename", path])?;
            }
        }
        Ok(())
    }

    fn backend(&self) -> Result<Backend> {
        let namespace = self.internet.network_descriptor()?;
        let address = match &self.server {
            Server::Embedded(server) => server.address(),
            Server::Real(_) | Server::Cluster(_) => self.place.as_published(),
        };
        Ok(Backend::in_namespace(address, namespace))
    }

    fn kubeconfig(&self, address: SocketAddr, user: &str) -> Result<String> {
        match &self.server {
            Server::Embedded(_) => Ok(ApiServer::kubeconfig(&format!("http://{address}"), user)),
            Server::Real(_) => Ok(kubeconfig_of(&self.directory, &format!("https://{address}"), ADMIN)?),
            Server::Cluster(_) => Ok(kubeconfig_of(&self.directory, &format!("https://{address}"), &kubelet(user))?),
        }
    }
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubernetes").finish_non_exhaustive()
    }
}

fn start_control_plane(internet: &Namespaces, directory: &Path) -> Result<ControlPlane> {
    let options = Options {
        assets: Assets::locate(&project_file("tests/kubernetes/build.sh"))?,
        namespace: Some(internet.network_descriptor()?),
        address: REAL_ADDRESS,
        directory: directory.to_path_buf(),
        users: Vec::new(),
        manifests: vec![project_file("deploy/crd")],
    };
    ControlPlane::start(options).context("start the API server")
}

fn listen(namespaces: &Namespaces, address: SocketAddr) -> Result<TcpListener> {
    namespaces.enter(|| TcpListener::bind(address).with_context(|| format!("listen on {address}")))
}
