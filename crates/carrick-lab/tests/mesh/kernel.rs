//! Carrick's state in a node's kernel, as other tools show it.

use carrick_lab::namespace::Namespaces;

/// All state that the plan demands, without counters and without endpoints that WireGuard learns.
pub fn held(node: &Namespaces) -> String {
    let commands: [&[&str]; 7] = [
        &["ip", "-4", "route", "show", "table", "all", "proto", "107"],
        &["ip", "-6", "route", "show", "table", "all", "proto", "107"],
        &["ip", "-4", "rule"],
        &["ip", "-6", "rule"],
        &["bridge", "fdb", "show", "dev", "carrick-vx"],
        &["ip", "neighbour", "show", "dev", "carrick-vx", "nud", "permanent"],
        &["nft", "--stateless", "list", "table", "inet", "carrick"],
    ];
    // A deleted device cannot be shown.
    let show = |command: &[&str]| node.exec(command).unwrap_or_else(|error| format!("{error:#}"));
    let mut held: String = commands.iter().map(|command| sorted(&show(command))).collect();
    held += &addresses(&show(&["ip", "-oneline", "address", "show", "scope", "global"]));
    held += &wireguard(&show(&["wg", "show", "carrick0", "dump"]));
    held
}

/// The text without the devices' numbers: a new device of the same name has another number.
fn addresses(text: &str) -> String {
    let without_number = |line: &str| line.split_once(':').map_or(line, |(_, address)| address).to_owned();
    let mut lines: Vec<_> = text.lines().map(without_number).collect();
    lines.sort_unstable();
    lines.join("\n") + "\n"
}

/// The lines in order: the kernel lists equal entries in any order.
fn sorted(text: &str) -> String {
    let mut lines: Vec<_> = text.lines().collect();
    if !text.contains('{') {
        lines.sort_unstable();
    }
    lines.join("\n") + "\n"
}

/// The columns of `wg show dump` that are configured: not the time of the last handshake, not the bytes moved.
fn wireguard(dump: &str) -> String {
    let mut lines = dump.lines();
    let device = lines.next().unwrap_or_default().to_owned();
    let configured = |line: &str| {
        let columns: Vec<_> = line.split('\t').collect();
        let [key, preshared, endpoint, allowed_ips, _handshake, _received, _sent, keepalive] = columns[..] else {
            return line.to_owned();
        };
        let mut allowed_ips: Vec<_> = allowed_ips.split(',').collect();
        allowed_ips.sort_unstable();
        format!("{key} {preshared} {endpoint} {} {keepalive}", allowed_ips.join(","))
    };
    let mut peers: Vec<_> = lines.map(configured).collect();
    peers.sort();
    format!("{device}\n{}\n", peers.join("\n"))
}
