//! Services, as clients use them: by their names in the cluster's DNS.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::{dns, workload};
use crate::address::{Addresses, Family};
use crate::matrix::{Endpoint, Pair};
use crate::namespace::Namespaces;

pub use super::workload::{PORT, service_name};

/// The addresses of the cluster's DNS.
pub const DNS: Addresses =
    Addresses { v4: Some(Ipv4Addr::new(10, 96, 0, 10)), v6: Some(Ipv6Addr::new(0xfd96, 0, 0, 0, 0, 0, 0, 0xa)) };

/// How long a connection may be silent before it fails.
const SILENCE: Duration = Duration::from_secs(10);

/// From each endpoint, for each location and family: resolves the name of the location's Service, `echo-LOCATION`, in the cluster's DNS,
/// and fetches a megabyte from its address. An endpoint without an address of a family has no route to Services of that family, and is
/// skipped.
///
/// # Errors
/// A namespace is gone.
pub fn measure(endpoints: &[Endpoint], locations: &[String]) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for from in endpoints {
        for location in locations {
            for family in from.families() {
                pairs.push(from.namespaces.enter(|| Ok(measure_one(from, location, family)))?);
            }
        }
    }
    Ok(pairs)
}

/// Fetches a page of a web server. Returns the page's body, and how long it took to connect.
///
/// # Errors
/// The server does not answer with 200.
pub fn fetch(from: &Namespaces, address: SocketAddr, page: &str) -> Result<(Vec<u8>, Duration)> {
    from.enter(|| get(address, page))
}

/// Whether a body is the whole of `/megabyte`.
#[must_use]
pub fn is_megabyte(body: &[u8]) -> bool {
    let expected = workload::LINE.iter().cycle().take(workload::MEGABYTE);
    body.len() == workload::MEGABYTE && body.iter().eq(expected)
}

fn measure_one(from: &Endpoint, location: &str, family: Family) -> Pair {
    let service = service_name(location);
    let fetched = fetch_by_name(&service, family);
    if let Err(error) = &fetched {
        let error = format!("{error:#}");
        tracing::warn!(event = "service_failed", from = from.name, service, %family, error);
    }
    Pair {
        from: from.name.clone(),
        to: service,
        family,
        reachable: fetched.is_ok(),
        rtt_ms: fetched.as_ref().ok().map(|(_, time)| (time.as_secs_f64() * 1e6).round() / 1e3),
        tcp_ok: fetched.is_ok_and(|(body, _)| is_megabyte(&body)),
        crosses: from.location != location,
    }
}

fn fetch_by_name(service: &str, family: Family) -> Result<(Vec<u8>, Duration)> {
    let server = DNS.of(family).context("the cluster's DNS has an address of each family")?;
    let address: IpAddr = dns::resolve(server, &format!("{service}.default.svc.cluster.local"), family)?;
    get(SocketAddr::new(address, 80), "/megabyte")
}

fn get(address: SocketAddr, page: &str) -> Result<(Vec<u8>, Duration)> {
    let start = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, SILENCE).with_context(|| format!("connect to {address}"))?;
    let connected = start.elapsed();
    stream.set_read_timeout(Some(SILENCE))?;
    write!(stream, "GET {page} HTTP/1.0\r\nHost: echo\r\n\r\n")
        .with_context(|| format!("send a request to {address}"))?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(|| format!("read from {address}"))?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").context("the answer has no end of its head")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    ensure!(head.split_whitespace().nth(1) == Some("200"), "{address} answers {:?}", head.lines().next());
    Ok((answer.split_off(end + 4), connected))
}

/// The nodes whose web servers answer at an address, with the number of answers of each, over this number of connections.
///
/// # Errors
/// A connection fails.
pub fn backends(from: &Namespaces, address: SocketAddr, connections: usize) -> Result<BTreeMap<String, usize>> {
    let mut backends = BTreeMap::new();
    for _ in 0..connections {
        let (body, _) = fetch(from, address, "/node")?;
        *backends.entry(String::from_utf8_lossy(&body).trim().to_owned()).or_default() += 1;
    }
    Ok(backends)
}
