//! The two servers, each in a network namespace of its own, and clients of them.

use std::{
    fs::{self, File},
    future::Future,
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    thread,
};

use carrick_lab::{
    apiserver::ApiServer,
    control_plane::{ADMIN, Assets, ControlPlane, Error, Options},
    proxy::{Backend, Proxy},
};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client, Config,
    api::{DynamicObject, ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, GroupVersionKind, PartialObjectMeta},
};
use nix::sched::{CloneFlags, setns, unshare};
use serde_json::{Value, json};

const REAL_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);

enum Server {
    Embedded(ApiServer),
    Real(&'static ControlPlane),
}

/// A server, as one test sees it.
pub struct Cluster {
    server: Server,
    test: String,
}

impl Cluster {
    /// The embedded server, for the tests that are for it alone.
    pub fn embedded(&self) -> &ApiServer {
        match &self.server {
            Server::Embedded(server) => server,
            Server::Real(_) => panic!("this test is for the embedded server"),
        }
    }

    /// Makes the versions so far too old to watch from, where the server does not do so by itself.
    pub fn forget_history(&self) {
        match &self.server {
            Server::Embedded(server) => server.expire_history(),
            Server::Real(_) => {}
        }
    }

    fn address(&self) -> SocketAddr {
        match &self.server {
            Server::Embedded(server) => server.address(),
            Server::Real(_) => REAL_ADDRESS,
        }
    }

    fn kubeconfig(&self, address: SocketAddr, user: &str) -> String {
        match &self.server {
            Server::Embedded(_) => ApiServer::kubeconfig(&format!("http://{address}"), user),
            Server::Real(server) => server.kubeconfig(&format!("https://{address}"), user).expect("a kubeconfig"),
        }
    }

    /// The configuration of a client that finds the server at `address`.
    pub async fn config(&self, address: SocketAddr, user: &str) -> Config {
        let kubeconfig = Kubeconfig::from_yaml(&self.kubeconfig(address, user)).expect("kubeconfig");
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.expect("a usable kubeconfig")
    }

    /// A client without anything between it and the server.
    pub async fn client(&self) -> Client {
        self.client_of(ADMIN).await
    }

    pub async fn client_of(&self, user: &str) -> Client {
        Client::try_from(self.config(self.address(), user).await).expect("a client")
    }

    /// A client that does not try again by itself.
    pub async fn impatient_client(&self) -> Client {
        let mut config = self.config(self.address(), ADMIN).await;
        config.default_retry = false;
        Client::try_from(config).expect("a client")
    }

    /// A proxy in front of the server, and a client that knows only the proxy.
    pub async fn behind_proxy(&self) -> (Proxy, Client) {
        let proxy = Proxy::start(listener(), Backend::new(self.address())).expect("a proxy");
        let config = self.config(proxy.address(), ADMIN).await;
        (proxy, Client::try_from(config).expect("a client"))
    }

    /// A name that no other test uses.
    pub fn name(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.test)
    }

    /// A selector for the objects of this test.
    pub fn selector(&self) -> String {
        format!("test={}", self.test)
    }

    pub fn mine(&self) -> ListParams {
        ListParams::default().labels(&self.selector())
    }

    /// A Node that carries this test's label and an annotation of people's.
    pub async fn make_node(&self, suffix: &str) -> Node {
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": self.name(suffix), "labels": { "test": self.test },
                "annotations": { "carrick.dev/location": "left" },
            },
            "spec": { "podCIDRs": ["10.42.0.0/24"] },
            "status": { "nodeInfo": node_info() },
        });
        let node = serde_json::from_value(node).expect("a Node");
        let post = PostParams { field_manager: Some("people".to_owned()), ..PostParams::default() };
        Api::all(self.client().await).create(&post, &node).await.expect("a Node is made")
    }

    pub async fn nodes(&self) -> Api<Node> {
        Api::all(self.client().await)
    }

    pub async fn node_metadata(&self) -> Api<PartialObjectMeta<Node>> {
        Api::all(self.client().await)
    }

    pub async fn peers(&self) -> Api<DynamicObject> {
        let peer = GroupVersionKind::gvk("carrick.dev", "v1alpha1", "Peer");
        Api::all_with(self.client().await, &ApiResource::from_gvk(&peer))
    }
}

