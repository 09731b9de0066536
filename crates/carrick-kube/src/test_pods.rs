//! Pods and Services of `carrickctl test`, in a namespace of their own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use carrick_topology::NodeName;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::agents::{ExecError, Executed, execute};
use crate::client::ApiClient;

/// The label with the name of the server that a Service leads to.
const SERVER: &str = "carrick-test";

/// The API server refused a request of the test, or did not answer.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: {error}")]
pub struct TestPodsError {
    action: &'static str,
    #[source]
    error: kube::Error,
}

/// A namespace for a test.
#[derive(Clone)]
pub struct TestNamespace {
    client: Client,
    /// Its name.
    pub name: String,
}

/// A server to be started.
#[derive(Clone, Debug)]
pub struct TestServer {
    /// The name of the pod, and of its Service if it has one.
    pub name: String,
    /// The node that it runs on.
    pub node: NodeName,
    /// The image of Carrick.
    pub image: String,
    /// The port that the server listens on.
    pub port: u16,
    /// Where the server runs.
    pub place: Place,
}

/// Where a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the pod network, with a Service and a host port.
    Pod {
        /// The host port.
        host_port: u16,
    },
    /// In the network of its node.
    Host,
}

/// The addresses of the servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestAddresses {
    /// The addresses of each running pod, by the name of the pod.
    pub pods: BTreeMap<String, Vec<IpAddr>>,
    /// The addresses of each Service, by the name of the Service.
    pub services: BTreeMap<String, Vec<IpAddr>>,
    /// The state of each pod that does not run, for people.
    pub waiting: BTreeMap<String, String>,
}

impl TestNamespace {
    /// Makes a namespace with a name that the API server chooses.
    ///
    /// # Errors
    /// The API server refused, or did not answer.
    pub async fn create(client: &ApiClient) -> Result<Self, TestPodsError> {
        let client = client.client();
        let action = "make the namespace of the test";
        let namespace: Namespace = object(json!({"metadata": {
            "generateName": "carrick-test-",
            // A server in the network of its node is not permitted otherwise.
            "labels": {"pod-security.kubernetes.io/enforce": "privileged"},
        }}))
        .map_err(failed(action))?;
        let created = Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await;
        let created = created.map_err(failed(action))?;
        Ok(Self { client, name: created.metadata.name.unwrap_or_default() })
    }

    /// Starts a server, and makes its Service.
    ///
    /// # Errors
    /// The API server refused, or did not answer.
    pub async fn start(&self, server: &TestServer) -> Result<(), TestPodsError> {
        self.add::<Pod>(pod(server)).await.map_err(failed("make a pod of the test"))?;
        match server.place {
            Place::Pod { .. } => {
                self.add::<Service>(service(server)).await.map_err(failed("make a Service of the test"))
            }
            Place::Host => Ok(()),
        }
    }

    /// The addresses that the servers have by now.
    ///
    /// # Errors
    /// The API server refused, or did not answer.
    pub async fn addresses(&self) -> Result<TestAddresses, TestPodsError> {
        let action = "list the pods and Services of the test";
        let mut addresses = TestAddresses::default();
        let all = ListParams::default();
        for pod in
            Api::<Pod>::namespaced(self.client.clone(), &self.name).list(&all).await.map_err(failed(action))?.items
        {
            let name = pod.metadata.name.clone().unwrap_or_default();
            match running(&pod) {
                Ok(found) => addresses.pods.insert(name, found).map(drop),
                Err(state) => addresses.waiting.insert(name, state).map(drop),
            };
        }
        for service in
            Api::<Service>::namespaced(self.client.clone(), &self.name).list(&all).await.map_err(failed(action))?.items
        {
            let found = service.spec.and_then(|spec| spec.cluster_ips).unwrap_or_default();
            let found = found.iter().filter_map(|address| address.parse().ok()).collect();
            addresses.services.insert(service.metadata.name.unwrap_or_default(), found);
        }
        Ok(addresses)
    }

    /// Deletes the namespace. Kubernetes then deletes what is in it.
    ///
    /// # Errors
    /// The API server refused, or did not answer.
    pub async fn delete(&self) -> Result<(), TestPodsError> {
        let deleted = Api::<Namespace>::all(self.client.clone()).delete(&self.name, &DeleteParams::default()).await;
        deleted.map(drop).map_err(failed("delete the namespace of the test"))
    }

    /// Executes a command in the container of a pod, and waits for its end.
    ///
    /// # Errors
    /// See [`ExecError`].
    pub async fn execute(&self, pod: &str, command: &[&str]) -> Result<Executed, ExecError> {
        execute(&self.client, &self.name, pod, command).await
    }

