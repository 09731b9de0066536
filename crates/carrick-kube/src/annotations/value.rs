//! The formats of values. An error says what is expected.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use carrick_topology::constants::metadata_services;
use carrick_topology::model::{AgentVersion, Family, KeyProof, Preference, PublicKey, host_net};
use carrick_topology::{Endpoint, NodeName};
use ipnet::IpNet;

/// Bytes beyond which no name, key or endpoint is valid.
const LONGEST: usize = 300;

/// A name, key or endpoint, whose own type says what is wrong with it.
pub(crate) fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    if text.len() > LONGEST {
        return Err(format!("this is longer than any valid value ({} bytes)", text.len()));
    }
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// The proof that the node of this name holds the private key of this public key.
pub(crate) fn key_proof(text: &str, public_key: Option<PublicKey>, node: &NodeName) -> Result<KeyProof, String> {
    let proof = parsed::<KeyProof>(text)?;
    let is_valid = public_key.is_some_and(|key| proof.is_of(&key, node.as_str()));
    is_valid.then_some(proof).ok_or_else(|| "the agent of this node did not sign its `public-key`".to_owned())
}

/// A network. Bits behind the prefix are cut off: `192.168.1.7/24` is the network `192.168.1.0/24`.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let net = address_with_length(text).ok_or("write a network such as `192.168.1.0/24` or `2001:db8::/64`")?.trunc();
    let is_of_link = |link: &&&str| link.parse().is_ok_and(|link: IpNet| link.contains(&net));
    match NETWORKS_OF_A_LINK.iter().find(is_of_link) {
        None => Ok(net),
        Some(link) => Err(format!("no packet for {link} leaves a host or a link: the mesh cannot carry it")),
    }
}

/// Networks whose addresses mean something on one host or one link alone: loopback, link-local and multicast (RFC 6890, RFC 4291 §2.4). Without
/// them, a host finds no neighbours.
const NETWORKS_OF_A_LINK: [&str; 6] =
    ["127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "::1/128", "fe80::/10", "ff00::/8"];

/// The shortest prefixes of networks that all nodes follow. `mesh.rs` has the same rule in CEL.
const SHORTEST_PREFIX_V4: u8 = 8;
/// Of IPv6, except for unique local addresses (fc00::/7).
const SHORTEST_PREFIX_V6: u8 = 16;

/// A network that all nodes follow: of the whole cluster, or of a Peer. One that is wider than any network of an operator is a mistake: it would
/// close the internet to the nodes, permit everything, or send a part of the internet to a Peer.
pub(crate) fn network_of_operator(text: &str) -> Result<IpNet, String> {
    let net = network(text)?;
    let is_narrow = match net {
        IpNet::V4(net) => net.prefix_len() >= SHORTEST_PREFIX_V4,
        IpNet::V6(net) => {
            net.prefix_len() >= SHORTEST_PREFIX_V6 || (net.prefix_len() >= 7 && net.addr().is_unique_local())
        }
    };
    let expected = || {
        format!(
            "too wide: write a prefix of at least /{SHORTEST_PREFIX_V4} (IPv4) or /{SHORTEST_PREFIX_V6} (IPv6), or a network within fc00::/7"
        )
    };
    is_narrow.then_some(net).ok_or_else(expected)
}

/// An address with the length of its subnet; without a length it is alone in its subnet.
pub(crate) fn interface_address(text: &str) -> Result<IpNet, String> {
    let net = address_with_length(text)
        .ok_or("write an address with the length of its subnet, such as `10.0.0.7/24` or `fd00::7/64`")?;
    host_address_rule(&net.addr())?;
    let has_host_part = net.prefix_len() + 1 < net.max_prefix_len();
    if has_host_part && net.addr() == net.network() {
        return Err(format!("this is a whole network; write the node's address in it, such as `{}`", example_in(&net)));
    }
    if has_host_part && Family::of_net(&net) == Family::V4 && net.addr() == net.broadcast() {
        return Err("this is the broadcast address of its subnet".to_owned());
    }
    Ok(net)
}

/// An address that a node can have.
pub(crate) fn host_address(text: &str) -> Result<IpAddr, String> {
    let address = text.parse().map_err(|_| "write an address such as `10.4.0.7` or `fd00::7`".to_owned())?;
    host_address_rule(&address)?;
    Ok(address)
}

/// `node=address:port`.
pub(crate) fn observed_endpoint(text: &str) -> Result<(NodeName, SocketAddr), String> {
    let (node, address) = text.split_once('=').ok_or("write `node=1.2.3.4:51820`")?;
    let address = address.trim().parse().map_err(|_| "write `node=1.2.3.4:51820` or `node=[2001:db8::1]:51820`")?;
    Ok((parsed(node.trim())?, address))
}

/// `preferred` or `never`.
pub(crate) fn preference(text: &str) -> Result<Preference, String> {
    match text {
        "preferred" => Ok(Preference::Preferred),
        "never" => Ok(Preference::Never),
        _ => Err("write `preferred` or `never`, or remove the annotation".to_owned()),
    }
}

/// `25` or `25s`, up to 65535.
pub(crate) fn keepalive_seconds(text: &str) -> Result<u16, String> {
    let seconds = text.strip_suffix('s').map_or(text, str::trim_end);
    let is_number = seconds.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = is_number.then(|| seconds.parse().ok()).flatten();
    seconds.ok_or_else(|| "write seconds from 0 to 65535, such as `25` or `25s`".to_owned())
}

/// An endpoint that an agent advertises. Only people can set a name: its addresses change without a write that the API server could refuse.
pub(crate) fn advertised_endpoint(text: &str) -> Result<Endpoint, String> {
    let endpoint = parsed::<Endpoint>(text)?;
    let address =
        endpoint.address().ok_or("an agent advertises addresses. To use a name, set the annotation `endpoint`")?;
    if is_reserved(&address) {
        return Err(NO_HOST.to_owned());
    }
    Ok(endpoint)
}

/// Bytes of the longest word in what an agent says of itself.
const LONGEST_WORD: usize = 64;

/// A version or a hash. Logs and metrics of all agents show it.
fn plain_word(text: &str) -> Option<String> {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || ".-_+".contains(c);
    let is_word = !text.is_empty() && text.len() <= LONGEST_WORD && text.chars().all(is_of_word);
    is_word.then(|| text.to_owned())
}

/// `version=…,protocol=…,settings=…`, and any number of `outside-mesh=NETWORK`, in any order; words of later versions are skipped.
pub(crate) fn agent_version(text: &str) -> Result<AgentVersion, String> {
    let expected = || "write `version=…,protocol=NUMBER,settings=…`".to_owned();
    let mut agent = (None, None, None);
    let mut outside_mesh = BTreeSet::new();
    for word in text.split(',') {
        match word.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
            Some(("version", value)) => agent.0 = Some(plain_word(value).ok_or_else(expected)?),
            Some(("protocol", value)) => agent.1 = Some(value.parse().map_err(|_| expected())?),
            Some(("settings", value)) => agent.2 = Some(plain_word(value).ok_or_else(expected)?),
            Some(("outside-mesh", value)) => {
                let network: IpNet =
                    value.parse().map_err(|_| "write networks as `outside-mesh=NETWORK`".to_owned())?;
                outside_mesh.insert(network.trunc());
            }
            Some(_) | None => {}
        }
    }
    let (Some(version), Some(protocol), Some(settings)) = agent else { return Err(expected()) };
    Ok(AgentVersion { version, protocol, settings, outside_mesh })
}

