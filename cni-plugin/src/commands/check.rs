//! CHECK: verify that a pod is attached as ADD configured it.

use carrick_pods::firewall::Firewall;
use carrick_pods::ipam::Store;

use crate::namespace::PodNamespace;
use crate::protocol::{Check, Code, Error};
use crate::wiring::{Sockets, Wiring};

/// Compares a pod's devices, addresses, routes and host ports with its record and with the result of ADD.
///
/// # Errors
///
/// Something is missing or wrong ([`Code::NotAsAdded`]; the details name everything), or cannot be read.
pub(super) fn check(call: &Check) -> Result<(), Error> {
    let Check { attachment, namespace, expected, run_directory } = call;
    let namespace = PodNamespace::open(namespace)?;
    let store = Store::under(run_directory);
    let Some(record) = store.find(attachment)? else {
        return Err(not_as_added(&[format!("there is no record of {}", attachment.key())]));
    };
    let mut problems = Vec::new();
    for address in &record.addresses {
        if !store.holds(attachment, *address)? {
            problems.push(format!("the address {address} is not reserved"));
        }
    }
    let mut firewall = Firewall::open()?;
    problems.extend(firewall.inconsistencies(&store)?);
    let wiring = Wiring::of(&record, 0);
    problems.extend(wiring.inspect(&mut Sockets::open(&namespace)?, expected)?);
    if problems.is_empty() { Ok(()) } else { Err(not_as_added(&problems)) }
}

fn not_as_added(problems: &[String]) -> Error {
    Error::new(Code::NotAsAdded, "the pod is not attached as ADD configured it", problems.join("; "))
}
