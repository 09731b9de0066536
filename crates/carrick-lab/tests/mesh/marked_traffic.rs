//! Traffic of pods and hosts in which every packet contains a mark.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use carrick_lab::address::Family;
use carrick_lab::capture::marked::MARK_BYTES;
use carrick_lab::namespace::Namespaces;
use carrick_lab::wait;
use socket2::{Domain, Socket, Type};

use crate::mesh::Mesh;

/// The port on which the pods listen.
const PORT: u16 = 40_100;
/// The time between two packets of a pod to the same target.
const INTERVAL: Duration = Duration::from_millis(40);

/// Datagrams of pods to all others, until it is dropped.
pub struct MarkedTraffic {
    pub mark: [u8; MARK_BYTES],
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// The targets of pods that were added before, and of none later.
    former: Vec<SocketAddr>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    targets: Mutex<Vec<SocketAddr>>,
    received: AtomicU64,
    /// The packets that were sent, also those that found no route.
    sent: AtomicU64,
}

impl MarkedTraffic {
    pub fn new() -> Self {
        let mut mark = [0; MARK_BYTES];
        io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut mark).unwrap();
        Self { mark, shared: Arc::default(), threads: Vec::new(), former: Vec::new() }
    }

    /// Lets a pod send to all others, and them to it.
    pub fn add(&mut self, mesh: &Mesh, pod: &str) {
        self.add_of(mesh, pod, &Family::BOTH);
    }

    /// As [`MarkedTraffic::add`], with these address families.
    pub fn add_of(&mut self, mesh: &Mesh, pod: &str, families: &[Family]) {
        let inside = mesh.pod(pod).unwrap().namespaces();
        let sockets = inside.enter(|| Ok((bound(Ipv4Addr::UNSPECIFIED.into())?, bound(Ipv6Addr::UNSPECIFIED.into())?)));
        let sockets = sockets.unwrap();
        let own: Vec<SocketAddr> =
            families.iter().map(|family| SocketAddr::new(mesh.pod_address(pod, *family), PORT)).collect();
        self.shared.targets.lock().unwrap().extend(&own);
        let (shared, mark) = (self.shared.clone(), self.mark);
        let ignored = [own, self.former.clone()].concat();
        let targets = {
            let shared = shared.clone();
            move || {
                let mut targets = shared.targets.lock().unwrap().clone();
                targets.retain(|target| !ignored.contains(target));
                targets
            }
        };
        self.threads.push(std::thread::spawn(move || run(&shared, &sockets, targets, &mark)));
    }

    /// Pods that are added from now on do not send to this pod.
    pub fn retire(&mut self, mesh: &Mesh, pod: &str) {
        self.former.extend(Family::BOTH.map(|family| SocketAddr::new(mesh.pod_address(pod, family), PORT)));
    }

    /// Lets a host or pod receive, and send to these addresses.
    pub fn add_host(&mut self, from: &Namespaces, targets: &[IpAddr]) {
        let sockets = from.enter(|| Ok((bound(Ipv4Addr::UNSPECIFIED.into())?, bound(Ipv6Addr::UNSPECIFIED.into())?)));
        let sockets = sockets.unwrap();
        let targets: Vec<SocketAddr> = targets.iter().map(|address| SocketAddr::new(*address, PORT)).collect();
        let (shared, mark) = (self.shared.clone(), self.mark);
        self.threads.push(std::thread::spawn(move || run(&shared, &sockets, || targets.clone(), &mark)));
    }

    /// Waits until this number of further packets has arrived.
    pub fn await_packets(&self, more: u64) {
        await_more("marked packets", &self.shared.received, more);
    }

    /// Waits until hosts and pods have sent this many further times.
    pub fn await_sent(&self, more: u64) {
        await_more("packets that are sent", &self.shared.sent, more);
    }
}

impl Drop for MarkedTraffic {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

fn await_more(what: &str, count: &AtomicU64, more: u64) {
    let wanted = count.load(Ordering::Relaxed) + more;
    wait::until(what, || Ok((count.load(Ordering::Relaxed) >= wanted).then_some(()))).unwrap();
}

/// A socket of one address family.
fn bound(address: IpAddr) -> io::Result<UdpSocket> {
    let address = SocketAddr::new(address, PORT);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn run(shared: &Shared, (v4, v6): &(UdpSocket, UdpSocket), targets: impl Fn() -> Vec<SocketAddr>, mark: &[u8]) {
    for socket in [v4, v6] {
        socket.set_nonblocking(true).unwrap();
    }
    let mut buffer = [0; 64];
    while !shared.stop.load(Ordering::Relaxed) {
        for target in targets() {
            let socket = if target.is_ipv4() { v4 } else { v6 };
            // A target that is gone has no route.
            let _sent = socket.send_to(mark, target);
            shared.sent.fetch_add(1, Ordering::Relaxed);
        }
        for socket in [v4, v6] {
            while socket.recv_from(&mut buffer).is_ok_and(|(length, _)| &buffer[..length] == mark) {
                shared.received.fetch_add(1, Ordering::Relaxed);
            }
        }
        std::thread::sleep(INTERVAL);
    }
}
