//! The engine on gotatun's device (`docs/decisions/0004-userspace-wireguard-engine.md` says why, and which of its faults this module corrects).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use carrick_netlink::wireguard::{
    self, DeviceChange, PeerChange, PeerVerb, Preshared, PublicKey, SecretKey, UnnamedPeers,
};
use futures::future::join_all;
use gotatun::device::configure::{DeviceWrite, PeerStats};
use gotatun::device::{Device, DeviceBuilder, Error, Peer};
use ipnet::IpNet;
use ipnetwork::IpNetwork;
use tokio::sync::Mutex;
use x25519_dalek::StaticSecret;

use super::allowed_ips::AllowedIps;
use super::engine::{ConfigureError, Engine};
use super::steady_udp::SteadyUdp;
use super::tun::Tun;

/// The time between two passes over the peers, which record handshake times and dial silent peers.
const CARE_INTERVAL: Duration = Duration::from_secs(5);

/// The timeout for sending a handshake initiation.
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Two readings of one handshake's time differ by the time between the clock reads, never by this much.
const SAME_HANDSHAKE: Duration = Duration::from_secs(1);

type Transports = (SteadyUdp, Tun, Tun);

/// A WireGuard device carried by gotatun.
pub struct GotatunEngine {
    device: Device<Transports>,
    book: Mutex<Book>,
}

/// State that gotatun does not keep.
#[derive(Default)]
struct Book {
    identity: Identity,
    allowed_ips: AllowedIps,
    handshakes: BTreeMap<PublicKey, SystemTime>,
}

/// The private key of the device.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Identity {
    /// A random key, which no peer knows: gotatun cannot hold ports or peers without a key.
    #[default]
    Stand,
    /// The configured one.
    Configured,
}

impl GotatunEngine {
    /// Starts a device without configuration behind this interface.
    ///
    /// # Errors
    /// [`ConfigureError`] when no UDP socket can be had.
    pub async fn start(tun: Tun) -> Result<Self, ConfigureError> {
        let device =
            DeviceBuilder::new().with_udp(SteadyUdp::new()).with_ip(tun).build().await.map_err(engine_failed)?;
        device.set_private_key(StaticSecret::random()).await.map_err(engine_failed)?;
        Ok(Self { device, book: Mutex::default() })
    }

    /// Records handshake times and dials silent peers, until the process ends.
    pub async fn look_after_peers(&self) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(CARE_INTERVAL).await;
            let mut book = self.book.lock().await;
            let peers = self.device.peers().await;
            book.record_handshakes(&peers, SystemTime::now());
            drop(book);
            // gotatun stops a handshake after 90 s and, unlike in the kernel, a persistent keepalive does not start
            // another one. A node behind NAT would stay cut off, because no peer can dial it.
            let silent = peers.iter().filter(|peer| is_silent(peer));
            join_all(silent.map(|peer| self.dial(&peer.peer.public_key))).await;
        }
    }

    async fn dial(&self, peer: &x25519_dalek::PublicKey) {
        // The initiation goes out at once; the rest of the future would wait for the answer.
        let _ = tokio::time::timeout(DIAL_TIMEOUT, self.device.force_handshake(peer)).await;
    }
}

impl Engine for GotatunEngine {
    async fn configure(&self, change: DeviceChange) -> Result<(), ConfigureError> {
        let mut book = self.book.lock().await;
        let (port_before, mark_before) = self.device.read(async |device| (device.listen_port(), device.fwmark())).await;
        // The port is what can fail, so it goes first.
        if let Some(port) = change.port
            && let Err(error) = self.device.set_listen_port(port).await
        {
            self.device.set_listen_port(port_before).await.map_err(engine_failed)?;
            return Err(port_failed(port, error));
        }
        let mark = change.firewall_mark.filter(|mark| *mark != mark_before.unwrap_or(0));
        if let Some(mark) = mark {
            self.device.set_fwmark(mark).await.map_err(engine_failed)?;
        }
        self.device.write(async |device| book.apply(device, &change).await).await.map_err(engine_failed)?;
        Ok(())
    }

