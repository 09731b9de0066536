//! A process that answers UAPI requests as userspace WireGuard does, as a thread, without any packets.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use carrick_netlink::wireguard::{Device, Peer, PublicKey, SecretKey};
use ipnet::IpNet;

/// What the double holds, and how it behaves.
#[derive(Debug)]
pub struct State {
    pub device: Device,
    /// The requests that changed something, in order.
    pub sets: Vec<String>,
    /// Whether it knows `allowed_ip=-…`.
    pub removes_single_allowed_ips: bool,
    /// Whether it keeps private keys as the kernel does.
    pub clamps: bool,
    /// Requests that name this key are refused.
    pub refused: Option<PublicKey>,
}

/// The double; its thread ends with the process.
#[derive(Debug, Clone)]
pub struct UserspaceDouble {
    state: Arc<Mutex<State>>,
}

impl UserspaceDouble {
    /// Listens on `FOLDER/DEVICE.sock`.
    pub fn start(folder: &Path, device: &str) -> Self {
        let double = Self {
            state: Arc::new(Mutex::new(State {
                device: Device { private_key: None, public_key: None, port: 0, firewall_mark: 0, peers: Vec::new() },
                sets: Vec::new(),
                removes_single_allowed_ips: true,
                clamps: false,
                refused: None,
            })),
        };
        let listener = UnixListener::bind(folder.join(format!("{device}.sock"))).unwrap();
        let answering = double.clone();
        thread::spawn(move || listener.incoming().flatten().for_each(|stream| answering.answer(stream)));
        double
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn answer(&self, mut stream: UnixStream) {
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let answer = match request.first().map(String::as_str) {
            Some("get=1") => format!("{}errno=0\n\n", text(&self.state().device)),
            Some("set=1") => format!("errno={}\n\n", self.state().set(&request[1..])),
            _ => "errno=71\n\n".to_owned(),
        };
        // The other side may have gone.
        let _ = stream.write_all(answer.as_bytes());
    }
}

impl State {
    fn set(&mut self, lines: &[String]) -> i32 {
        let refused = self.refused.map(|key| format!("public_key={}", hexadecimal(&key.0)));
        if lines.iter().any(|line| Some(line) == refused.as_ref()) {
            return 1;
        }
        if !self.removes_single_allowed_ips && lines.iter().any(|line| line.starts_with("allowed_ip=-")) {
            return 22;
        }
        self.sets.push(lines.join("\n"));
        let mut current = None;
        for line in lines {
            let (key, value) = line.split_once('=').unwrap();
            match (key, current) {
                ("private_key", None) => {
                    let given = SecretKey::new(bytes(value));
                    self.device.private_key = Some(if self.clamps { given.clamped() } else { given });
                }
                ("listen_port", None) => self.device.port = value.parse().unwrap(),
                ("fwmark", None) => self.device.firewall_mark = value.parse().unwrap(),
                ("public_key", _) => current = Some(self.peer(PublicKey(bytes(value)))),
                (_, Some(position)) => self.set_peer(position, key, value),
                other => panic!("{other:?}"),
            }
        }
        0
    }

    fn peer(&mut self, public_key: PublicKey) -> usize {
        if let Some(position) = self.device.peers.iter().position(|peer| peer.public_key == public_key) {
            return position;
        }
        self.device.peers.push(Peer::new(public_key));
        self.device.peers.len() - 1
    }

    fn set_peer(&mut self, position: usize, key: &str, value: &str) {
        if key == "allowed_ip" {
            let network: IpNet = value.trim_start_matches('-').parse().unwrap();
            self.device.peers.iter_mut().for_each(|peer| peer.allowed_ips.retain(|other| *other != network));
            if !value.starts_with('-') {
                self.device.peers[position].allowed_ips.push(network);
            }
            return;
        }
        let peer = &mut self.device.peers[position];
        match key {
            "remove" => {
                self.device.peers.remove(position);
            }
            "update_only" => {}
            "preshared_key" => {
                peer.preshared_key = Some(SecretKey::new(bytes(value))).filter(|key| !key.is_zero());
            }
            "endpoint" => peer.endpoint = Some(value.parse().unwrap()),
            "persistent_keepalive_interval" => {
                peer.persistent_keepalive = Some(value.parse().unwrap()).filter(|seconds| *seconds != 0);
            }
            "replace_allowed_ips" => peer.allowed_ips.clear(),
            other => panic!("{other}"),
        }
    }
}

fn text(device: &Device) -> String {
    let mut text = String::new();
    if let Some(key) = &device.private_key {
        text += &format!("private_key={}\n", hexadecimal(key.expose()));
    }
    text += &format!("listen_port={}\nfwmark={}\n", device.port, device.firewall_mark);
    for peer in &device.peers {
        text += &format!("public_key={}\n", hexadecimal(&peer.public_key.0));
        if let Some(key) = &peer.preshared_key {
            text += &format!("preshared_key={}\n", hexadecimal(key.expose()));
        }
        if let Some(endpoint) = peer.endpoint {
            text += &format!("endpoint={endpoint}\n");
        }
        let handshake = peer.last_handshake.unwrap_or_default();
        text += &format!(
            "last_handshake_time_sec={}\nlast_handshake_time_nsec={}\n",
            handshake.as_secs(),
            handshake.subsec_nanos()
        );
        text += &format!("persistent_keepalive_interval={}\n", peer.persistent_keepalive.unwrap_or(0));
        peer.allowed_ips.iter().for_each(|network| text += &format!("allowed_ip={network}\n"));
    }
    text
}

pub fn hexadecimal(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(text: &str) -> [u8; 32] {
    let bytes: Vec<u8> =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect();
    bytes.try_into().unwrap()
}
