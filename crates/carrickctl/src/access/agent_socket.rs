//! An agent's socket, as `--socket` takes it.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use carrick_topology::NodeName;

/// The socket of an agent, and the node that the agent belongs to, if that is given: an agent that does not answer does not say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSocket {
    /// The agent's node.
    pub node: Option<NodeName>,
    /// The path of the socket.
    pub path: PathBuf,
}

impl From<PathBuf> for AgentSocket {
    fn from(path: PathBuf) -> Self {
        Self { node: None, path }
    }
}

impl FromStr for AgentSocket {
    type Err = Infallible;

    /// `NODE=PATH` or `PATH`. A path that contains `=` behind something that is no name of a node is a path.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = text.split_once('=').and_then(|(node, path)| Some((node.parse().ok()?, path)));
        Ok(match named {
            Some((node, path)) => Self { node: Some(node), path: path.into() },
            None => PathBuf::from(text).into(),
        })
    }
}

impl fmt::Display for AgentSocket {
    /// How the agent is named while it does not answer.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => node.fmt(formatter),
            None => self.path.display().fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_does_not_answer_has_the_name_of_its_node_if_that_is_given() {
        let shown = |text: &str| {
            let socket: AgentSocket = text.parse().unwrap();
            (socket.to_string(), socket.path.display().to_string())
        };
        let path = "/proc/7/root/run/carrick/agent.sock";
        assert_eq!(shown(&format!("b1={path}")), ("b1".to_owned(), path.to_owned()));
        assert_eq!(shown(path), (path.to_owned(), path.to_owned()));
        let odd = "/tmp/a=b/agent.sock";
        assert_eq!(shown(odd), (odd.to_owned(), odd.to_owned()));
    }
}
