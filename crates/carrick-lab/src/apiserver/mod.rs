//! A small Kubernetes API server for tests: Nodes, Peers, Events, Secrets and Namespaces in memory,
//! served over plain HTTP from a thread of its own.
//!
//! It follows Kubernetes where a client of the mesh can tell the difference: resource versions,
//! watches with bookmarks and 410, metadata-only answers, merge patch, server-side apply with
//! field ownership, the status subresource. It does not validate objects, authenticate, authorise,
//! or default fields; the bearer token is taken for the user's name.

mod discovery;
mod error;
mod fault;
mod fields;
mod http;
mod object;
mod ownership;
mod read;
mod request_counts;
mod resource;
mod route;
mod selector;
mod store;
mod watch;
mod write;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use axum::{Router, serve::ListenerExt};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{broadcast, oneshot, watch as version_channel};

pub use self::{
    error::{ApiError, Conflict, Reason},
    fault::{Fault, FaultDuration, RequestFilter},
    request_counts::{RequestCounts, RequestKind, Verb},
    resource::{Key, Resource, Scope},
};
use self::{
    fault::Faults,
    object::Object,
    ownership::OnConflict,
    store::Store,
    watch::Command,
    write::{Author, Part, Request},
};

/// The UID of the namespace `kube-system`, by which a cluster is known.
pub const CLUSTER_UID: &str = "63617272-6963-4b00-8000-000000000001";
/// The namespaces that exist from the start.
pub const NAMESPACES: [&str; 3] = ["default", "kube-system", "carrick-system"];
/// The field manager of what [`ApiServer`]'s methods write.
pub const LAB_MANAGER: &str = "carrick-lab";

/// What the server's thread and its controls share.
struct Shared {
    store: Mutex<Store>,
    faults: Mutex<Faults>,
    request_counts: Mutex<RequestCounts>,
    versions: version_channel::Sender<u64>,
    commands: broadcast::Sender<Command>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    fn request_counts(&self) -> MutexGuard<'_, RequestCounts> {
        lock(&self.request_counts)
    }

    /// Changes the store and wakes the watches.
    fn change<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.store();
        let outcome = change(&mut store);
        let version = store.version();
        drop(store);
        self.versions.send_if_modified(|seen| {
            let newer = version > *seen;
            *seen = version.max(*seen);
            newer
        });
        outcome
    }
}