    async fn status(&self) -> wireguard::Device {
        let mut book = self.book.lock().await;
        let (private_key, listen_port, mark, peers) = self
            .device
            .read(async |device| {
                (
                    device.private_key().map(|key| SecretKey::new(key.to_bytes())),
                    device.listen_port(),
                    device.fwmark(),
                    device.peers().await,
                )
            })
            .await;
        book.record_handshakes(&peers, SystemTime::now());
        let mut peers: Vec<_> = peers.iter().map(|peer| book.peer_status(peer)).collect();
        peers.sort_by_key(|peer| peer.public_key);
        wireguard::Device {
            private_key: private_key.filter(|_| book.identity == Identity::Configured),
            public_key: None,
            port: listen_port,
            firewall_mark: mark.unwrap_or(0),
            peers,
        }
    }
}

impl Book {
    async fn apply(&mut self, device: &mut DeviceWrite<'_, Transports>, change: &DeviceChange) {
        match &change.private_key {
            None => {}
            Some(cleared) if cleared.is_zero() && self.identity == Identity::Stand => {}
            Some(cleared) if cleared.is_zero() => {
                self.identity = Identity::Stand;
                device.set_private_key(StaticSecret::random()).await;
            }
            Some(key) => {
                let secret = StaticSecret::from(*key.expose());
                let own_key = PublicKey(x25519_dalek::PublicKey::from(&secret).to_bytes());
                self.identity = Identity::Configured;
                device.set_private_key(secret).await;
                // A peer with the device's own key would be a loop; the kernel drops it as well.
                self.remove_peer(device, &own_key).await;
            }
        }
        let present = device.peers().await;
        let mut present: BTreeSet<PublicKey> = present.iter().map(public_key_of).collect();
        match change.unnamed_peers {
            UnnamedPeers::Keep => {}
            UnnamedPeers::Remove => {
                let named: BTreeSet<_> = change.peers.iter().map(|peer| peer.public_key).collect();
                for peer in present.extract_if(.., |peer| !named.contains(peer)) {
                    self.remove_peer(device, &peer).await;
                }
            }
        }
        let own_key = device.private_key().map(x25519_dalek::PublicKey::from);
        let own_key = own_key.map(|key| PublicKey(key.to_bytes()));
        for peer in &change.peers {
            if peer.verb == PeerVerb::Remove {
                present.remove(&peer.public_key);
                self.remove_peer(device, &peer.public_key).await;
                continue;
            }
            if Some(peer.public_key) == own_key {
                tracing::warn!(event = "own_key_as_peer_ignored", peer = %peer.public_key);
                continue;
            }
            let is_new = !present.contains(&peer.public_key);
            if is_new && peer.verb == PeerVerb::Update {
                continue;
            }
            present.insert(peer.public_key);
            self.update_peer(device, peer, is_new).await;
        }
    }

    async fn remove_peer(&mut self, device: &mut DeviceWrite<'_, Transports>, peer: &PublicKey) {
        device.remove_peer(&foreign_key(peer)).await;
        self.allowed_ips.remove_peer(peer);
        self.handshakes.remove(peer);
    }

