//! The process or device that uses a UDP port.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The tables of UDP sockets (`proc_pid_net(5)`); a kernel without IPv6 lacks the second.
const TABLES: [&str; 2] = ["/proc/self/net/udp", "/proc/self/net/udp6"];

/// The local addresses of the sockets that are bound to a UDP port.
pub(super) fn on(port: u16) -> io::Result<BTreeSet<SocketAddr>> {
    let mut listeners = BTreeSet::new();
    for table in TABLES {
        match std::fs::read_to_string(table) {
            Ok(text) => listeners.extend(text.lines().filter_map(local_address).filter(|it| it.port() == port)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(listeners)
}

/// The second column: the address in words of the machine's byte order, and the port.
fn local_address(line: &str) -> Option<SocketAddr> {
    let (address, port) = line.split_whitespace().nth(1)?.split_once(':')?;
    let words: Option<Vec<u32>> =
        (0..address.len() / 8).map(|word| u32::from_str_radix(address.get(word * 8..word * 8 + 8)?, 16).ok()).collect();
    let octets: Vec<u8> = words?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let address: IpAddr = match octets.len() {
        4 => Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into(),
        _ => Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).into(),
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn bound_sockets_of_both_families_are_seen() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let socket = UdpSocket::bind(address).unwrap();
            let bound = socket.local_addr().unwrap();
            assert_eq!(on(bound.port()).unwrap(), [bound].into());
        }
    }

    #[test]
    fn lines_that_name_no_socket_are_passed_over() {
        for line in ["", "  sl  local_address rem_address   st tx_queue", "0: zz:zz", "0: 0100007F"] {
            assert_eq!(local_address(line), None, "{line}");
        }
    }
}
