use std::net::UdpSocket;
use std::process::Command;

use carrick_netlink::conntrack::{Filter, delete, dump};
use carrick_netlink::{Family, Protocol, Socket};

use crate::namespace::fresh;

const UDP: u8 = 17;

fn run(line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    assert!(Command::new(words[0]).args(&words[1..]).status().unwrap().success(), "{line}");
}

#[test]
fn connections_are_listed_by_port_and_forgotten() {
    fresh(|| {
        run("ip link set lo up");
        run("nft add table inet t");
        // Connections are tracked where a rule asks for them.
        run("nft add chain inet t c { type filter hook output priority 0 ; }");
        run("nft add rule inet t c ct state new accept");
        run("nft add chain inet t n { type nat hook output priority -100 ; }");
        run("nft add rule inet t n udp dport 5353 dnat ip to 127.0.0.1:5354");

        let mut socket = Socket::open(Protocol::Netfilter).unwrap();
        for (host, family) in [("127.0.0.1", Family::V4), ("::1", Family::V6)] {
            let client = UdpSocket::bind((host, 0)).unwrap();
            let servers = [5354, 5355].map(|port| UdpSocket::bind((host, port)).unwrap());
            for port in [5353, 5355] {
                client.send_to(b"?", (host, port)).unwrap();
            }
            let filter = |port| Filter { family, protocol: UDP, port };
            assert_eq!(dump(&mut socket, &filter(5354)).unwrap(), [], "the port as it was asked for, untranslated");
            let found = dump(&mut socket, &filter(5355)).unwrap();
            let [connection] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!(connection.original.source, client.local_addr().unwrap());
            assert_eq!(connection.original.destination, servers[1].local_addr().unwrap());
            assert_eq!(connection.reply.source, servers[1].local_addr().unwrap());
            assert!(!connection.is_destination_translated());
            assert_eq!(dump(&mut socket, &Filter { protocol: 6, ..filter(5355) }).unwrap(), []);

            socket.execute(&delete(connection)).unwrap();
            assert_eq!(dump(&mut socket, &filter(5355)).unwrap(), []);
            assert!(socket.execute(&delete(connection)).unwrap_err().is_not_found());

            let translated = dump(&mut socket, &filter(5353)).unwrap();
            assert_eq!(translated.len(), 1, "{translated:?}");
            assert_eq!(translated[0].is_destination_translated(), family == Family::V4);
        }
    });
}
