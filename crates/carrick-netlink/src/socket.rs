//! The socket: batches out, answers matched by sequence number, lists read to a consistent end.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use netlink_packet_core::NLM_F_DUMP_INTR;
use netlink_sys::SocketAddr;
use netlink_sys::protocols::{NETLINK_GENERIC, NETLINK_NETFILTER, NETLINK_ROUTE};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};
use nix::sys::time::TimeVal;
use zeroize::Zeroize;

use crate::frame::{Acknowledgement, Frame, append, encoded_length};
use crate::request::{Access, Request, Secrecy};
use crate::{Cause, Error};

/// The kernel fills datagrams of at most 32 KiB when it lists, and larger ones only for single
/// objects with very many attributes.
const RECEIVE_LENGTH: usize = 64 * 1024;
/// A queued acknowledgement occupies up to 1 KiB of this, so a whole chunk's fit with room to spare.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
const CHUNK_MESSAGES: usize = 1024;
/// Stays below the send buffer that every process may have (`net.core.wmem_default`).
const CHUNK_LENGTH: usize = 128 * 1024;
/// The kernel answers at once; this only turns a kernel fault into an error.
const ANSWER_TIMEOUT: TimeVal = TimeVal::new(10, 0);
const DUMP_ATTEMPTS: usize = 16;

static PROCESS_WRITES: AtomicU64 = AtomicU64::new(0);

/// The number of messages that could change the kernel which this process has sent so far, over
/// all sockets.
#[must_use]
pub fn process_writes() -> u64 {
    PROCESS_WRITES.load(Ordering::Relaxed)
}

/// A netlink subsystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes, rules, neighbours (`man 7 rtnetlink`).
    Route,
    /// Families with names, such as WireGuard's.
    Generic,
    /// nftables.
    Netfilter,
}

impl Protocol {
    pub(crate) fn number(self) -> isize {
        match self {
            Protocol::Route => NETLINK_ROUTE,
            Protocol::Generic => NETLINK_GENERIC,
            Protocol::Netfilter => NETLINK_NETFILTER,
        }
    }
}

