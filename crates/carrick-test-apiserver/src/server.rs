//! A running server and its controls.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::{io, thread};

use axum::Router;
use axum::serve::ListenerExt as _;
use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::error::ApiError;
use crate::fault::{Fault, FaultDuration, RequestFilter};
use crate::object::Object;
use crate::request_counts::RequestCounts;
use crate::resource::{Key, Resource};
use crate::shared::{Command, Shared};
use crate::store::Store;
use crate::write::{self, Part, Request};
use crate::{http, kubeconfig};

/// The UID of the namespace `kube-system`, which identifies a cluster.
pub const CLUSTER_UID: &str = "63617272-6963-4b00-8000-000000000001";
/// The namespaces that a new server has.
pub const NAMESPACES: [&str; 4] = ["default", "kube-system", "carrick-system", "carrick-preshared-keys"];
/// The admission policies and their bindings, which a new server has, so that agents find them. The server does not evaluate them.
const POLICIES: &str = include_str!("../../../deploy/policy.yaml");

/// A running server. Dropping it stops the server and closes its connections.
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
    /// The listener cannot be used, or no thread can be started.
    pub fn start(listener: TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let service = Router::new().fallback(http::answer).with_state(shared.clone());
        let thread = thread::Builder::new().name("apiserver".to_owned()).spawn(move || {
            runtime.block_on(async {
                let serving = async {
                    let listener = tokio::net::TcpListener::from_std(listener)?.tap_io(|stream| {
                        // A failure makes this connection slower and has no other effect.
                        drop(stream.set_nodelay(true));
                    });
                    axum::serve(listener, service).await
                };
                tokio::select! {
                    outcome = serving => if let Err(error) = outcome {
                        tracing::error!(event = "apiserver_failed", %error);
                    },
                    _ = stopped => {}
                }
            });
            // Closes the connections.
            drop(runtime);
        })?;
        let server = Self { shared, address, stop: Some(stop), thread: Some(thread) };
        server.create_namespaces().map_err(io::Error::other)?;
        server.create_policies()?;
        Ok(server)
    }

    /// The address that the server listens at.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's URL in the network namespace of its listener.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A kubeconfig (YAML) for a user. `url` is the URL at which that user reaches the server or a proxy to it.
    #[must_use]
    pub fn kubeconfig(url: &str, user: &str) -> String {
        kubeconfig::render(&json!({ "server": url }), user)
    }

    /// Creates an object. Unlike a client, the caller may set `metadata.uid` and `metadata.creationTimestamp`.
    ///
    /// # Errors
    /// The object exists, or has no name.
    pub fn create(&self, resource: Resource, object: Value) -> Result<Value, ApiError> {
        let object = Object::parse(resource, object)?;
        let key = object.key(resource, None)?;
        self.write(key, Part::Main, Request::Create(object))
    }

    /// Changes an object with a merge patch (RFC 7386).
    ///
    /// # Errors
    /// The object does not exist, or the patch names another `uid`.
    pub fn patch(&self, key: &Key, patch: Value) -> Result<Value, ApiError> {
        self.write(key.clone(), Part::Main, Request::Merge(patch))
    }

    /// Changes an object's status with a merge patch: `patch` is `{"status": …}`.
    ///
    /// # Errors
    /// The object does not exist.
    pub fn patch_status(&self, key: &Key, patch: Value) -> Result<Value, ApiError> {
        self.write(key.clone(), Part::Status, Request::Merge(patch))
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// The object does not exist.
    pub fn delete(&self, key: &Key) -> Result<(), ApiError> {
        self.shared.change(|store| write::delete(store, key)).map(drop)
    }

    /// An object.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Value> {
        self.shared.store().get(key).map(|object| object.to_json())
    }

    /// All objects of a resource, ordered by namespace and name.
    #[must_use]
    pub fn list(&self, resource: Resource) -> Vec<Value> {
        self.shared.store().list(resource, None).map(|(_, object)| object.to_json()).collect()
    }

    /// The resource version of the last change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.shared.store().version()
    }

    /// Injects a fault into the requests that `filter` matches.
    pub fn inject(&self, fault: Fault, duration: FaultDuration, filter: RequestFilter) {
        self.shared.faults().add(fault, duration, filter);
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.shared.faults().clear();
    }

    /// Forgets the history of changes. A watch that resumes from an earlier version gets 410 Gone, and so does every open watch.
    pub fn expire_history(&self) {
        self.shared.change(Store::compact);
        self.shared.command(Command::Gone);
    }

    /// Ends all open watches, as their timeout does.
    pub fn end_watches(&self) {
        self.shared.command(Command::End);
    }

    /// Sends a bookmark to all open watches that allow bookmarks.
    pub fn send_bookmarks(&self) {
        self.shared.command(Command::Bookmark);
    }

    /// The requests for objects so far.
    #[must_use]
    pub fn request_counts(&self) -> RequestCounts {
        self.shared.request_counts().clone()
    }

    /// Sets all request counts to zero.
    pub fn reset_request_counts(&self) {
        *self.shared.request_counts() = RequestCounts::default();
    }

    fn create_namespaces(&self) -> Result<(), ApiError> {
        for name in NAMESPACES {
            let mut namespace = json!({ "metadata": { "name": name }, "status": { "phase": "Active" } });
            if name == "kube-system" {
                namespace["metadata"]["uid"] = json!(CLUSTER_UID);
            }
            self.create(Resource::Namespace, namespace)?;
        }
        Ok(())
    }

    fn create_policies(&self) -> io::Result<()> {
        for document in serde_yaml_ng::Deserializer::from_str(POLICIES) {
            let object = Value::deserialize(document).map_err(io::Error::other)?;
            let resources = [Resource::AdmissionPolicy, Resource::AdmissionPolicyBinding];
            if let Some(resource) = resources.into_iter().find(|resource| object["kind"] == resource.kind()) {
                self.create(resource, object).map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    fn write(&self, key: Key, part: Part, request: Request) -> Result<Value, ApiError> {
        let written = self.shared.change(|store| write::write(store, key, part, request, Timestamp::now()))?;
        Ok(written.object().to_json())
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
