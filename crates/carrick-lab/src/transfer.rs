//! Transfers over TCP from one namespace to another, checked by hashes.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};
use socket2::SockRef;

use crate::namespace::Namespaces;

/// How long a connection may be silent before the transfer fails.
const SILENCE: Duration = Duration::from_secs(10);
const HASH_BYTES: usize = 32;
const CHUNK_BYTES: usize = 64 * 1024;

/// A server that answers each connection with the hash of the received bytes.
#[derive(Debug)]
pub struct HashServer {
    listener: TcpListener,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl HashServer {
    /// Starts a server at an address inside the namespaces.
    ///
    /// # Errors
    /// The address is not one of the namespace's.
    pub fn start(inside: &Namespaces, address: IpAddr) -> Result<Self> {
        let listener = inside.enter(|| {
            TcpListener::bind((address, 0)).with_context(|| format!("{}: listen on {address}", inside.name()))
        })?;
        let accepting = listener.try_clone()?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            thread: Some(std::thread::spawn(move || accept(&accepting))),
        })
    }

    /// The address that the server listens at.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HashServer {
    fn drop(&mut self) {
        // Wakes up the accepting thread.
        let _shut = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// Sends this number of pseudo-random bytes and checks the hash in the answer. Returns how long it took.
///
/// # Errors
/// The connection fails or is silent for too long, or the hashes differ.
pub fn send(from: &Namespaces, to: SocketAddr, bytes: usize) -> Result<Duration> {
    from.enter(|| {
        let start = Instant::now();
        let mut stream = TcpStream::connect_timeout(&to, SILENCE).with_context(|| format!("connect to {to}"))?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        let mut hash = Sha256::new();
        let mut source = Source::new(to.port());
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut left = bytes;
        while left > 0 {
            let part = &mut chunk[..left.min(CHUNK_BYTES)];
            source.fill(part);
            hash.update(&part);
            stream.write_all(part).with_context(|| format!("send to {to}, {left} of {bytes} bytes left"))?;
            left -= part.len();
        }
        stream.shutdown(Shutdown::Write)?;
        let mut answer = [0; HASH_BYTES];
        stream.read_exact(&mut answer).with_context(|| format!("read the hash from {to}"))?;
        ensure!(answer == *hash.finalize(), "{to} received other bytes than those that were sent");
        Ok(start.elapsed())
    })
}

fn accept(listener: &TcpListener) {
    while let Ok((stream, _)) = listener.accept() {
        std::thread::spawn(move || {
            if let Err(error) = answer(stream) {
                tracing::debug!(event = "transfer_broken", %error);
            }
        });
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = stream.read(&mut chunk)?;
        if length == 0 {
            break;
        }
        hash.update(&chunk[..length]);
    }
    stream.write_all(&hash.finalize())
}

/// Pseudo-random bytes (xorshift64), different for each seed.
struct Source(u64);

impl Source {
    const fn new(seed: u16) -> Self {
        Self(0x9e37_79b9_7f4a_7c15 ^ ((seed as u64) << 16))
    }

    fn fill(&mut self, buffer: &mut [u8]) {
        for word in buffer.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_ne_bytes()[..word.len()]);
        }
    }
}
