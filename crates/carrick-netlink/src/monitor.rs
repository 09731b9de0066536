//! The kernel's notifications of changes, by any program.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use netlink_packet_core::{DecodeError, NlasIterator};
use netlink_packet_route::neighbour::NeighbourHeader;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{MsgFlags, recv};

use crate::address::{Address, RTM_DELADDR, RTM_NEWADDR};
use crate::attribute::array;
use crate::frame::{Frame, NETFILTER_HEADER_LENGTH};
use crate::link::{Link, RTM_DELLINK, RTM_NEWLINK};
use crate::neighbour::{RTM_DELNEIGH, RTM_NEWNEIGH};
use crate::route::{RTM_DELROUTE, RTM_NEWROUTE, Route};
use crate::rule::{ListedRule, RTM_DELRULE, RTM_NEWRULE};
use crate::socket::{Protocol, grow_receive_buffer};
use crate::{Cause, Error, address, link, route, rule};

const RTM_NEWNETCONF: u16 = 80;
const NETCONF_HEADER_LENGTH: usize = 4;
const NETCONFA_IFINDEX: u16 = 1;
const NETCONFA_IFINDEX_ALL: i32 = -1;
const RECEIVE_LENGTH: usize = 64 * 1024;
/// `NFT_MSG_NEWGEN` of the nftables subsystem: a transaction was committed.
const NFT_NEW_GENERATION: u16 = 10 << 8 | 15;
const NFTA_GEN_ID: u16 = 1;
const NFTA_GEN_PROC_PID: u16 = 2;

/// Something to be told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Devices.
    Link,
    /// IPv4 addresses.
    AddressV4,
    /// IPv6 addresses.
    AddressV6,
    /// IPv4 routes.
    RouteV4,
    /// IPv6 routes.
    RouteV6,
    /// IPv4 rules.
    RuleV4,
    /// IPv6 rules.
    RuleV6,
    /// Neighbours and forwarding entries.
    Neighbour,
    /// IPv4 settings of devices (`net.ipv4.conf`).
    SettingV4,
    /// IPv6 settings of devices (`net.ipv6.conf`).
    SettingV6,
}

impl Group {
    /// Every group of routing.
    pub const ALL: [Group; 10] = [
        Group::Link,
        Group::AddressV4,
        Group::AddressV6,
        Group::RouteV4,
        Group::RouteV6,
        Group::RuleV4,
        Group::RuleV6,
        Group::Neighbour,
        Group::SettingV4,
        Group::SettingV6,
    ];

    /// `RTNLGRP_*`.
    fn number(self) -> u32 {
        match self {
            Group::Link => 1,
            Group::Neighbour => 3,
            Group::AddressV4 => 5,
            Group::RouteV4 => 7,
            Group::RuleV4 => 8,
            Group::AddressV6 => 9,
            Group::RouteV6 => 11,
            Group::RuleV6 => 19,
            Group::SettingV4 => 24,
            Group::SettingV6 => 25,
        }
    }
}

/// `NFNLGRP_NFTABLES`.
const NFTABLES_GROUP: u32 = 7;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// It was added, or it changed.
    Set,
    /// It is gone.
    Deleted,
}

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A device.
    Link(Verb, Link),
    /// An address.
    Address(Verb, Address),
    /// A route.
    Route(Verb, Route),
    /// A rule.
    Rule(Verb, ListedRule),
    /// A neighbour or a forwarding entry of a device was added, changed or removed.
    Neighbour {
        /// The number of the device.
        link: u32,
    },
    /// A setting of devices was written. The kernel notifies of some settings only, `forwarding` and `rp_filter` among them.
    Setting(Configured),
    /// A transaction on the nftables ruleset was committed.
    Nftables {
        /// The ruleset's generation since then.
        generation: u32,
        /// The process that did it, as numbered in the initial PID namespace.
        process: Option<u32>,
    },
    /// Notifications were lost because they came faster than they were read: anything may have changed.
    Lost,
}

/// Whose setting was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Configured {
    /// The one for all devices (`conf/all`).
    All,
    /// The one for devices that are created later (`conf/default`).
    Default,
    /// That of the device with this number.
    Device(u32),
}

/// A socket that receives notifications of the namespace of the thread that opened it.
#[derive(Debug)]
pub struct Monitor {
    inner: netlink_sys::Socket,
    buffer: Vec<u8>,
    ignored: Vec<u32>,
}

impl Monitor {
    /// Listens to groups of routing. The socket is non-blocking.
    ///
    /// # Errors
    ///
    /// The kernel lacks a group, or the process has no file descriptor left.
    pub fn route(groups: &[Group]) -> Result<Self, Error> {
        Self::open(Protocol::Route, groups.iter().map(|group| group.number()))
    }

    /// Listens to nftables. The socket is non-blocking.
    ///
    /// # Errors
    ///
    /// The kernel lacks nftables, or the process has no file descriptor left.
    pub fn nftables() -> Result<Self, Error> {
        Self::open(Protocol::Netfilter, [NFTABLES_GROUP])
    }

    /// Ignores the changes that the socket with this port ([`crate::Socket::port`]) makes from now on.
    pub fn ignore(&mut self, port: u32) {
        self.ignored.push(port);
    }

