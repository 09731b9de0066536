//! Probes with all hop limits at the same time, and the nodes that answer them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use carrick_status::{LiveHop, LiveReply, LiveTracePage, ReplyKind};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use rustix::net::sockopt::{set_ip_ttl, set_ipv6_unicast_hops};

use crate::agent::icmp_errors::{IcmpError, Said, next_icmp_error};

/// The first of the ports that `traceroute` uses, on which usually no process listens. Each attempt has its own port, which identifies its answers.
const FIRST_PORT: u16 = 33_434;
/// The number of attempts for a hop that does not answer.
const ATTEMPTS: u16 = 3;
/// How long an attempt waits for answers. Answers to earlier attempts still count. A request waits for all attempts.
const PATIENCE: Duration = Duration::from_millis(400);
/// The payload of a probe.
const PAYLOAD: [u8; 16] = *b"carrick trace \0\0";

/// Sends probes with the hop limits 1, 2 and so on, and waits for their answers.
///
/// # Errors
/// The kernel creates no socket, or sends no probe.
pub(super) fn probe(to: IpAddr, hops: u8) -> io::Result<LiveTracePage> {
    let mut probes = (1..=hops).map(|limit| Probe::new(to, limit)).collect::<io::Result<Vec<_>>>()?;
    for attempt in 0..ATTEMPTS {
        let silent = probes.iter_mut().filter(|probe| probe.answer.is_none());
        let sent: Vec<io::Result<()>> = silent.map(|probe| probe.send(attempt)).collect();
        if let Some(error) = all_failed(sent) {
            return Err(error);
        }
        wait(&mut probes, Instant::now() + PATIENCE);
        if is_complete(&probes) {
            break;
        }
    }
    let end = probes.iter().position(Probe::ends).map_or(probes.len(), |last| last + 1);
    let told = probes.iter().take(end).map(|probe| LiveHop { hop_limit: probe.hop_limit, reply: probe.answer });
    Ok(LiveTracePage { source: source(to).ok(), hops: told.collect(), ..LiveTracePage::default() })
}

/// The error, if no attempt succeeded.
fn all_failed(sent: Vec<io::Result<()>>) -> Option<io::Error> {
    let mut last = None;
    for result in sent {
        last = Some(result.err()?);
    }
    last
}

/// Whether all hops up to the end of the path have answered.
fn is_complete(probes: &[Probe]) -> bool {
    let end = probes.iter().position(Probe::ends).unwrap_or(probes.len());
    probes.iter().take(end).all(|probe| probe.answer.is_some())
}

/// Receives answers until all hops have answered or the time is over.
fn wait(probes: &mut [Probe], deadline: Instant) {
    while !is_complete(probes) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        let timeout = u16::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
        let mut waited: Vec<PollFd<'_>> =
            probes.iter().map(|probe| PollFd::new(probe.socket.as_fd(), PollFlags::POLLIN)).collect();
        if poll(&mut waited, PollTimeout::from(timeout)).is_err() {
            return;
        }
        probes.iter_mut().for_each(Probe::take_answers);
    }
}

/// The source address that the node's routes choose.
fn source(to: IpAddr) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind(SocketAddr::new(unspecified(to), 0))?;
    socket.connect(SocketAddr::new(to, FIRST_PORT))?;
    Ok(socket.local_addr()?.ip())
}

const fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// The probes with one hop limit. They have their own socket, so that its errors concern only these probes.
#[derive(Debug)]
struct Probe {
    to: IpAddr,
    hop_limit: u8,
    socket: UdpSocket,
    /// The time at which each attempt was sent.
    sent_at: Vec<Instant>,
    answer: Option<LiveReply>,
}

impl Probe {
    fn new(to: IpAddr, hop_limit: u8) -> io::Result<Self> {
        let socket = UdpSocket::bind(SocketAddr::new(unspecified(to), 0))?;
        socket.set_nonblocking(true)?;
        match to {
            IpAddr::V4(_) => {
                set_ip_ttl(&socket, hop_limit.into())?;
                setsockopt(&socket, Ipv4RecvErr, &true)?;
            }
            IpAddr::V6(_) => {
                set_ipv6_unicast_hops(&socket, Some(hop_limit))?;
                setsockopt(&socket, Ipv6RecvErr, &true)?;
            }
        }
        Ok(Self { to, hop_limit, socket, sent_at: Vec::new(), answer: None })
    }