fn node_info() -> Value {
    let fields = [
        "architecture",
        "bootID",
        "containerRuntimeVersion",
        "kernelVersion",
        "kubeProxyVersion",
        "kubeletVersion",
        "machineID",
        "operatingSystem",
        "osImage",
        "systemUUID",
    ];
    fields.into_iter().map(|field| (field.to_owned(), json!("x"))).collect::<serde_json::Map<_, _>>().into()
}

fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port")
}

/// The field `code` of what the server refused with.
pub fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Gives the calling thread a network namespace with nothing but `lo`.
fn enter_new_namespace() {
    unshare(CloneFlags::CLONE_NEWNET).expect("root may make network namespaces");
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip runs");
    assert!(up.success());
}

/// Runs a test on a thread of its own, which may change its namespace.
fn run<F: Future<Output = ()> + 'static>(
    prepare: impl FnOnce() -> Option<Server> + Send + 'static,
    test: fn(Cluster) -> F,
) {
    let name = thread::current().name().unwrap_or("test").to_owned();
    let short = name.rsplit("::").next().unwrap_or("test").replace('_', "-");
    let test_thread = thread::Builder::new().name(name).spawn(move || {
        let Some(server) = prepare() else { return };
        let cluster = Cluster { server, test: short };
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test(cluster));
    });
    if let Err(panic) = test_thread.expect("a thread").join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a test against an embedded server of its own.
pub fn with_embedded<F: Future<Output = ()> + 'static>(test: fn(Cluster) -> F) {
    let prepare = || {
        enter_new_namespace();
        Some(Server::Embedded(ApiServer::start(listener()).expect("the server starts")))
    };
    run(prepare, test);
}

/// Runs a test against the real server that all tests share.
pub fn with_real<F: Future<Output = ()> + 'static>(test: fn(Cluster) -> F) {
    run(|| real_server().map(Server::Real), test);
}

struct RealServer {
    control_plane: ControlPlane,
    namespace: OwnedFd,
}

/// The real server, whose namespace the calling thread enters; `None` where it cannot be had.
fn real_server() -> Option<&'static ControlPlane> {
    static SERVER: OnceLock<Option<RealServer>> = OnceLock::new();
    let server = SERVER.get_or_init(|| match thread::spawn(start_real_server).join() {
        Ok(Ok(server)) => Some(server),
        Ok(Err(error @ Error::Assets { .. })) => {
            let required = std::env::var_os("CARRICK_REQUIRE_ALL").is_some_and(|all| all == "1");
            assert!(!required, "{error}");
            let line = format!("SKIPPED: all tests against a real kube-apiserver: {error}\n");
            // Past the capture of a passing test's output.
            std::io::stderr().write_all(line.as_bytes()).expect("stderr is there");
            None
        }
        Ok(Err(error)) => panic!("{error}"),
        Err(panic) => std::panic::resume_unwind(panic),
    });
    let server = server.as_ref()?;
    setns(&server.namespace, CloneFlags::CLONE_NEWNET).expect("the namespace is there");
    Some(&server.control_plane)
}

fn repository_root() -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    fs::canonicalize(root).expect("the repository")
}

fn start_real_server() -> Result<RealServer, Error> {
    let root = repository_root();
    let assets = Assets::locate(&root.join("tests/kubernetes/build.sh"))?;
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("control-plane");
    drop(fs::remove_dir_all(&directory));
    enter_new_namespace();
    let namespace = || OwnedFd::from(File::open("/proc/thread-self/ns/net").expect("procfs"));
    let control_plane = ControlPlane::start(Options {
        assets,
        namespace: Some(namespace()),
        address: REAL_ADDRESS,
        directory,
        users: Vec::new(),
        manifests: vec![root.join("deploy/crd")],
    })?;
    Ok(RealServer { control_plane, namespace: namespace() })
}
