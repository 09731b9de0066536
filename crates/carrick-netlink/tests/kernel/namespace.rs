//! Network namespaces that live as long as a test.

use std::fs::File;
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::process::Command;
use std::thread;

use carrick_netlink::link::{self, Change, VethEnd};
use carrick_netlink::{Protocol, Socket};
use nix::sched::{CloneFlags, unshare};

/// Runs `test` on a thread of its own in a fresh network namespace, which dies with the thread.
pub fn fresh<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root: unshare(CLONE_NEWNET)");
            test()
        });
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// The namespace of the calling thread.
pub fn current() -> File {
    File::open("/proc/thread-self/ns/net").unwrap()
}

pub fn route_socket() -> Socket {
    Socket::open(Protocol::Route).unwrap()
}

/// Makes a device with carrier, sets it up and returns its number. Its other end is called `{name}-far`.
pub fn make_device(socket: &mut Socket, name: &str) -> u32 {
    let near = VethEnd { name: name.to_owned(), mtu: 1500, mac: None };
    let far = VethEnd { name: format!("{name}-far"), ..near.clone() };
    socket.execute(&link::create_veth(&near, &far, current().as_fd())).unwrap();
    for name in [&far.name, &near.name] {
        let index = link::by_name(socket, name).unwrap().index;
        socket.execute(&link::change(index, name, &Change { up: Some(true), ..Change::default() })).unwrap();
    }
    link::by_name(socket, name).unwrap().index
}

/// Runs `ip` of iproute2 in the namespace of the calling thread.
pub fn ip_command(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}