    fn send(&mut self, attempt: u16) -> io::Result<()> {
        self.sent_at.push(Instant::now());
        self.socket.send_to(&PAYLOAD, SocketAddr::new(self.to, FIRST_PORT + attempt)).map(drop)
    }

    /// Whether the path ends at this hop.
    fn ends(&self) -> bool {
        self.answer.is_some_and(|answer| answer.kind != ReplyKind::TimeExceeded)
    }

    fn take_answers(&mut self) {
        let now = Instant::now();
        while let Some(IcmpError { to, by, said }) = next_icmp_error(&self.socket) {
            let kind = match said {
                Said::HopLimitReached => ReplyKind::TimeExceeded,
                Said::PortClosed => ReplyKind::Arrived,
                Said::Unreachable => ReplyKind::Unreachable,
            };
            self.take(now, to.port(), by, kind);
        }
        let mut scrap = [0_u8; 64];
        // A process may listen on the port.
        while let Ok((_, from)) = self.socket.recv_from(&mut scrap) {
            if from.ip() == self.to {
                self.take(now, from.port(), from.ip(), ReplyKind::Arrived);
            }
        }
    }

    fn take(&mut self, now: Instant, port: u16, from: IpAddr, kind: ReplyKind) {
        let attempt = port.checked_sub(FIRST_PORT).map(usize::from);
        let Some(sent_at) = attempt.and_then(|attempt| self.sent_at.get(attempt)) else { return };
        let round_trip_us = u64::try_from(now.saturating_duration_since(*sent_at).as_micros()).unwrap_or(u64::MAX);
        self.answer = self.answer.or(Some(LiveReply { from, kind, round_trip_us }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_hop_that_is_the_destination_ends_the_way() {
        for to in [IpAddr::V4(Ipv4Addr::new(127, 17, 8, 1)), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let page = probe(to, 5).unwrap();
            assert_eq!(page.hops.len(), 1, "{page:?}");
            let answer = page.hops[0].reply.unwrap();
            assert_eq!((answer.from, answer.kind), (to, ReplyKind::Arrived));
            assert!(page.arrives() && page.source.is_some());
        }
    }

    #[test]
    fn the_first_answer_counts_and_one_to_nothing_that_was_sent_does_not() {
        let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut probe = Probe::new(from, 1).unwrap();
        probe.sent_at.push(Instant::now());
        for port in [7, FIRST_PORT + 1] {
            probe.take(Instant::now(), port, from, ReplyKind::Arrived);
            assert_eq!(probe.answer, None);
        }
        probe.take(Instant::now(), FIRST_PORT, from, ReplyKind::TimeExceeded);
        probe.take(Instant::now(), FIRST_PORT, from, ReplyKind::Arrived);
        assert_eq!(probe.answer.map(|answer| answer.kind), Some(ReplyKind::TimeExceeded));
    }

    #[test]
    fn a_path_is_complete_when_all_hops_up_to_its_end_have_answered() {
        let answer = |kind| Some(LiveReply { from: Ipv4Addr::LOCALHOST.into(), kind, round_trip_us: 1 });
        let of = |answers: [Option<LiveReply>; 3]| -> Vec<Probe> {
            let probe = |answer| Probe { answer, ..Probe::new(Ipv4Addr::LOCALHOST.into(), 1).unwrap() };
            answers.map(probe).into()
        };
        let [passes, arrived] = [ReplyKind::TimeExceeded, ReplyKind::Arrived].map(answer);
        assert!(is_complete(&of([passes, arrived, None])));
        assert!(!is_complete(&of([None, arrived, None])));
        assert!(!is_complete(&of([passes, passes, None])));
        assert!(is_complete(&of([passes, passes, passes])));
    }
}
