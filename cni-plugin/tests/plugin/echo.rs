//! Servers that answer with the client's address, and clients for them, over TCP, UDP and SCTP.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

use carrick_pods::host_port::Transport;
use socket2::{Domain, Protocol, Socket, Type};

use crate::node::{Pod, succeed};

/// How long a client waits for an answer that must come. Long enough for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client waits for an answer that must not come.
pub const REFUSAL: Duration = Duration::from_millis(300);

/// A machine on the network of the node's uplink.
pub fn neighbour() -> Pod {
    let outside = Pod::new();
    succeed(Command::new("ip").args("link add plug type veth peer name wire".split(' ')));
    succeed(Command::new("ip").args("link set plug master uplink up".split(' ')));
    let netns = outside.path();
    succeed(Command::new("ip").args(["link", "set", "wire", "netns", netns.to_str().unwrap()]));
    for arguments in [
        "address add 192.0.2.9/24 dev wire",
        "address add 2001:db8::9/64 dev wire nodad",
        "link set wire up",
        "link set lo up",
    ] {
        outside.succeed("ip", &arguments.split(' ').collect::<Vec<_>>());
    }
    outside
}

pub fn unplug() {
    succeed(Command::new("ip").args(["link", "del", "plug"]));
}

/// Answers every connection with the client's address until the test ends.
pub fn serve_tcp(pod: &Pod, port: u16) {
    let listener = pod.inside(|| TcpListener::bind((std::net::Ipv6Addr::UNSPECIFIED, port)).unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip().to_canonical();
            let _gone = write!(stream, "{peer}");
        }
    });
}

pub fn serve_udp(pod: &Pod, port: u16) {
    let socket = pod.inside(|| UdpSocket::bind((std::net::Ipv6Addr::UNSPECIFIED, port)).unwrap());
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            let _gone = socket.send_to(peer.ip().to_canonical().to_string().as_bytes(), peer);
        }
    });
}

/// Answers every association to one address of the pod. With several addresses, the endpoint announces all of them to the client
/// (RFC 9260 section 5.1.2), and the client can use any.
pub fn serve_sctp(pod: &Pod, address: &str, port: u16) {
    let listener = pod.inside(|| sctp(address, port));
    listener.listen(8).unwrap();
    thread::spawn(move || {
        while let Ok((mut association, peer)) = listener.accept() {
            let peer = peer.as_socket().unwrap().ip();
            let _gone = write!(association, "{peer}");
        }
    });
}

/// The client's address as the server sees it.
pub fn ask_sctp(client: &str, server: &str, port: u16) -> Option<String> {
    let mut association = sctp(client, 0);
    let server = SocketAddr::new(server.parse().unwrap(), port);
    association.connect_timeout(&server.into(), PATIENCE).ok()?;
    association.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut seen = String::new();
    association.read_to_string(&mut seen).ok()?;
    Some(seen)
}

/// A one-to-one style socket (RFC 6458 section 4).
fn sctp(address: &str, port: u16) -> Socket {
    let address = SocketAddr::new(address.parse().unwrap(), port);
    let protocol = Protocol::from(i32::from(Transport::Sctp.number()));
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(protocol)).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

/// The client's address as the server sees it.
pub fn ask_tcp(address: &str, port: u16, patience: Duration) -> Option<String> {
    let server = SocketAddr::new(address.parse::<IpAddr>().unwrap(), port);
    let mut stream = TcpStream::connect_timeout(&server, patience).ok()?;
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut seen = String::new();
    stream.read_to_string(&mut seen).ok()?;
    Some(seen)
}

pub fn ask_udp(address: &str, port: u16) -> Option<String> {
    let server = SocketAddr::new(address.parse::<IpAddr>().unwrap(), port);
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send(b"?").ok()?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Asks from an existing socket, so that all its datagrams are one connection for the kernel.
pub fn ask_from(client: &UdpSocket, address: &str, port: u16) -> Option<String> {
    let server = SocketAddr::new(address.parse().unwrap(), port);
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(b"?", server).unwrap();
    let mut buffer = [0; 64];
    let length = client.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}