    /// Waits for notifications and returns all that one datagram holds. Notifications that are of no kind
    /// of [`Event`] can make the result empty.
    ///
    /// # Errors
    ///
    /// The socket failed.
    pub fn wait(&mut self) -> Result<Vec<Event>, Error> {
        loop {
            let mut ready = [nix::poll::PollFd::new(self.inner.as_fd(), nix::poll::PollFlags::POLLIN)];
            match nix::poll::poll(&mut ready, nix::poll::PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
            if let Some(events) = self.try_receive()? {
                return Ok(events);
            }
        }
    }

    /// Returns the notifications of one datagram, or `None` when there is none to be read now.
    ///
    /// # Errors
    ///
    /// The socket failed.
    pub fn try_receive(&mut self) -> Result<Option<Vec<Event>>, Error> {
        match recv(self.inner.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC) {
            Ok(length) if length > self.buffer.len() => Ok(Some(vec![Event::Lost])),
            Ok(length) => {
                let frames = Frame::split(&self.buffer[..length]).filter(|frame| !self.ignored.contains(&frame.port));
                Ok(Some(frames.filter_map(|frame| read(&frame)).collect()))
            }
            Err(Errno::ENOBUFS) => Ok(Some(vec![Event::Lost])),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(errno) => Err(failed(errno)),
        }
    }

    fn open(protocol: Protocol, groups: impl IntoIterator<Item = u32>) -> Result<Self, Error> {
        let inner = subscribe(protocol, groups)
            .map_err(|errno| Error::new("subscribe to", format!("{protocol:?} notifications"), Cause::Socket(errno)))?;
        Ok(Self { inner, buffer: vec![0; RECEIVE_LENGTH], ignored: Vec::new() })
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl AsRawFd for Monitor {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

fn subscribe(protocol: Protocol, groups: impl IntoIterator<Item = u32>) -> Result<netlink_sys::Socket, Errno> {
    let raw = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or_default());
    let mut socket = netlink_sys::Socket::new(protocol.number()).map_err(raw)?;
    grow_receive_buffer(&socket)?;
    fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    socket.bind_auto().map_err(raw)?;
    for group in groups {
        socket.add_membership(group).map_err(raw)?;
    }
    Ok(socket)
}

fn failed(errno: Errno) -> Error {
    Error::new("receive", "notifications", Cause::Socket(errno))
}

/// Reads one notification; one that cannot be read counts as lost.
pub(crate) fn read(frame: &Frame<'_>) -> Option<Event> {
    let event = match frame.message_type {
        RTM_NEWLINK => Ok(link::read(frame).map(|link| Event::Link(Verb::Set, link))),
        RTM_DELLINK => Ok(link::read(frame).map(|link| Event::Link(Verb::Deleted, link))),
        RTM_NEWADDR => address::read(frame).map(|read| read.map(|address| Event::Address(Verb::Set, address))),
        RTM_DELADDR => address::read(frame).map(|read| read.map(|address| Event::Address(Verb::Deleted, address))),
        RTM_NEWROUTE => route::read(frame).map(|read| read.map(|route| Event::Route(Verb::Set, route))),
        RTM_DELROUTE => route::read(frame).map(|read| read.map(|route| Event::Route(Verb::Deleted, route))),
        RTM_NEWRULE => rule::read_listed(frame).map(|read| read.map(|rule| Event::Rule(Verb::Set, rule))),
        RTM_DELRULE => rule::read_listed(frame).map(|read| read.map(|rule| Event::Rule(Verb::Deleted, rule))),
        RTM_NEWNEIGH | RTM_DELNEIGH => {
            NeighbourHeader::parse(frame.payload).map(|header| Some(Event::Neighbour { link: header.ifindex }))
        }
        RTM_NEWNETCONF => setting(frame),
        NFT_NEW_GENERATION => generation(frame).map(Some),
        _ => Ok(None),
    };
    event.unwrap_or_else(|error| {
        tracing::debug!(event = "notification_unreadable", message_type = frame.message_type, %error);
        Some(Event::Lost)
    })
}

/// `struct netconfmsg` holds the family alone; attributes follow.
fn setting(frame: &Frame<'_>) -> Result<Option<Event>, DecodeError> {
    for attribute in NlasIterator::new(frame.payload.get(NETCONF_HEADER_LENGTH..).unwrap_or_default()) {
        let attribute = attribute?;
        if attribute.kind() == NETCONFA_IFINDEX {
            let number = i32::from_ne_bytes(array(attribute.value())?);
            return Ok(Some(Event::Setting(match u32::try_from(number) {
                Ok(device) => Configured::Device(device),
                Err(_) if number == NETCONFA_IFINDEX_ALL => Configured::All,
                Err(_) => Configured::Default,
            })));
        }
    }
    Ok(None)
}

fn generation(frame: &Frame<'_>) -> Result<Event, DecodeError> {
    let mut generation = 0;
    let mut process = None;
    for attribute in NlasIterator::new(frame.payload.get(NETFILTER_HEADER_LENGTH..).unwrap_or_default()) {
        let attribute = attribute?;
        let number = || attribute.value().try_into().map(u32::from_be_bytes);
        match attribute.kind() {
            NFTA_GEN_ID => generation = number().unwrap_or_default(),
            NFTA_GEN_PROC_PID => process = number().ok(),
            _ => {}
        }
    }
    Ok(Event::Nftables { generation, process })
}