/// A running server and the controls of it. Dropping it stops the server and closes its
/// connections.
pub struct ApiServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl ApiServer {
    /// Serves on `listener`, which may belong to any network namespace.
    ///
    /// # Errors
    ///
    /// The listener cannot be used, or no thread can be started.
    pub fn start(listener: TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared {
            store: Mutex::default(),
            faults: Mutex::default(),
            request_counts: Mutex::default(),
            versions: version_channel::channel(0).0,
            commands: broadcast::channel(16).0,
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let service = Router::new().fallback(http::answer).with_state(shared.clone());
        let thread = thread::Builder::new().name("apiserver".to_owned()).spawn(move || {
            runtime.block_on(async {
                let served = async {
                    let listener = tokio::net::TcpListener::from_std(listener)?.tap_io(|stream| {
                        // A loss of speed only, and only of this connection.
                        drop(stream.set_nodelay(true));
                    });
                    axum::serve(listener, service).await
                };
                tokio::select! {
                    outcome = served => if let Err(error) = outcome {
                        tracing::error!(event = "apiserver_failed", %error);
                    },
                    _ = stopped => {}
                }
            });
            // Ends the connections, too.
            drop(runtime);
        })?;
        let server = Self { shared, address, stop: Some(stop), thread: Some(thread) };
        server.make_namespaces().map_err(io::Error::other)?;
        Ok(server)
    }

    fn make_namespaces(&self) -> Result<(), ApiError> {
        for name in NAMESPACES {
            let mut namespace = json!({ "metadata": { "name": name }, "status": { "phase": "Active" } });
            if name == "kube-system" {
                namespace["metadata"]["uid"] = json!(CLUSTER_UID);
            }
            self.create(Resource::Namespace, namespace)?;
        }
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, as seen from the network namespace of its listener.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A kubeconfig (YAML) for a user; `url` is where that user finds the server or a proxy to it.
    pub fn kubeconfig(url: &str, user: &str) -> String {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{ "name": "lab", "cluster": { "server": url } }],
            "users": [{ "name": "lab", "user": { "token": user } }],
            "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab" } }],
        });
        // JSON is YAML.
        format!("{config:#}\n")
    }

    fn author() -> Author {
        Author { field_manager: LAB_MANAGER.to_owned(), now: Timestamp::now() }
    }

    fn write(&self, key: Key, part: Part, request: Request) -> Result<Value, ApiError> {
        let author = Self::author();
        let written = self.shared.change(|s| write::write(s, key, part, request, &author))?;
        Ok(written.object().to_json())
    }

    /// Makes an object. Unlike a client's request it may bring its own `metadata.uid` and
    /// `creationTimestamp`.
    ///
    /// # Errors
    ///
    /// It exists, its namespace does not, or it has no name.
    pub fn create(&self, resource: Resource, object: Value) -> Result<Value, ApiError> {
        let object = Object::parse(resource, object)?;
        let key = object.key(resource, None, self.version() + 1)?;
        self.write(key, Part::Main, Request::Create(object))
    }

    /// Changes an object by merge patch (RFC 7386).
    ///
    /// # Errors
    ///
    /// It does not exist, or the patch names another `uid` or `resourceVersion`.
    pub fn patch(&self, key: &Key, patch: Value) -> Result<Value, ApiError> {
        self.write(key.clone(), Part::Main, Request::MergePatch(patch))
    }

    /// Changes an object's status by merge patch: `patch` is `{"status": …}`.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn patch_status(&self, key: &Key, patch: Value) -> Result<Value, ApiError> {
        self.write(key.clone(), Part::Status, Request::MergePatch(patch))
    }

    /// Applies a configuration as server-side apply with force does.
    ///
    /// # Errors
    ///
    /// The configuration is not of this resource.
    pub fn apply(&self, key: &Key, manager: &str, config: Value) -> Result<Value, ApiError> {
        let config = Object::parse(key.resource, config)?;
        let author = Author { field_manager: manager.to_owned(), ..Self::author() };
        let request = Request::Apply { config, on_conflict: OnConflict::TakeOver };
        let written = self.shared.change(|s| write::write(s, key.clone(), Part::Main, request, &author))?;
        Ok(written.object().to_json())
    }

    /// Removes an object.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn delete(&self, key: &Key) -> Result<(), ApiError> {
        self.shared.change(|store| write::delete(store, key, None)).map(drop)
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<Value> {
        self.shared.store().get(key).map(|object| object.to_json())
    }

    /// All objects of a resource, ordered by namespace and name.
    pub fn list(&self, resource: Resource) -> Vec<Value> {
        self.shared.store().list(resource, None).map(|(_, object)| object.to_json()).collect()
    }

    /// The resource version of the last change.
    pub fn version(&self) -> u64 {
        self.shared.store().version()
    }

    /// Follows the resource version, to wait for a change without polling.
    pub fn subscribe(&self) -> version_channel::Receiver<u64> {
        self.shared.versions.subscribe()
    }

    /// Misbehaves from now on towards the requests that `filter` picks.
    pub fn inject(&self, fault: Fault, lasting: FaultDuration, filter: RequestFilter) {
        self.shared.faults().add(fault, lasting, filter);
    }

    /// Behaves again.
    pub fn clear_faults(&self) {
        self.shared.faults().clear();
    }

    /// Forgets the history of changes: a watch that resumes from an earlier version gets 410, and
    /// so do those that are open.
    pub fn expire_history(&self) {
        self.shared.change(Store::compact);
        self.command(Command::Gone);
    }

    /// Ends all open watches, as their timeout would.
    pub fn end_watches(&self) {
        self.command(Command::End);
    }

    /// Sends a bookmark to all open watches that allow it.
    pub fn send_bookmarks(&self) {
        self.command(Command::Bookmark);
    }

    fn command(&self, command: Command) {
        // Fails exactly when no watch is open.
        drop(self.shared.commands.send(command));
    }

    /// The requests for objects so far.
    pub fn request_counts(&self) -> RequestCounts {
        self.shared.request_counts().clone()
    }

    /// Starts counting anew.
    pub fn reset_request_counts(&self) {
        *self.shared.request_counts() = RequestCounts::default();
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(event = "apiserver_panicked");
        }
    }
}
