//! Writes to the API, as data.

use carrick_kube::client::ApiClient;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::Request;
use serde_json::Value;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Node(&'static str),
    NodeStatus(&'static str),
    PeerStatus(&'static str),
}

/// How it is written.
#[derive(Clone, Debug)]
pub enum Write {
    /// A JSON merge patch (RFC 7396), as `kubectl annotate` and `kubectl patch --type=merge` send it.
    Merge(Target, Value),
    /// A strategic merge patch, as kubelets send it.
    Strategic(Target, Value),
    /// Server-side apply.
    Apply(Target, Value),
    /// Reads the object, changes it by a merge patch, and sends all of it.
    Update(Target, Value),
    /// Reads the object, changes it, and sends all of it.
    Edit(Target, fn(&mut Value)),
    /// Creates a Node.
    Create(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Real,
    /// All checks, and nothing is stored.
    DryRun,
}

impl Target {
    fn parts(self) -> (&'static str, &'static str, Option<&'static str>) {
        match self {
            Self::Node(name) => ("/api/v1/nodes", name, None),
            Self::NodeStatus(name) => ("/api/v1/nodes", name, Some("status")),
            Self::PeerStatus(name) => ("/apis/carrick.dev/v1alpha1/peers", name, Some("status")),
        }
    }
}

impl Target {
    async fn read(self, reader: &ApiClient) -> Result<Value, kube::Error> {
        let (path, name, _) = self.parts();
        let get = Request::new(path).get(name, &kube::api::GetParams::default()).unwrap();
        reader.client().request(get).await
    }

    fn replace(
        self,
        parameters: &PostParams,
        object: &Value,
    ) -> Result<http::Request<Vec<u8>>, kube::core::request::Error> {
        let (path, name, subresource) = self.parts();
        let body = in_bytes(object);
        match subresource {
            None => Request::new(path).replace(name, parameters, body),
            Some(subresource) => Request::new(path).replace_subresource(subresource, name, parameters, body),
        }
    }
}

impl Write {
    /// Sends it. `reader` reads the object that an update starts from.
    pub async fn send(&self, client: &ApiClient, reader: &ApiClient, mode: Mode) -> Result<Value, kube::Error> {
        let dry_run = mode == Mode::DryRun;
        let patch = |target, patch: Patch<&Value>, parameters: PatchParams| {
            let (path, name, subresource) = Target::parts(target);
            let parameters = PatchParams { dry_run, ..parameters };
            match subresource {
                None => Request::new(path).patch(name, &parameters, &patch),
                Some(subresource) => Request::new(path).patch_subresource(subresource, name, &parameters, &patch),
            }
        };
        let parameters = PostParams { dry_run, field_manager: Some("test".to_owned()) };
        let request = match self {
            Self::Merge(target, change) => patch(*target, Patch::Merge(change), PatchParams::default()),
            Self::Strategic(target, change) => patch(*target, Patch::Strategic(change), PatchParams::default()),
            Self::Apply(target, object) => patch(*target, Patch::Apply(object), PatchParams::apply("test").force()),
            Self::Update(target, change) => {
                let mut object = target.read(reader).await?;
                merge(&mut object, change);
                target.replace(&parameters, &object)
            }
            Self::Edit(target, change) => {
                let mut object = target.read(reader).await?;
                change(&mut object);
                target.replace(&parameters, &object)
            }
            Self::Create(node) => Request::new("/api/v1/nodes").create(&parameters, serde_json::to_vec(node).unwrap()),
        };
        client.client().request(request.unwrap()).await
    }
}

fn in_bytes(object: &Value) -> Vec<u8> {
    serde_json::to_vec(object).unwrap()
}

/// Applies a merge patch (RFC 7396).
fn merge(object: &mut Value, change: &Value) {
    let (Value::Object(object), Value::Object(change)) = (&mut *object, change) else {
        *object = change.clone();
        return;
    };
    for (key, value) in change {
        if value.is_null() {
            object.remove(key);
        } else {
            merge(object.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