/// A blocking netlink socket in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Socket {
    inner: netlink_sys::Socket,
    sequence: u32,
    writes: u64,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// The kernel lacks the subsystem, or the process has no file descriptor left.
    pub fn open(protocol: Protocol) -> Result<Self, Error> {
        open(protocol)
            .map(|inner| Self { inner, sequence: 0, writes: 0, buffer: vec![0; RECEIVE_LENGTH] })
            .map_err(|errno| Error::new("open netlink socket", format!("{protocol:?}"), Cause::Socket(errno)))
    }

    /// The number of messages that could change the kernel which this socket has sent so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// The number by which notifications name this socket as the cause of a change.
    ///
    /// # Errors
    ///
    /// The socket has no address, which does not happen.
    pub fn port(&self) -> Result<u32, Error> {
        let mut address = SocketAddr::new(0, 0);
        self.inner
            .get_address(&mut address)
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()))
            .map_err(|errno| Error::new("read address of", "netlink socket", Cause::Socket(errno)))?;
        Ok(address.port_number())
    }

    /// Sends one request and waits for its acknowledgement.
    ///
    /// # Errors
    ///
    /// The kernel refused it, or the socket failed.
    pub fn execute(&mut self, request: &Request) -> Result<(), Error> {
        self.batch(std::slice::from_ref(request)).pop().unwrap_or(Ok(()))
    }

    /// Sends many requests in few datagrams; the kernel carries each out on its own, in order.
    /// Returns one result per request, in the same order. A refused request does not stop the
    /// ones behind it.
    pub fn batch(&mut self, requests: &[Request]) -> Vec<Result<(), Error>> {
        let mut results = Vec::with_capacity(requests.len());
        let mut rest = requests;
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(chunk_length(rest));
            results.extend(self.send_chunk(chunk));
            rest = behind;
        }
        results
    }

    /// Sends requests in exactly one datagram, as an nfnetlink batch needs, which the kernel carries out
    /// as a whole or not at all.
    ///
    /// # Errors
    ///
    /// The first refusal in the order of the requests (then nothing was changed), or a failure of the socket. The kernel may
    /// refuse a whole batch by its answer to any one request: to a later one where it had to load a module for that one.
    pub fn transaction(&mut self, requests: &[Request]) -> Result<(), Error> {
        let length: usize = requests.iter().map(encoded_length).sum();
        if length > CHUNK_LENGTH {
            // The kernel's own bookkeeping of the datagram counts against the buffer too.
            let wanted = length * 2 + CHUNK_LENGTH;
            if let Err(errno) = setsockopt(&self.inner, sockopt::SndBufForce, &wanted) {
                return Err(failure(requests, Cause::Socket(errno)));
            }
        }
        outcome_of_all(self.send_chunk(requests))
    }

    /// Asks for one object or several; `read` turns each answer into a value, or `None` to leave it out.
    /// Lists that changed while they were read are read again.
    ///
    /// # Errors
    ///
    /// The kernel refused, `read` failed, or the list kept changing.
    pub fn query<T>(
        &mut self,
        request: &Request,
        mut read: impl FnMut(&Frame<'_>) -> Result<Option<T>, Error>,
    ) -> Result<Vec<T>, Error> {
        for _ in 0..DUMP_ATTEMPTS {
            let sequence = self.send(std::slice::from_ref(request)).map_err(|cause| named(request, cause))?;
            let answer = self.collect(request, sequence, &mut read);
            match answer {
                Ok(values) => return Ok(values),
                Err(error) if matches!(error.cause, Cause::Interrupted) => {}
                Err(error) if error.errno() == Some(Errno::ENOBUFS) => self.drain(),
                Err(error) => {
                    self.drain();
                    return Err(error);
                }
            }
        }
        Err(named(request, Cause::Interrupted))
    }

    fn send_chunk(&mut self, requests: &[Request]) -> Vec<Result<(), Error>> {
        let first = match self.send(requests) {
            Ok(first) => first,
            Err(Cause::Socket(errno)) => {
                return requests.iter().map(|request| Err(named(request, Cause::Socket(errno)))).collect();
            }
            Err(_) => {
                return requests.iter().map(|request| Err(named(request, Cause::Unanswered))).collect();
            }
        };
        let mut outcomes: Vec<Option<Result<(), Cause>>> =
            requests.iter().map(|request| (!request.expects_answer()).then_some(Ok(()))).collect();
        let socket_failure = self.read_answers(first, &mut outcomes).err();
        requests
            .iter()
            .zip(outcomes)
            .map(|(request, outcome)| {
                let lost = || Err(socket_failure.map_or(Cause::Unanswered, Cause::Socket));
                outcome.unwrap_or_else(lost).map_err(|cause| named(request, cause))
            })
            .collect()
    }

    /// Sends requests with consecutive sequence numbers in one datagram; returns the first number.
    fn send(&mut self, requests: &[Request]) -> Result<u32, Cause> {
        let first = self.sequence.wrapping_add(1);
        let mut datagram = Vec::with_capacity(requests.iter().map(encoded_length).sum());
        for request in requests {
            self.sequence = self.sequence.wrapping_add(1);
            append(&mut datagram, request, self.sequence);
        }
        let writes = requests.iter().filter(|request| request.access == Access::Write).count() as u64;
        self.writes += writes;
        PROCESS_WRITES.fetch_add(writes, Ordering::Relaxed);
        let sent = loop {
            match self.inner.send(&datagram, 0) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                sent => break sent,
            }
        };
        if requests.iter().any(|request| request.secrecy == Secrecy::Secret) {
            datagram.zeroize();
        }
        sent.map_err(|error| Cause::Socket(Errno::from_raw(error.raw_os_error().unwrap_or_default())))?;
        Ok(first)
    }

    /// Fills in the outcome of every request from `first` on. The kernel carries requests out inside `send`,
    /// so all answers are queued by now; those that it had to drop stay `None`.
    fn read_answers(&mut self, first: u32, outcomes: &mut [Option<Result<(), Cause>>]) -> Result<(), Errno> {
        loop {
            let length = match self.receive(MsgFlags::MSG_DONTWAIT) {
                Ok(length) => length,
                Err(Errno::ENOBUFS) => continue,
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno),
            };
            for frame in Frame::split(&self.buffer[..length]) {
                let outcome = outcomes.get_mut(frame.sequence.wrapping_sub(first) as usize);
                if let (Some(outcome), Some(acknowledgement)) = (outcome, frame.acknowledgement()) {
                    *outcome = Some(acknowledgement.into_result());
                }
            }
        }
    }

    fn collect<T>(
        &mut self,
        request: &Request,
        sequence: u32,
        read: &mut impl FnMut(&Frame<'_>) -> Result<Option<T>, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut answer = Answer::new(sequence);
        loop {
            let length = self.receive(MsgFlags::empty()).map_err(|errno| named(request, Cause::Socket(errno)))?;
            if let Some(values) = answer.take(request, &self.buffer[..length], read)? {
                return Ok(values);
            }
        }
    }

    /// Receives one datagram into the buffer; grows the buffer and reports `ENOBUFS` when it was too small.
    fn receive(&mut self, flags: MsgFlags) -> Result<usize, Errno> {
        loop {
            match recv(self.inner.as_raw_fd(), &mut self.buffer, flags | MsgFlags::MSG_TRUNC) {
                Ok(length) if length > self.buffer.len() => {
                    self.buffer.resize(length.next_power_of_two(), 0);
                    return Err(Errno::ENOBUFS);
                }
                Ok(length) => return Ok(length),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Wipes what was received last.
    pub(crate) fn wipe(&mut self) {
        self.buffer.as_mut_slice().zeroize();
    }

    fn drain(&mut self) {
        while !matches!(self.receive(MsgFlags::MSG_DONTWAIT), Err(errno) if errno != Errno::ENOBUFS) {}
    }
}

/// The answer to one question, as far as it has come.
pub(crate) struct Answer<T> {
    sequence: u32,
    values: Vec<T>,
    interrupted: bool,
}

impl<T> Answer<T> {
    /// The answer to the question with this sequence number, of which nothing has come yet.
    pub(crate) fn new(sequence: u32) -> Self {
        Self { sequence, values: Vec::new(), interrupted: false }
    }

    /// Reads the next datagram. Returns all values once the answer is complete, and `None` before.
    pub(crate) fn take(
        &mut self,
        request: &Request,
        datagram: &[u8],
        read: &mut impl FnMut(&Frame<'_>) -> Result<Option<T>, Error>,
    ) -> Result<Option<Vec<T>>, Error> {
        for frame in Frame::split(datagram).filter(|frame| frame.sequence == self.sequence) {
            self.interrupted |= frame.flags & NLM_F_DUMP_INTR != 0;
            match frame.acknowledgement() {
                None => self.values.extend(read(&frame)?),
                Some(Acknowledgement::Success) if self.interrupted => return Err(named(request, Cause::Interrupted)),
                Some(acknowledgement) => {
                    acknowledgement.into_result().map_err(|cause| named(request, cause))?;
                    return Ok(Some(std::mem::take(&mut self.values)));
                }
            }
        }
        Ok(None)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl Acknowledgement {
    fn into_result(self) -> Result<(), Cause> {
        match self {
            Acknowledgement::Success => Ok(()),
            Acknowledgement::Refused { errno, message } => Err(Cause::Refused { errno, message }),
        }
    }
}

fn open(protocol: Protocol) -> Result<netlink_sys::Socket, Errno> {
    let raw = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or_default());
    let socket = netlink_sys::Socket::new(protocol.number()).map_err(raw)?;
    // Connecting gives the socket an address too.
    socket.connect(&SocketAddr::new(0, 0)).map_err(raw)?;
    socket.set_ext_ack(true).map_err(raw)?;
    socket.set_cap_ack(true).map_err(raw)?;
    if protocol == Protocol::Route {
        socket.set_netlink_get_strict_chk(true).map_err(raw)?;
    }
    setsockopt(&socket, sockopt::ReceiveTimeout, &ANSWER_TIMEOUT)?;
    grow_receive_buffer(&socket)?;
    Ok(socket)
}

/// Beyond `net.core.rmem_max` where the process may, up to it where it may not.
pub(crate) fn grow_receive_buffer(socket: &netlink_sys::Socket) -> Result<(), Errno> {
    setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)
        .or_else(|_| setsockopt(socket, sockopt::RcvBuf, &RECEIVE_BUFFER))
}

/// The first refusal, wherever it is; else the first request that stayed without an answer.
fn outcome_of_all(results: Vec<Result<(), Error>>) -> Result<(), Error> {
    let mut unanswered = Ok(());
    for result in results {
        match result {
            Err(error) if matches!(error.cause, Cause::Unanswered) => unanswered = unanswered.and(Err(error)),
            result => result?,
        }
    }
    unanswered
}

/// How many of the requests fit into one datagram; at least one.
fn chunk_length(requests: &[Request]) -> usize {
    let mut length = 0;
    let fitting = requests.iter().take(CHUNK_MESSAGES).take_while(|request| {
        length += encoded_length(request);
        length <= CHUNK_LENGTH
    });
    fitting.count().max(1)
}

fn named(request: &Request, cause: Cause) -> Error {
    Error { operation: request.operation, object: request.object.clone(), cause }
}

fn failure(requests: &[Request], cause: Cause) -> Error {
    let first = requests.iter().find(|request| request.access == Access::Write).or(requests.first());
    Error {
        operation: first.map_or("send", |request| request.operation),
        object: first.map_or_else(String::new, |request| request.object.clone()),
        cause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(cause: Cause) -> Result<(), Error> {
        Err(Error::new("add", "table", cause))
    }

    #[test]
    fn refusal_of_a_later_request_explains_silence_about_earlier_ones() {
        let refused = Cause::Refused { errno: Errno::ERESTART, message: None };
        let results = vec![Ok(()), answer(Cause::Unanswered), answer(refused), answer(Cause::Unanswered)];
        assert_eq!(outcome_of_all(results).unwrap_err().errno(), Some(Errno::ERESTART));
        let silent = outcome_of_all(vec![Ok(()), answer(Cause::Unanswered)]).unwrap_err();
        assert!(matches!(silent.cause, Cause::Unanswered));
        assert!(outcome_of_all(vec![Ok(()), Ok(())]).is_ok());
    }
}
