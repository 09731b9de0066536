//! The proxy between two network namespaces, with plain TCP.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use carrick_test_apiserver::proxy::{Backend, Mode, Proxy, Traffic};
use nix::sched::{CloneFlags, unshare};

/// Moves the calling thread into a new network namespace with nothing but `lo`.
fn enter_new_namespace() -> OwnedFd {
    unshare(CloneFlags::CLONE_NEWNET).expect("root may make network namespaces");
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip runs");
    assert!(up.success());
    File::open("/proc/thread-self/ns/net").expect("procfs").into()
}

fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port")
}

/// An echo server in a namespace of its own.
fn echo_server() -> (SocketAddr, OwnedFd) {
    let started = thread::spawn(|| {
        let namespace = enter_new_namespace();
        let listener = listener();
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                thread::spawn(move || {
                    let mut back = stream.try_clone().expect("a second handle");
                    // Ends with the connection, also when a test breaks it.
                    drop(std::io::copy(&mut stream, &mut back));
                });
            }
        });
        (address, namespace)
    });
    started.join().expect("an echo server")
}

/// A proxy in the calling thread's new namespace, in front of an echo server in another.
fn proxied_echo_server() -> Proxy {
    let (address, namespace) = echo_server();
    enter_new_namespace();
    Proxy::start(listener(), Backend::in_namespace(address, namespace)).expect("a proxy")
}

fn echoes(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).expect("to write");
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).expect("an echo");
    assert_eq!(answer, text);
}

fn end_of(stream: &mut TcpStream) -> ErrorKind {
    stream.read(&mut [0; 16]).expect_err("a broken connection").kind()
}

#[test]
fn a_proxy_connects_two_namespaces_and_counts_bytes() {
    let test = thread::spawn(|| {
        let proxy = proxied_echo_server();
        let mut stream = TcpStream::connect(proxy.address()).expect("a connection");
        let megabyte = vec![0x5a; 1 << 20];
        let mut reader = stream.try_clone().expect("a second handle");
        let echo = thread::spawn(move || {
            let mut answer = Vec::new();
            reader.read_to_end(&mut answer).expect("an echo");
            answer
        });
        stream.write_all(&megabyte).expect("to write");
        stream.shutdown(std::net::Shutdown::Write).expect("to end");
        assert!(echo.join().expect("an answer") == megabyte);
        let moved = Traffic { to_backend: 1 << 20, to_clients: 1 << 20 };
        assert_eq!(proxy.traffic(), moved);
    });
    test.join().expect("the test");
}

#[test]
fn a_cut_resets_open_and_new_connections_until_the_mode_changes() {
    let test = thread::spawn(|| {
        let proxy = proxied_echo_server();
        let mut old = TcpStream::connect(proxy.address()).expect("a connection");
        echoes(&mut old, b"before");
        proxy.set(Mode::Cut);
        assert_eq!(end_of(&mut old), ErrorKind::ConnectionReset);
        let mut new = TcpStream::connect(proxy.address()).expect("the listener stays");
        assert_eq!(end_of(&mut new), ErrorKind::ConnectionReset);
        proxy.set(Mode::Pass);
        let mut later = TcpStream::connect(proxy.address()).expect("a connection");
        echoes(&mut later, b"after");
    });
    test.join().expect("the test");
}

#[test]
fn a_stalled_connection_delivers_its_bytes_when_the_mode_changes() {
    let test = thread::spawn(|| {
        let proxy = proxied_echo_server();
        let mut old = TcpStream::connect(proxy.address()).expect("a connection");
        echoes(&mut old, b"before");
        let before = proxy.traffic();
        proxy.set(Mode::Hang);
        let mut new = TcpStream::connect(proxy.address()).expect("it accepts");
        old.write_all(b"held").expect("it takes bytes");
        new.write_all(b"held, too").expect("it takes bytes");
        old.set_nonblocking(true).expect("a socket");
        let nothing = old.read(&mut [0; 16]).expect_err("nothing yet");
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        assert_eq!(proxy.traffic(), before);
        old.set_nonblocking(false).expect("a socket");
        proxy.set(Mode::Pass);
        for (stream, held) in [(&mut old, &b"held"[..]), (&mut new, b"held, too")] {
            let mut answer = vec![0; held.len()];
            stream.read_exact(&mut answer).expect("an echo");
            assert_eq!(answer, held);
        }
    });
    test.join().expect("the test");
}

#[test]
fn a_dropped_proxy_closes_its_connections() {
    let test = thread::spawn(|| {
        let proxy = proxied_echo_server();
        let address = proxy.address();
        let mut stream = TcpStream::connect(address).expect("a connection");
        echoes(&mut stream, b"before");
        drop(proxy);
        assert!(matches!(stream.read(&mut [0; 16]), Ok(0) | Err(_)));
        // Another test may have got the port meanwhile, and keeps it for a moment.
        let deadline = Instant::now() + Duration::from_secs(60);
        let refused = loop {
            match TcpStream::connect(address) {
                Err(error) => break error,
                Ok(_) => assert!(Instant::now() < deadline, "the listener is not closed"),
            }
            thread::sleep(Duration::from_millis(50));
        };
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
    test.join().expect("the test");
}
