//! The two servers, each in a network namespace of its own, and their clients.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use carrick_test_apiserver::control_plane::{ADMIN, Assets, ControlPlane, Error, Options};
use carrick_test_apiserver::proxy::{Backend, Proxy};
use carrick_test_apiserver::{ApiServer, Key};
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind, PartialObjectMeta};
use kube::{Api, Client, Config};
use nix::sched::{CloneFlags, setns, unshare};
use serde_json::{Value, json};

const REAL_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);

enum Server {
    Embedded(ApiServer),
    Real(&'static ControlPlane),
}

/// A server, as one test sees it.
pub struct TestServer {
    server: Server,
    test: String,
}

impl TestServer {
    /// The embedded server, for tests that run against no other.
    pub fn embedded(&self) -> &ApiServer {
        match &self.server {
            Server::Embedded(server) => server,
            Server::Real(_) => panic!("this test is for the embedded server"),
        }
    }

    /// Forgets the history of the embedded server.
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

    /// A client that connects to the server directly.
    pub async fn client(&self) -> Client {
        self.client_of(ADMIN).await
    }

    pub async fn client_of(&self, user: &str) -> Client {
        Client::try_from(self.config(self.address(), user).await).expect("a client")
    }

    /// A client that does not retry requests.
    pub async fn client_without_retries(&self) -> Client {
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

    /// Selects the objects of this test in a list.
    pub fn list_params(&self) -> ListParams {
        ListParams::default().labels(&self.selector())
    }

    /// Creates a Node with this test's label, and with an annotation that the field manager `people` owns.
    pub async fn create_node(&self, suffix: &str) -> Node {
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
        Api::all(self.client().await).create(&post, &node).await.expect("a Node is created")
    }

    pub async fn delete_node(&self, suffix: &str) {
        let name = self.name(suffix);
        match &self.server {
            Server::Embedded(server) => server.delete(&Key::node(name)).expect("the Node exists"),
            Server::Real(_) => {
                drop(self.nodes().await.delete(&name, &DeleteParams::default()).await.expect("a deletion"))
            }
        }
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

/// The code of the `Status` with which the server rejected a request.
pub fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("expected a status, got {other:?}"),
    }
}

/// Gives the calling thread a network namespace with nothing but `lo`.
fn enter_new_namespace() {
    unshare(CloneFlags::CLONE_NEWNET).expect("root may make network namespaces");
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip runs");
    assert!(up.success());
}

/// Runs a test on a thread of its own, which can enter another namespace.
fn run<F: Future<Output = ()> + 'static>(
    prepare: impl FnOnce() -> Option<Server> + Send + 'static,
    test: fn(TestServer) -> F,
) {
    let name = thread::current().name().unwrap_or("test").to_owned();
    let short = name.rsplit("::").next().unwrap_or("test").replace('_', "-");
    let test_thread = thread::Builder::new().name(name).spawn(move || {
        let Some(server) = prepare() else { return };
        let server = TestServer { server, test: short };
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test(server));
    });
    if let Err(panic) = test_thread.expect("a thread").join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a test against an embedded server of its own.
pub fn with_embedded<F: Future<Output = ()> + 'static>(test: fn(TestServer) -> F) {
    let prepare = || {
        enter_new_namespace();
        Some(Server::Embedded(ApiServer::start(listener()).expect("the server starts")))
    };
    run(prepare, test);
}

/// Runs a test against the real server, which all tests share.
pub fn with_real<F: Future<Output = ()> + 'static>(test: fn(TestServer) -> F) {
    run(|| real_server().map(Server::Real), test);
}

struct RealServer {
    control_plane: ControlPlane,
    namespace: OwnedFd,
}

/// The real server; the calling thread enters its namespace. `None` if the server's programs cannot be built here.
fn real_server() -> Option<&'static ControlPlane> {
    static SERVER: OnceLock<Option<RealServer>> = OnceLock::new();
    let server = SERVER.get_or_init(|| match thread::spawn(start_real_server).join() {
        Ok(Ok(server)) => Some(server),
        Ok(Err(error @ Error::Assets { .. })) => {
            let required = std::env::var_os("CARRICK_REQUIRE_ALL").is_some_and(|all| all == "1");
            assert!(!required, "{error}");
            let line = format!("SKIPPED: all tests against a real kube-apiserver: {error}\n");
            // Standard error of the process: the test harness captures the output of a test that passes.
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
