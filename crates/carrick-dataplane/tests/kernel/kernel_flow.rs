//! Packets through the kernel's WireGuard while allowed IPs of their peer change. For the virtual machine.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use carrick_dataplane::Operation;
use carrick_netlink::wireguard::{AllowedIps, DeviceChange, PeerChange, PeerVerb, PublicKey, SecretKey, WireGuard};
use carrick_topology::model::Family;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;

use crate::kernel_wireguard::on_kernel_node;
use crate::node::run;
use crate::plans;

/// Where the far node echoes, behind its WireGuard.
const ECHO: &str = "10.200.0.1:7";
/// The time between two packets of the flow.
const INTERVAL: Duration = Duration::from_millis(2);
/// The time after which an echo counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// The number of allowed IPs that the flow does not need. With few, a replaced list would be whole again before the next packet.
const OTHERS: u32 = 1000;
/// The number of times that allowed IPs leave the peer.
const REMOVALS: u32 = 20;
/// The number of a packet that does not belong to the flow.
const BEFORE: u32 = u32::MAX;
/// Asks the far node to end.
const END: &[u8] = b"end";

/// Configures WireGuard of the far node in the caller's network namespace, and returns its public key.
fn start_far(node: PublicKey) -> PublicKey {
    for command in [
        "ip link set eth0 up",
        "ip address add 192.0.2.2/24 dev eth0",
        "ip link add far0 type wireguard",
        "ip address add 10.200.0.1/24 dev far0",
        "ip link set far0 up",
        "ip route add 10.4.0.1/32 dev far0",
    ] {
        run(command);
    }
    let mut wireguard = WireGuard::open().unwrap();
    let peer = PeerChange {
        endpoint: Some("192.0.2.1:51820".parse().unwrap()),
        allowed_ips: AllowedIps::Replace(vec![plans::net("10.4.0.1/32")]),
        ..PeerChange::new(node, PeerVerb::Set)
    };
    let private_key = Some(SecretKey::new([5; 32]));
    let change = DeviceChange { private_key, port: Some(51820), peers: vec![peer], ..DeviceChange::default() };
    wireguard.set("far0", &change).unwrap();
    wireguard.get("far0").unwrap().public_key.unwrap()
}

/// Sends everything back until it is asked to end, or nothing comes any more.
fn echo(socket: &UdpSocket) {
    socket.set_read_timeout(Some(6 * PATIENCE)).unwrap();
    let mut buffer = [0; 8];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        if &buffer[..length] == END {
            return;
        }
        socket.send_to(&buffer[..length], from).unwrap();
    }
}

/// Ends the flow also if a check fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until an echo has come: WireGuard drops packets if too many wait for the first handshake.
fn await_echo(socket: &UdpSocket) {
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut buffer = [0; 4];
    loop {
        socket.send(&BEFORE.to_be_bytes()).unwrap();
        if socket.recv(&mut buffer).is_ok() {
            return;
        }
    }
}

/// Sends numbered packets to the far node until `stop`, and returns how many, and the numbers of those that came back.
fn flow(socket: &UdpSocket, stop: &AtomicBool) -> (u32, BTreeSet<u32>) {
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sent = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                socket.send(&sent.to_be_bytes()).unwrap();
                sent += 1;
                thread::sleep(INTERVAL);
            }
            sent
        });
        let (mut returned, mut buffer, mut last) = (BTreeSet::new(), [0; 4], Instant::now());
        loop {
            if socket.recv(&mut buffer).is_ok() {
                returned.extend(Some(u32::from_be_bytes(buffer)).filter(|number| *number != BEFORE));
                last = Instant::now();
            }
            let is_complete = || u32::try_from(returned.len()).ok() == returned.last().map(|last| last + 1);
            if sender.is_finished() && (last.elapsed() > PATIENCE || (last.elapsed() > 10 * INTERVAL && is_complete()))
            {
                return (sender.join().unwrap(), returned);
            }
        }
    })
}

#[test]
#[ignore = "needs a kernel with WireGuard: scripts/test-vm.sh"]
fn no_packet_is_lost_while_allowed_ips_leave_its_peer() {
    on_kernel_node(|node| {
        let mut plan = plans::alone();
        node.reach(&plan);
        let own_key = WireGuard::open().unwrap().get("carrick0").unwrap().public_key.unwrap();
        let ((give_thread, thread_id), (give_start, start), (give_key, far_key)) = (channel(), channel(), channel());
        let stop = AtomicBool::new(false);
        let stop = &stop;
        thread::scope(|scope| {
            scope.spawn(move || {
                unshare(CloneFlags::CLONE_NEWNET).unwrap();
                give_thread.send(gettid()).unwrap();
                start.recv().unwrap();
                let far_key = start_far(own_key);
                let socket = UdpSocket::bind(ECHO).unwrap();
                give_key.send(far_key).unwrap();
                echo(&socket);
            });
            run(&format!("ip link add eth0 type veth peer name eth0 netns {}", thread_id.recv().unwrap()));
            run("ip address add 192.0.2.1/24 dev eth0");
            run("ip link set eth0 up");
            give_start.send(()).unwrap();
            let far_key = far_key.recv().unwrap();

            let mut peer = plans::peer(77);
            peer.endpoint = Some("192.0.2.2:51820".parse().unwrap());
            peer.allowed_ips = (0..OTHERS).map(|number| plans::pod_cidr(number, Family::V6)).collect();
            peer.allowed_ips.insert(plans::net("10.200.0.0/24"));
            plan.wireguard.peers.insert(far_key, peer);
            node.reach(&plan);
            run("ip route add 10.200.0.0/24 dev carrick0 src 10.4.0.1");
            let socket = UdpSocket::bind("10.4.0.1:0").unwrap();
            socket.connect(ECHO).unwrap();

            await_echo(&socket);
            let stop_on_drop = StopOnDrop(stop);
            let of_flow = socket.try_clone().unwrap();
            let flow = scope.spawn(move || flow(&of_flow, stop));
            for number in 0..REMOVALS {
                let surplus = plans::pod_cidr(number, Family::V6);
                plan.wireguard.peers.get_mut(&far_key).unwrap().allowed_ips.remove(&surplus);
                let operations = node.reach(&plan).operations;
                assert!(matches!(operations[..], [Operation::RemoveAllowedIps { .. }]), "{operations:?}");
            }
            node.assert_settled(&plan);
            drop(stop_on_drop);
            let (sent, returned) = flow.join().unwrap();
            socket.send(END).unwrap();
            let lost: Vec<u32> = (0..sent).filter(|number| !returned.contains(number)).collect();
            assert!(sent > REMOVALS, "{sent}");
            assert_eq!(lost, [0; 0], "of {sent} packets");
        });
    });
}