/// The key of a label: a name of up to 63 characters, after an optional prefix and a slash (Kubernetes, "Labels and Selectors").
pub(crate) fn label_key(text: &str) -> Result<String, String> {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let is_name = |part: &str, most: usize, inside: &[char]| {
        let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        part.len() <= most
            && is_end(part.chars().next())
            && is_end(part.chars().last())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || inside.contains(&c))
    };
    let is_key = is_name(name, 63, &['-', '_', '.']) && prefix.is_none_or(|prefix| is_name(prefix, 253, &['-', '.']));
    if is_key {
        Ok(text.to_owned())
    } else {
        Err("write the key of a label, such as `topology.kubernetes.io/region`".to_owned())
    }
}

fn address_with_length(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse().ok().map(host_net))
}

fn host_address_rule(address: &IpAddr) -> Result<(), String> {
    let link_local_v6 = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() || link_local_v6 {
        return Err("no other node can reach this address".to_owned());
    }
    if metadata_services().contains(address) {
        return Err("this is the address of a cloud's metadata service".to_owned());
    }
    if is_reserved(address) { Err(NO_HOST.to_owned()) } else { Ok(()) }
}

const NO_HOST: &str = "no host has an address of this kind";

/// Whether no host has the address: the networks 0.0.0.0/8 and 240.0.0.0/4 (RFC 6890), the broadcast address among them, and IPv4 addresses that
/// are written as IPv6 ones (RFC 4291 §2.5.5).
fn is_reserved(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => matches!(address.octets(), [0 | 240.., ..]),
        IpAddr::V6(address) => address.to_ipv4().is_some() && !address.is_loopback() && !address.is_unspecified(),
    }
}

fn example_in(net: &IpNet) -> IpNet {
    let first = net.hosts().next().unwrap_or_else(|| net.addr());
    let second = if first == net.addr() { net.hosts().nth(1).unwrap_or(first) } else { first };
    IpNet::new(second, net.prefix_len()).unwrap_or(*net)
}
