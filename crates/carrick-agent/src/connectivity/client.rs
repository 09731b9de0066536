//! The client.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::target::{Question, Target};

/// How long a connection, or a pause in the answer, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long refused connections and names without an address are tried again: kube-proxy and the cluster's DNS learn of a Service and of the pods
/// behind it a moment after they are ready.
const PATIENCE_WITH_REFUSALS: Duration = Duration::from_secs(15);
/// The time between two such attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a datagram is sent, because the first one may only teach the kernel the MTU of the path.
const ATTEMPTS: usize = 3;
/// The header of IPv4 (RFC 791) and of UDP (RFC 768), in bytes.
const HEADERS_V4: usize = 20 + 8;
/// The header of IPv6 (RFC 8200) and of UDP, in bytes.
const HEADERS_V6: usize = 40 + 8;

/// The outcome of a target.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The name of the target.
    pub name: String,
    /// How long the answer took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<f64>,
    /// Why there is no answer, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Asks all targets at the same time.
pub fn ask(targets: &[Target]) -> Vec<Outcome> {
    ask_with(targets, PATIENCE_WITH_REFUSALS)
}

fn ask_with(targets: &[Target], patience: Duration) -> Vec<Outcome> {
    thread::scope(|scope| {
        let threads: Vec<_> =
            targets.iter().map(|target| (target, scope.spawn(move || measure(target, patience)))).collect();
        threads
            .into_iter()
            .map(|(target, thread)| {
                let result = thread.join().unwrap_or_else(|_| Err("the client panicked".to_owned()));
                let name = target.name.clone();
                match result {
                    Ok(took) => Outcome { name, milliseconds: Some(took.as_secs_f64() * 1000.0), error: None },
                    Err(error) => Outcome { name, milliseconds: None, error: Some(error) },
                }
            })
            .collect()
    })
}

/// How long the answer took, without the refusals before it.
fn measure(target: &Target, patience: Duration) -> Result<Duration, String> {
    let deadline = Instant::now() + patience;
    let address = resolved(|| target.address(), deadline)?;
    loop {
        let began = Instant::now();
        let result = match target.question {
            Question::Bytes(bytes) => fetch(address, bytes),
            Question::LargestDatagram => exchange(address, datagram_length(target.is_v6)?),
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && began < deadline => thread::sleep(PAUSE),
            other => return other.map(|()| began.elapsed()).map_err(|error| format!("{address}: {error}")),
        }
    }
}

/// The address of a target, which may be a name that the cluster's DNS does not know yet.
fn resolved(resolve: impl Fn() -> Result<SocketAddr, String>, deadline: Instant) -> Result<SocketAddr, String> {
    loop {
        let began = Instant::now();
        match resolve() {
            Err(_) if began < deadline => thread::sleep(PAUSE),
            other => return other,
        }
    }
}

fn fetch(address: SocketAddr, bytes: u32) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&bytes.to_be_bytes())?;
    let received = io::copy(&mut (&stream).take(bytes.into()), &mut io::sink())?;
    if received == u64::from(bytes) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{received} of {bytes} bytes came")))
}

fn exchange(address: SocketAddr, length: usize) -> io::Result<()> {
    let own: SocketAddr =
        if address.is_ipv6() { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(own)?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(PATIENCE / u32::try_from(ATTEMPTS).unwrap_or(1)))?;
    let (question, mut answer) = (vec![b'c'; length], vec![0; length]);
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match socket.send(&question).and_then(|_| socket.recv(&mut answer)) {
            Ok(received) if received == length => return Ok(()),
            Ok(received) => last = Some(io::Error::other(format!("{received} of {length} bytes came"))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let text = format!("a datagram of {length} bytes has no answer");
                last = Some(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::TimedOut.into()))
}

/// The length of the datagram that fills a packet of the network device.
fn datagram_length(is_v6: bool) -> Result<usize, String> {
    let mtu = device_mtu(Path::new("/sys/class/net")).map_err(|error| format!("cannot read the MTU: {error}"))?;
    let headers = if is_v6 { HEADERS_V6 } else { HEADERS_V4 };
    mtu.checked_sub(headers).ok_or_else(|| format!("the MTU {mtu} is too small"))
}

/// The smallest MTU of the devices other than `lo`.
fn device_mtu(directory: &Path) -> io::Result<usize> {
    let mut mtus = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name() != "lo"
            && let Ok(text) = fs::read_to_string(entry.path().join("mtu"))
        {
            mtus.extend(text.trim().parse::<usize>());
        }
    }
    mtus.into_iter().min().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no network device"))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_name_that_is_not_known_yet_is_asked_for_again_until_the_deadline() {
        let address: SocketAddr = "192.0.2.1:80".parse().unwrap();
        let asked = Cell::new(0);
        let at_the_third_time = || {
            asked.set(asked.get() + 1);
            if asked.get() < 3 { Err("try again".to_owned()) } else { Ok(address) }
        };
        assert_eq!(resolved(at_the_third_time, Instant::now() + PATIENCE_WITH_REFUSALS), Ok(address));
        asked.set(0);
        assert_eq!(resolved(at_the_third_time, Instant::now()), Err("try again".to_owned()));
        assert_eq!(asked.get(), 1);
    }

    #[test]
    fn the_mtu_is_the_smallest_of_the_devices_other_than_lo() {
        let directory = tempfile::tempdir().unwrap();
        assert!(device_mtu(directory.path()).is_err());
        for (device, mtu) in [("lo", "65536\n"), ("eth0", "1370\n"), ("eth1", "1500\n")] {
            fs::create_dir(directory.path().join(device)).unwrap();
            fs::write(directory.path().join(device).join("mtu"), mtu).unwrap();
        }
        assert_eq!(device_mtu(directory.path()).unwrap(), 1370);
    }

    #[test]
    fn the_server_answers_over_tcp_and_udp() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        thread::spawn(move || super::super::serve(port));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let deadline = Instant::now() + Duration::from_secs(10);
        while fetch(address, 1).is_err() {
            assert!(Instant::now() < deadline, "the server does not start");
            thread::yield_now();
        }
        fetch(address, 1_000_000).unwrap();
        exchange(address, 1342).unwrap();
        let targets = [
            format!("small=tcp4://127.0.0.1:{port}/1").parse().unwrap(),
            "closed=tcp4://127.0.0.1:1/1".parse().unwrap(),
        ];
        let outcomes = ask_with(&targets, Duration::ZERO);
        assert!(outcomes[0].milliseconds.is_some() && outcomes[0].error.is_none(), "{outcomes:?}");
        assert!(outcomes[1].error.as_ref().is_some_and(|error| error.contains("refused")), "{outcomes:?}");
    }

    #[test]
    fn a_refused_connection_is_tried_again() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let target: [Target; 1] = [format!("late=tcp4://127.0.0.1:{port}/1").parse().unwrap()];
        assert!(ask_with(&target, Duration::ZERO)[0].error.is_some());
        thread::scope(|scope| {
            let asked = scope.spawn(|| ask_with(&target, Duration::from_secs(60)));
            thread::sleep(2 * PAUSE);
            assert!(!asked.is_finished(), "a refusal is no answer yet");
            thread::spawn(move || super::super::serve(port));
            assert_eq!(asked.join().unwrap()[0].error, None);
        });
    }
}