    async fn add<T>(&self, value: Value) -> Result<(), kube::Error>
    where
        T: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + DeserializeOwned
            + serde::Serialize
            + Clone
            + std::fmt::Debug,
    {
        Api::<T>::namespaced(self.client.clone(), &self.name)
            .create(&PostParams::default(), &object(value)?)
            .await
            .map(drop)
    }
}

fn failed(action: &'static str) -> impl FnOnce(kube::Error) -> TestPodsError {
    move |error| TestPodsError { action, error }
}

fn object<T: DeserializeOwned>(value: Value) -> Result<T, kube::Error> {
    serde_json::from_value(value).map_err(kube::Error::SerdeError)
}

fn pod(server: &TestServer) -> Value {
    let ports = match server.place {
        Place::Pod { host_port } => json!([{"containerPort": server.port, "hostPort": host_port}]),
        Place::Host => json!([]),
    };
    json!({
        "metadata": {"name": server.name, "labels": {SERVER: server.name}},
        "spec": {
            "nodeName": server.node,
            "hostNetwork": server.place == Place::Host,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{
                "name": "carrick",
                "image": server.image,
                "imagePullPolicy": "IfNotPresent",
                "args": ["connectivity-server", "--port", server.port.to_string()],
                "ports": ports,
                "securityContext": {
                    "runAsUser": 65534,
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
            }],
        },
    })
}

fn service(server: &TestServer) -> Value {
    json!({
        "metadata": {"name": server.name},
        "spec": {
            "selector": {SERVER: server.name},
            "ipFamilyPolicy": "PreferDualStack",
            "ports": [{"port": server.port}],
        },
    })
}

/// The addresses of a pod whose container runs.
///
/// # Errors
/// The container does not run, for people.
fn running(pod: &Pod) -> Result<Vec<IpAddr>, String> {
    let status = pod.status.as_ref().ok_or("it has no status yet")?;
    let phase = status.phase.as_deref().unwrap_or("Pending");
    if phase == "Running" {
        let addresses = status.pod_ips.iter().flatten().filter_map(|one| one.ip.parse().ok());
        return Ok(addresses.collect());
    }
    let containers = status.container_statuses.iter().flatten();
    let waiting = containers.filter_map(|container| container.state.as_ref()?.waiting.as_ref()).next();
    let reason = waiting.map(|waiting| {
        [waiting.reason.as_deref(), waiting.message.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(": ")
    });
    Err(reason.unwrap_or_else(|| phase.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(place: Place) -> TestServer {
        TestServer {
            name: "pod-0".to_owned(),
            node: "a1".parse().unwrap(),
            image: "carrick:1".to_owned(),
            port: 8080,
            place,
        }
    }

    #[test]
    fn the_objects_are_valid_and_have_no_rights() {
        let pod: Pod = object(pod(&server(Place::Pod { host_port: 28080 }))).unwrap();
        let spec = pod.spec.unwrap();
        assert_eq!((spec.node_name.as_deref(), spec.host_network), (Some("a1"), Some(false)));
        assert_eq!(spec.automount_service_account_token, Some(false));
        assert_eq!(spec.containers[0].ports.as_ref().unwrap()[0].host_port, Some(28080));
        let service: Service = object(service(&server(Place::Pod { host_port: 28080 }))).unwrap();
        assert_eq!(service.spec.unwrap().selector.unwrap().get(SERVER), pod.metadata.labels.unwrap().get(SERVER));
        let host: Pod = object(super::pod(&server(Place::Host))).unwrap();
        assert_eq!(host.spec.unwrap().host_network, Some(true));
    }

    #[test]
    fn a_pod_that_does_not_run_says_why() {
        let state = |status: Value| running(&object(json!({"metadata": {}, "status": status})).unwrap());
        let addresses = state(json!({"phase": "Running", "podIPs": [{"ip": "10.42.0.2"}, {"ip": "fd42::2"}]}));
        assert_eq!(addresses.unwrap(), ["10.42.0.2".parse::<IpAddr>().unwrap(), "fd42::2".parse().unwrap()]);
        let waiting = json!({"name": "carrick", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}});
        let refused = state(json!({"phase": "Pending", "containerStatuses": [waiting]}));
        assert_eq!(refused.unwrap_err(), "ErrImagePull: not found");
        assert_eq!(state(json!({"phase": "Pending"})).unwrap_err(), "Pending");
    }
}
