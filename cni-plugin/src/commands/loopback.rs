//! The plugin `loopback`: sets the loopback device of a pod up. Some container runtimes call a plugin of this name for each pod, and start no
//! pod without it. On hosts that have none, `carrick install-cni` links the name to this program.

use std::io::Read;
use std::path::Path;

use carrick_netlink::link::{self, Change};
use carrick_netlink::{Protocol, Socket};
use carrick_pods::cni_version::Version;
use serde_json::{Value, json};

use super::{Answer, answer, read};
use crate::namespace::PodNamespace;
use crate::protocol::{Call, Code, Environment, Error};

/// The kernel's number of every namespace's loopback device (`LOOPBACK_IFINDEX`).
const INDEX: u32 = 1;
const NAME: &str = "lo";

/// Runs the call of a container runtime for the plugin `loopback`.
pub fn run_loopback(environment: &Environment, input: impl Read) -> Answer {
    let (version, call) = match environment.command().and_then(|command| Ok((command, read(input)?))) {
        Ok((command, content)) => Call::read(command, environment, &content),
        Err(error) => (Version::NEWEST, Err(error)),
    };
    answer(version, call.and_then(|call| dispatch(&call, environment, version)))
}

fn dispatch(call: &Call, environment: &Environment, version: Version) -> Result<Option<Value>, Error> {
    match call {
        Call::Add(call) => {
            set(&call.namespace, true)?;
            Ok(Some(result(&call.namespace, version)))
        }
        // The namespace goes with the pod. It may be gone already.
        Call::Del(_) => match environment.namespace().and_then(|namespace| set(&namespace, false)) {
            Err(error) if !matches!(error.code, Code::UnknownContainer | Code::InvalidEnvironment) => Err(error),
            Ok(()) | Err(_) => Ok(None),
        },
        Call::Check(call) => check(&call.namespace).map(|()| None),
        Call::Gc(_) | Call::Status(_) => Ok(None),
        Call::Version(report) => Ok(Some(report.clone())),
    }
}

fn set(namespace: &Path, up: bool) -> Result<(), Error> {
    PodNamespace::open(namespace)?.enter(|| {
        let change = Change { up: Some(up), ..Change::default() };
        Ok(Socket::open(Protocol::Route)?.execute(&link::change(INDEX, NAME, &change))?)
    })
}

fn check(namespace: &Path) -> Result<(), Error> {
    let device =
        PodNamespace::open(namespace)?.enter(|| Ok(link::by_name(&mut Socket::open(Protocol::Route)?, NAME)?))?;
    if device.up {
        return Ok(());
    }
    Err(Error::new(Code::NotAsAdded, "the loopback device is down", format!("{}: {NAME}", namespace.display())))
}

fn result(namespace: &Path, version: Version) -> Value {
    let mut address = json!({ "address": "127.0.0.1/8", "interface": 0 });
    if version < Version::V1_0_0 {
        address["version"] = json!("4");
    }
    json!({
        "cniVersion": version,
        "interfaces": [{ "name": NAME, "mac": "00:00:00:00:00:00", "sandbox": namespace.to_string_lossy() }],
        "ips": [address],
        "routes": [],
    })
}
