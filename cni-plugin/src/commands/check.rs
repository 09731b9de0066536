//! CHECK: is a pod still attached as ADD left it?

use crate::namespace::PodNamespace;
use crate::protocol::{Check, Code, Error};
use crate::wiring::{Sockets, Wiring};
use carrick_pods::firewall::Firewall;
use carrick_pods::ipam::Store;

/// Compares a pod's connection with its record and with what ADD returned.
///
/// # Errors
///
/// Something is missing or wrong ([`Code::NotAsAdded`], which names all of it), or could not be looked at.
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
            problems.push(format!("{address} is not reserved"));
        }
    }
    let mut firewall = Firewall::open()?;
    problems.extend(firewall.inconsistencies(&store)?);
    let wiring = Wiring::of(&record, 0);
    problems.extend(wiring.inspect(&mut Sockets::open(&namespace)?, expected)?);
    if problems.is_empty() { Ok(()) } else { Err(not_as_added(&problems)) }
}

fn not_as_added(problems: &[String]) -> Error {
    Error::new(Code::NotAsAdded, "the pod is not attached as it was", problems.join("; "))
}
