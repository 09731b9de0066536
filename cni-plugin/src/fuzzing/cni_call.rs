//! The properties that every call has, for any input.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path};

use carrick_netlink::Family;
use carrick_pods::ipam::Record;
use carrick_pods::{Attachment, Rate};

use crate::protocol::{Add, Call, Command, Environment, Error, Version};

/// The longest name of a file, in bytes.
const LONGEST_FILE_NAME: usize = 255;
/// The longest name of a network device, in bytes.
const LONGEST_DEVICE_NAME: usize = 15;

/// Reads `bytes` as a call, and checks its properties. The format: variables as `NAME=VALUE`, each terminated by a zero byte; an empty
/// variable; standard input.
///
/// # Panics
///
/// A property is violated.
pub fn check(bytes: &[u8]) {
    let (environment, input) = split(bytes);
    let command = match environment.command() {
        Ok(command) => command,
        Err(error) => return check_error(&error, Version::NEWEST),
    };
    let (version, call) = Call::read(command, &environment, input);
    match call {
        Ok(Call::Add(add)) => {
            check_add(&add);
            check_deletable(&environment, input, &add.attachment, &add.run_directory);
        }
        Ok(Call::Check(check)) => check_deletable(&environment, input, &check.attachment, &check.run_directory),
        Ok(Call::Del(del)) => {
            check_attachment(&del.attachment);
            check_directory(&del.run_directory);
        }
        Ok(Call::Gc(gc)) => check_directory(&gc.run_directory),
        Ok(Call::Status(run_directory)) => check_directory(&run_directory),
        Ok(Call::Version(report)) => assert!(report["supportedVersions"].is_array(), "{report}"),
        Err(error) => check_error(&error, version),
    }
}

fn split(bytes: &[u8]) -> (Environment, &[u8]) {
    let mut variables = Vec::new();
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let variable = &rest[..end];
        rest = &rest[end + 1..];
        if variable.is_empty() {
            break;
        }
        variables.push(variable);
    }
    let value = |name: &str| {
        let mut values =
            variables.iter().filter_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        values.next().map(|value| OsString::from_vec(value.to_vec()))
    };
    (Environment::from_variables(value), rest)
}

fn check_add(add: &Add) {
    let requests = &add.requests;
    let families: BTreeSet<Family> = requests.addresses.iter().map(|address| Family::from(*address)).collect();
    assert_eq!(families.len(), requests.addresses.len(), "more than one address of a family");
    assert!(requests.mac.is_none_or(|mac| mac.0[0] & 1 == 0), "a multicast MAC address");
    let rates = [requests.ingress, requests.egress].into_iter().flatten();
    assert!(rates.into_iter().all(|Rate { rate, burst }| rate >= 8 && burst >= 8), "less than a byte");

    let device = add.attachment.host_device();
    assert!(device.len() <= LONGEST_DEVICE_NAME, "{device}");
    for families in [&Family::BOTH[..], &[Family::V4], &[Family::V6]] {
        let Ok(host_ports) = requests.host_ports(families, None) else { continue };
        assert!(host_ports.iter().all(|port| families.contains(&port.family())));
        assert!(host_ports.iter().all(|port| port.host_port != 0 && port.pod_port != 0));
        let keys: BTreeSet<_> = host_ports.iter().map(|port| port.key()).collect();
        assert_eq!(keys.len(), host_ports.len(), "one host port twice");
        check_record(&Record {
            attachment: add.attachment.clone(),
            pod: add.pod.clone(),
            device: device.clone(),
            addresses: requests.addresses.clone(),
            mac: requests.mac,
            host_ports,
            ingress: requests.ingress,
            egress: requests.egress,
        });
    }
}

/// A written record can be read again, and its title has no control characters.
fn check_record(record: &Record) {
    let content = serde_json::to_vec(record).unwrap();
    assert_eq!(serde_json::from_slice::<Record>(&content).unwrap(), *record);
    assert!(!record.title().contains(|character: char| character.is_control()), "{:?}", record.title());
}

/// DEL accepts the input of ADD and CHECK.
fn check_deletable(environment: &Environment, input: &[u8], attachment: &Attachment, run_directory: &Path) {
    match Call::read(Command::Del, environment, input).1 {
        Ok(Call::Del(del)) => assert_eq!((&del.attachment, del.run_directory.as_path()), (attachment, run_directory)),
        other => panic!("DEL refuses an input that ADD or CHECK accepts: {other:?}"),
    }
    check_attachment(attachment);
    check_directory(run_directory);
}

/// The key is a file name, and the interface name is valid.
fn check_attachment(attachment: &Attachment) {
    let key = attachment.key();
    let components: Vec<Component<'_>> = Path::new(&key).components().collect();
    assert_eq!(components, [Component::Normal(key.as_ref())]);
    assert!(key.len() <= LONGEST_FILE_NAME, "{key}");
    let interface = &attachment.interface;
    assert!((1..=LONGEST_DEVICE_NAME).contains(&interface.len()), "{interface}");
    // The kernel replaces a pattern such as `%d` in a name.
    assert!(!interface.contains('%'), "{interface}");
    assert!(!key.contains(|character: char| character.is_control()), "{key:?}");
}

fn check_directory(run_directory: &Path) {
    assert!(run_directory.is_absolute(), "{}", run_directory.display());
}

fn check_error(error: &Error, version: Version) {
    assert!(!error.message.is_empty() && !error.details.is_empty(), "{error:?}");
    let answer: serde_json::Value = serde_json::from_str(&error.to_json(version).to_string()).unwrap();
    assert_eq!(answer["code"], error.code.number());
}
