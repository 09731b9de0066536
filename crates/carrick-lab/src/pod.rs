//! A pod: a network namespace on a node, which the node's CNI plugins attach.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::address::Addresses;
use crate::cni::{self, CONFIGURATION_DIRECTORY, Container, Network, PluginError};
use crate::namespace::{Namespaces, network_path};
use crate::network;
use crate::node::Node;
use crate::wait;

/// An attached pod.
#[derive(Debug)]
pub struct Pod {
    name: String,
    node: String,
    namespaces: Namespaces,
    addresses: Addresses,
    container: Container,
    plugins: Network,
    result: Value,
}

impl Pod {
    /// Makes a pod on a node: waits for the node's network configuration, and attaches the pod.
    ///
    /// # Errors
    /// The node is off, its agent ends, or a plugin fails.
    pub fn start(node: &Node, name: &str) -> Result<Self> {
        let plugins = wait::until(&format!("a network configuration on {}", node.name()), || {
            node.check_agent()?;
            cni::first_network(&node.path(CONFIGURATION_DIRECTORY)?)
        })?;
        let on_node = node.namespaces()?;
        let path = network_path(&format!("cni-{name}"));
        on_node.make_network(&path)?;
        let own = Namespaces::network(name, &node.path(&path)?)?;
        network::configure(&own, |kernel| kernel.set_up("lo"))?;
        let container = Container {
            id: format!("{name}-sandbox"),
            namespace: path.clone().into(),
            pod: ("default".to_owned(), name.to_owned()),
        };
        let result = match attach(node, &plugins, &on_node, &container) {
            Ok(result) => result,
            Err(error) => {
                on_node.remove_network(&path)?;
                return Err(error).with_context(|| format!("attach the pod {name}"));
            }
        };
        Ok(Self {
            name: name.to_owned(),
            node: node.name().to_owned(),
            namespaces: on_node.with_network_of(&own)?,
            addresses: cni::addresses(&result)?,
            container,
            plugins,
            result,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its node.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Its addresses.
    #[must_use]
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Its network namespace, with the other namespaces of its node.
    #[must_use]
    pub const fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Its container, as the runtime identifies it to plugins.
    #[must_use]
    pub const fn container(&self) -> &Container {
        &self.container
    }

    /// The plugins' result when they attached the pod.
    #[must_use]
    pub const fn result(&self) -> &Value {
        &self.result
    }

    /// Runs a command line in the pod, and returns its standard output.
    ///
    /// # Errors
    /// The command fails; the error shows the command's output.
    pub fn exec(&self, command_line: &[&str]) -> Result<String> {
        self.namespaces.exec(command_line)
    }

    /// Lets the plugins verify the attachment.
    ///
    /// # Errors
    /// A plugin finds a difference, or the node is off.
    pub fn check(&self, node: &Node) -> Result<()> {
        self.plugins.check(&node.namespaces()?, &self.container, &self.result)
    }

    /// Ends the pod, as a runtime does: the plugins detach it, and then its network namespace is removed.
    ///
    /// # Errors
    /// A plugin fails, or the node is off.
    pub fn stop(self, node: &Node) -> Result<()> {
        let on_node = node.namespaces()?;
        self.plugins.del(&on_node, &self.container, Some(&self.result))?;
        on_node.remove_network(&network_path(&format!("cni-{}", self.name)))
    }
}

/// Attaches a container. As kubelets do, it repeats the call while the plugins ask to be called again later.
fn attach(node: &Node, network: &Network, on_node: &Namespaces, container: &Container) -> Result<Value> {
    wait::until(&format!("the plugins on {}", node.name()), || match network.add(on_node, container) {
        Ok(result) => Ok(Some(result)),
        Err(error) if error.downcast_ref().is_some_and(PluginError::is_temporary) => {
            node.check_agent()?;
            Ok(None)
        }
        Err(error) => Err(error),
    })
}
