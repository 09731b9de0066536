//! Network namespaces that live as long as a test.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};

/// The port that all packets of the tests go to.
pub const PORT: u16 = 7000;
/// Turns a packet that never arrives into a failure.
const PATIENCE: Duration = Duration::from_secs(10);

/// A network namespace; it dies with the last handle, socket or device's other end.
pub struct Namespace {
    handle: File,
}

impl Namespace {
    /// Makes one, with its loopback device up.
    pub fn new() -> Self {
        let handle = on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("these tests make network namespaces: run them as root");
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        let namespace = Self { handle };
        namespace.ip("link set lo up");
        namespace
    }

    /// A path at which other programs find it while this handle lives.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.handle.as_raw_fd())
    }

    /// Runs `work` inside.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        on_thread(|| {
            setns(&self.handle, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        })
    }

    /// Runs a program inside; gives what it printed.
    pub fn command(&self, program: &str, arguments: &[&str], input: &str) -> String {
        let output = self.run(|| {
            let mut child = Command::new(program)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap_or_else(|error| panic!("these tests need `{program}`: {error}"));
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            child.wait_with_output().unwrap()
        });
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {errors}\n{input}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `ip` with each of these lines.
    pub fn ip(&self, lines: &str) {
        self.command("ip", &["-batch", "-"], lines);
    }

    /// Runs `nft` with these words.
    pub fn nft(&self, words: &str) -> String {
        self.command("nft", &[words], "")
    }

    /// Writes a value under `/proc/sys/net`.
    pub fn sysctl(&self, name: &str, value: &str) {
        self.run(|| std::fs::write(format!("/proc/sys/net/{name}"), value).unwrap());
    }

    /// A UDP socket inside, bound to this address and [`PORT`].
    pub fn socket(&self, address: &str) -> UdpSocket {
        self.socket_at(address, PORT)
    }

    /// A UDP socket inside, bound to this address and port.
    pub fn socket_at(&self, address: &str, port: u16) -> UdpSocket {
        let socket = self.run(|| once_free(|| UdpSocket::bind(at_port(address, port))));
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// A TCP listener inside, bound to this address and [`PORT`].
    pub fn listener(&self, address: &str) -> TcpListener {
        self.run(|| once_free(|| TcpListener::bind(at(address))))
    }
}

/// Children that other tests have just forked hold copies of all sockets until they become another program, so an
/// address can be taken a moment longer than the socket that was closed.
fn once_free<T>(bind: impl Fn() -> std::io::Result<T>) -> T {
    loop {
        match bind() {
            Err(error) if error.kind() == ErrorKind::AddrInUse => thread::yield_now(),
            outcome => break outcome.unwrap(),
        }
    }
}

/// An address with [`PORT`].
pub fn at(address: &str) -> SocketAddr {
    at_port(address, PORT)
}

/// An address with a port.
pub fn at_port(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

/// Sends a packet and tells from which address it arrived.
pub fn source_seen(sender: &UdpSocket, receiver: &UdpSocket) -> IpAddr {
    socket_seen(sender, receiver).ip()
}

/// As [`source_seen`], with the port.
pub fn socket_seen(sender: &UdpSocket, receiver: &UdpSocket) -> SocketAddr {
    let destination = receiver.local_addr().unwrap();
    let payload = format!("to {destination}");
    sender.send_to(payload.as_bytes(), destination).unwrap();
    let mut buffer = [0; 64];
    let (length, source) =
        receiver.recv_from(&mut buffer).unwrap_or_else(|error| panic!("nothing arrives at {destination}: {error}"));
    assert_eq!(String::from_utf8_lossy(&buffer[..length]), payload);
    source
}

/// Whether nothing has arrived. Packets on virtual cables are delivered before the send returns.
pub fn is_silent(receiver: &UdpSocket) -> bool {
    receiver.set_nonblocking(true).unwrap();
    let outcome = receiver.recv_from(&mut [0; 64]);
    receiver.set_nonblocking(false).unwrap();
    matches!(outcome, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

fn on_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|panic| resume_unwind(panic)))
}