    /// Applies an update to a peer, and to the peers that lose allowed IPs to it.
    async fn update_peer(&mut self, device: &mut DeviceWrite<'_, Transports>, update: &PeerChange, is_new: bool) {
        let changed = self.allowed_ips.apply(update);
        // gotatun lists one allowed IP at two peers and routes it to the one that was touched last. So the losers are
        // touched first.
        for loser in changed.iter().filter(|peer| **peer != update.public_key) {
            let networks = self.networks_of(loser);
            device
                .modify_peer(&foreign_key(loser), |peer| {
                    peer.clear_allowed_ips();
                    peer.add_allowed_ips(networks);
                })
                .await;
        }
        let networks = changed.contains(&update.public_key).then(|| self.networks_of(&update.public_key));
        if is_new {
            device.add_peer(new_peer(update, networks.unwrap_or_default()));
            return;
        }
        device
            .modify_peer(&foreign_key(&update.public_key), |peer| {
                match &update.preshared_key {
                    Preshared::Keep => {}
                    Preshared::Clear => peer.set_preshared_key(None),
                    Preshared::Set(key) => peer.set_preshared_key(Some(*key.expose())),
                }
                if let Some(endpoint) = update.endpoint {
                    peer.set_endpoint(Some(endpoint));
                }
                if let Some(seconds) = update.persistent_keepalive {
                    peer.set_keepalive(Some(seconds));
                }
                if let Some(networks) = networks {
                    peer.clear_allowed_ips();
                    peer.add_allowed_ips(networks);
                }
            })
            .await;
    }

    fn networks_of(&self, peer: &PublicKey) -> Vec<IpNetwork> {
        self.allowed_ips.of(peer).into_iter().filter_map(foreign_network).collect()
    }

    /// gotatun forgets a handshake when its session ends after 180 s, and returns the handshake's age instead of its time.
    fn record_handshakes(&mut self, peers: &[PeerStats], now: SystemTime) {
        for peer in peers {
            let Some(time) = peer.stats.last_handshake.and_then(|age| now.checked_sub(age)) else {
                continue;
            };
            let known = self.handshakes.entry(public_key_of(peer)).or_insert(time);
            let is_another = time.duration_since(*known).unwrap_or_else(|earlier| earlier.duration()) >= SAME_HANDSHAKE;
            if is_another {
                *known = time;
            }
        }
    }

    fn peer_status(&self, peer: &PeerStats) -> wireguard::Peer {
        let public_key = public_key_of(peer);
        wireguard::Peer {
            public_key,
            preshared_key: peer.peer.preshared_key.map(SecretKey::new),
            endpoint: peer.peer.endpoint,
            persistent_keepalive: peer.peer.keepalive.filter(|seconds| *seconds != 0),
            allowed_ips: self.allowed_ips.of(&public_key).into_iter().collect(),
            last_handshake: self.handshakes.get(&public_key).and_then(|time| time.duration_since(UNIX_EPOCH).ok()),
            received_bytes: peer.stats.rx_bytes as u64,
            sent_bytes: peer.stats.tx_bytes as u64,
        }
    }
}

/// Whether a peer with an endpoint and persistent keepalive has had no handshake.
fn is_silent(peer: &PeerStats) -> bool {
    let wants_connection = peer.peer.keepalive.unwrap_or(0) > 0 && peer.peer.endpoint.is_some();
    wants_connection && peer.stats.last_handshake.is_none()
}

fn new_peer(update: &PeerChange, networks: Vec<IpNetwork>) -> Peer {
    let mut peer = Peer::new(foreign_key(&update.public_key)).with_allowed_ips(networks);
    peer.endpoint = update.endpoint;
    peer.keepalive = update.persistent_keepalive;
    peer.preshared_key = match &update.preshared_key {
        Preshared::Set(key) => Some(*key.expose()),
        Preshared::Keep | Preshared::Clear => None,
    };
    peer
}

fn public_key_of(peer: &PeerStats) -> PublicKey {
    PublicKey(peer.peer.public_key.to_bytes())
}

fn foreign_key(key: &PublicKey) -> x25519_dalek::PublicKey {
    x25519_dalek::PublicKey::from(key.0)
}

fn foreign_network(network: IpNet) -> Option<IpNetwork> {
    // Both types hold every prefix length that its family has, so nothing is dropped here.
    IpNetwork::new(network.addr(), network.prefix_len()).ok()
}

fn port_failed(port: u16, error: Error) -> ConfigureError {
    match error {
        Error::Bind(source, _) | Error::IoError(source) => ConfigureError::Port { port, source },
        other => engine_failed(other),
    }
}

fn engine_failed(error: Error) -> ConfigureError {
    ConfigureError::Engine { reason: error.to_string() }
}
