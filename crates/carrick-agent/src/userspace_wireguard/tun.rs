//! The TUN device of the WireGuard interface.
//!
//! The device is persistent: when this process ends, the interface stays with its addresses and routes, without carrier, and
//! the next process takes it up again. If another program deletes it, the process creates it again and the sessions continue.

use std::io;
use std::iter;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use gotatun::packet::{Ip, Packet, PacketBufPool};
use gotatun::tun::{IpRecv, IpSend, MtuWatcher};
use nix::errno::Errno;
use tokio::sync::watch;
use tun_rs::{AsyncDevice, DeviceBuilder};

use carrick_topology::DeviceName;

/// The driver's device node.
const DEVICE_NODE: &str = "/dev/net/tun";

/// The MTU of a new interface in bytes: what the kernel's WireGuard begins with. The agent sets the real one.
const INITIAL_MTU: u16 = 1420;

/// Packets that wait in the kernel while a busy machine does not run this process. The driver's default is 500. A kernel's WireGuard queues
/// 1,024 for each peer (`MAX_QUEUED_PACKETS`).
const QUEUE_PACKETS: u32 = 2048;

/// The time between two reads of the interface's MTU. The MTU only limits the padding, so a delay does no harm.
const MTU_INTERVAL: Duration = Duration::from_secs(3);

/// How long to wait after a failure to read or recreate the interface.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// Why the TUN device cannot be had, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum TunError {
    /// The driver is not there.
    #[error(
        "{DEVICE_NODE} is missing: load the module (`modprobe tun`), or in a container mount {DEVICE_NODE} from the host"
    )]
    NoDriver,
    /// The process may not make network devices.
    #[error("no permission to make interface {interface}: run as root or with CAP_NET_ADMIN")]
    NoPermission {
        /// The interface that was asked for.
        interface: DeviceName,
    },
    /// Another process holds the interface.
    #[error("another process holds TUN interface {interface}: stop it first")]
    Busy {
        /// The interface that was asked for.
        interface: DeviceName,
    },
    /// An interface of this name exists and is not a TUN device of this kind.
    #[error(
        "interface {interface} exists and is not Carrick's TUN device (a kernel WireGuard device, or another program's): \
         remove it (`ip link delete {interface}`) or choose another name"
    )]
    NameTaken {
        /// The interface that was asked for.
        interface: DeviceName,
    },
    /// Anything else.
    #[error("cannot {action} TUN interface {interface}: {source}")]
    Io {
        /// The operation.
        action: &'static str,
        /// The interface that was asked for.
        interface: DeviceName,
        /// The error of the system call.
        source: io::Error,
    },
}

/// A handle to the TUN device; clones share it.
#[derive(Clone)]
pub struct Tun {
    shared: Arc<Shared>,
}

struct Shared {
    interface: DeviceName,
    device: RwLock<Arc<AsyncDevice>>,
    mtu: watch::Sender<u16>,
}

impl Tun {
    /// Creates the interface, or opens the one that an earlier process left.
    ///
    /// # Errors
    /// [`TunError`].
    pub fn open(interface: DeviceName) -> Result<Self, TunError> {
        let device = open_device(&interface)?;
        let mtu = device.mtu().unwrap_or(INITIAL_MTU);
        Ok(Self {
            shared: Arc::new(Shared { interface, device: RwLock::new(Arc::new(device)), mtu: watch::Sender::new(mtu) }),
        })
    }

    /// Reads the interface's MTU again and again, until the process ends.
    pub async fn follow_mtu(&self) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(MTU_INTERVAL).await;
            let Ok(mtu) = self.device().mtu() else {
                continue;
            };
            self.shared.mtu.send_if_modified(|known| {
                let changed = *known != mtu;
                *known = mtu;
                changed
            });
        }
    }

    fn device(&self) -> Arc<AsyncDevice> {
        let device = self.shared.device.read();
        Arc::clone(&device.unwrap_or_else(PoisonError::into_inner))
    }

    /// Recreates the interface if it was deleted. Waits for a short time after any other error.
    async fn recover(&self, error: &io::Error) {
        if !is_deleted(error) {
            tracing::warn!(event = "tun_read_failed", interface = %self.shared.interface, %error);
            tokio::time::sleep(RETRY_INTERVAL).await;
            return;
        }
        tracing::warn!(event = "tun_deleted", interface = %self.shared.interface);
        let mut told = false;
        let device = loop {
            match open_device(&self.shared.interface) {
                Ok(device) => break device,
                Err(error) if told => {
                    tracing::debug!(event = "tun_not_recreated", %error);
                }
                Err(error) => {
                    told = true;
                    tracing::warn!(event = "tun_not_recreated", %error);
                }
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        };
        tracing::info!(event = "tun_recreated", interface = %self.shared.interface);
        let mut current = self.shared.device.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(device);
    }
}

impl IpRecv for Tun {
    async fn recv<'a>(
        &'a mut self,
        pool: &mut PacketBufPool,
    ) -> io::Result<impl Iterator<Item = Packet<Ip>> + Send + 'a> {
        loop {
            let mut packet = pool.get();
            let mtu = usize::from(*self.shared.mtu.borrow());
            if packet.len() < mtu {
                packet.buf_mut().resize(mtu, 0);
            }
            match self.device().recv(&mut packet).await {
                Ok(length) => {
                    packet.truncate(length);
                    if let Ok(packet) = packet.try_into_ip() {
                        return Ok(iter::once(packet));
                    }
                }
                Err(error) => self.recover(&error).await,
            }
        }
    }

    fn mtu(&self) -> MtuWatcher {
        self.shared.mtu.subscribe().into()
    }
}

impl IpSend for Tun {
    async fn send(&mut self, packet: Packet<Ip>) -> io::Result<()> {
        // The engine ends its data path on an error here, but a packet for an interface that is down or just deleted
        // is a lost packet and no more; a deleted interface is the reader's business.
        if let Err(error) = self.device().send(&packet.into_bytes()).await {
            tracing::trace!(event = "tun_write_failed", %error);
        }
        Ok(())
    }
}

fn open_device(interface: &DeviceName) -> Result<AsyncDevice, TunError> {
    if !Path::new(DEVICE_NODE).exists() {
        return Err(TunError::NoDriver);
    }
    let exists = nix::net::if_::if_nametoindex(interface.as_str()).is_ok();
    let device = DeviceBuilder::new()
        .name(interface.as_str())
        .packet_information(false)
        .inherit_enable_state()
        .build_async()
        .map_err(|source| explain(source, interface, exists))?;
    let failed = |action| move |source| TunError::Io { action, interface: interface.clone(), source };
    device.persist().map_err(failed("keep"))?;
    device.set_tx_queue_len(QUEUE_PACKETS).map_err(failed("set the queue of"))?;
    if !exists {
        device.set_mtu(INITIAL_MTU).map_err(failed("set the MTU of"))?;
    }
    Ok(device)
}

fn explain(source: io::Error, interface: &DeviceName, exists: bool) -> TunError {
    let interface = interface.clone();
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENODEV | Errno::ENXIO | Errno::ENOENT) => TunError::NoDriver,
        Some(Errno::EPERM | Errno::EACCES) => TunError::NoPermission { interface },
        Some(Errno::EBUSY) => TunError::Busy { interface },
        Some(Errno::EINVAL) if exists => TunError::NameTaken { interface },
        _ => TunError::Io { action: "open", interface, source },
    }
}

/// Whether the TUN driver reports that the descriptor's interface was deleted.
fn is_deleted(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EBADFD | Errno::ENODEV))
}
