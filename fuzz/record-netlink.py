#!/usr/bin/env python3
"""Prints what the kernel says about a network namespace that this script fills: one line `TARGET/NAME BASE64` for each datagram.

Run it as root in a network namespace of its own. It asks by itself, not through carrick-netlink, so that the corpora of the netlink
targets hold the kernel's bytes and nothing else. `fuzz/record-netlink.sh` writes them.
"""

import base64
import socket
import struct
import subprocess
import sys
import tempfile

ROUTE, NETFILTER, GENERIC = 0, 12, 16
REQUEST, ACK, DUMP = 1, 4, 0x300
# Small, so that the kernel cuts lists into datagrams of a few KiB.
RECEIVE_LENGTH = 4096
SOL_NETLINK, ADD_MEMBERSHIP, CAP_ACK, EXT_ACK, STRICT_CHECK = 270, 1, 10, 11, 12

RULESET = """
table inet carrick {
  set own4 { type ipv4_addr; flags interval; elements = { 10.4.0.0/16, 10.42.1.0/24, 192.168.7.1 } }
  set own6 { type ipv6_addr; flags interval; elements = { fdca:7272:6963:6b00::/64, fd10::/16 } }
  set names { type ifname; elements = { "carrick0", "carrick-vx" } }
  set pairs { type ipv4_addr . ipv4_addr; elements = { 10.0.0.1 . 10.0.0.2 } }
  map ports { type inet_proto . inet_service : ipv4_addr . inet_service; elements = { tcp . 80 : 10.42.1.7 . 8080 } }
  map verdicts { type ipv4_addr : verdict; elements = { 10.1.0.1 : accept, 10.1.0.2 : jump other } }
  chain input {
    type filter hook input priority filter; policy accept
    iifname != @names udp dport 51820 counter accept comment "tunnel"
  }
  chain forward {
    type filter hook forward priority mangle; policy drop
    oifname "carrick0" tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu
    ct state established,related accept
    meta mark & 0x1000 == 0x1000 return
    ip daddr @own4 ip saddr . ip daddr @pairs drop
    ip6 saddr @own6 meta mark set 0x1000
    ip daddr vmap @verdicts
    iifname "crk*" reject
  }
  chain other {
    fib saddr . iif oif missing drop
    limit rate 5/second log prefix "x"
  }
  chain dstnat {
    type nat hook prerouting priority dstnat
    fib daddr type local dnat ip addr . port to meta l4proto . th dport map @ports
  }
  chain srcnat {
    type nat hook postrouting priority srcnat
    oifname "d0" masquerade
    ip saddr 10.42.0.0/16 snat ip to 192.0.2.1
  }
}
table ip filter {
  chain FORWARD {
    type filter hook forward priority 0; policy drop
    ct status dnat accept
  }
}
table ip6 other {
  set s { type ipv6_addr . inet_service; flags interval; elements = { fd00::/64 . 1-9 } }
}
"""


def run(command, text=None):
    outcome = subprocess.run(command, shell=True, input=text, text=True, capture_output=True)
    if outcome.returncode:
        print(f"{command}: {outcome.stderr.strip()}", file=sys.stderr)
    return outcome.returncode == 0


emitted = set()


def emit(target, name, datagram):
    """The ends of all lists are the same: one of them is enough."""
    if (target, datagram[16:]) in emitted:
        return
    emitted.add((target, datagram[16:]))
    print(f"{target}/{name} {base64.b64encode(datagram).decode()}")


def open_socket(protocol):
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    opened.bind((0, 0))
    opened.settimeout(2)
    for option in (CAP_ACK, EXT_ACK):
        opened.setsockopt(SOL_NETLINK, option, 1)
    return opened


def message(message_type, flags, payload):
    return struct.pack("=IHHII", 16 + len(payload), message_type, flags, 1, 0) + payload


def attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def messages(datagram):
    while len(datagram) >= 16:
        length, message_type = struct.unpack_from("=IH", datagram)
        yield message_type, datagram[16:length]
        datagram = datagram[(length + 3) & ~3:]


def ask(target, name, protocol, message_type, payload, flags=REQUEST | DUMP, strict=False):
    asked = open_socket(protocol)
    if strict:
        asked.setsockopt(SOL_NETLINK, STRICT_CHECK, 1)
    asked.send(message(message_type, flags, payload))
    answer = []
    while not any(kind in (2, 3) for datagram in answer for kind, _ in messages(datagram)):
        answer.append(asked.recv(RECEIVE_LENGTH))
        emit(target, f"{name}-{len(answer) - 1}", answer[-1])
    asked.close()
    return answer[0]


def listen(protocol, groups):
    listener = open_socket(protocol)
    for group in groups:
        listener.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)
    return listener


def tell(target, listener, most):
    """Some of the notifications, one of each kind."""
    listener.settimeout(0.2)
    seen = set()
    while len(seen) < most:
        try:
            datagram = listener.recv(65536)
        except socket.timeout:
            break
        kinds = tuple(sorted({kind for kind, _ in messages(datagram)}))
        if kinds not in seen:
            seen.add(kinds)
            emit(target, "notification-" + "-".join(map(str, kinds)), datagram)


def fill():
    for command in (
        "ip link set lo up",
        "ip link add br0 type bridge",
        "ip link add d0 type veth peer name d1",
        "ip link add v0 type veth peer name v1",
        "ip link set v0 master br0",
        "ip link add vx4 type vxlan id 1107 dstport 51822 local 192.0.2.1 nolearning",
        "ip link add vx6 type vxlan id 1108 dstport 51823 local 2001:db8::1 flowlabel 0x453 learning",
        "ip link set d0 alias 'a network device'",
        "ip addr add 192.0.2.1/24 dev d0",
        "ip addr add 10.4.0.1/32 dev d0 noprefixroute",
        "ip addr add 2001:db8::1/64 dev d0 nodad",
        "ip addr add 10.9.0.1 peer 10.9.0.2/32 dev v1",
        "for device in d0 d1 v0 v1 br0 vx4 vx6; do ip link set $device up; done",
        "ip route add 10.42.0.0/16 dev vx4 via 10.4.0.2 onlink table 1107 proto 107 metric 100 mtu 1330",
        "ip route add 10.43.0.0/16 dev d0 table 1107 proto 107 metric 100 src 10.4.0.1 mtu lock 1280",
        "ip route add 10.44.0.0/16 via inet6 2001:db8::2 dev d0 table 1107 proto 107",
        "ip route add unreachable 10.4.0.0/16 table 1107 proto 107 metric 10000",
        "ip route add throw 192.0.2.9 table 1107 proto 107",
        "ip route add blackhole fd10::/16 table 1107 proto 107",
        "ip route add fd11::/16 via 2001:db8::2 dev d0 table 1107 proto 107 metric 100",
        "ip route add default via 192.0.2.254 dev d0",
        "ip route add 10.45.0.0/16 nexthop via 192.0.2.3 dev d0 nexthop via 192.0.2.4 dev d0",
        "ip rule add priority 1107 not fwmark 0x1000/0x1000 lookup 1107 protocol 107",
        "ip rule add priority 1106 not iif lo lookup 1106 protocol 109",
        "ip rule add priority 1105 ipproto udp dport 51823 lookup 1105 protocol 109",
        "ip rule add priority 1104 from 10.0.0.0/8 goto 1107",
        "ip -6 rule add priority 1107 not fwmark 0x1000/0x1000 lookup 1107 protocol 107",
        "ip neigh add 10.4.0.2 lladdr 02:00:00:00:00:02 dev vx4 nud permanent",
        "ip neigh add fdca::2 lladdr 02:00:00:00:00:02 dev vx6 nud permanent",
        "ip neigh add 192.0.2.7 lladdr 02:00:00:00:00:07 dev d0 nud reachable",
        "bridge fdb add 02:00:00:00:00:02 dev vx4 dst 192.0.2.2 self permanent",
        "bridge fdb add 02:00:00:00:00:03 dev vx6 dst 2001:db8::3 self permanent",
        "tc qdisc add dev d0 root tbf rate 10mbit burst 20kb limit 60kb",
    ):
        run(command)


def routing():
    notifications = listen(ROUTE, [1, 3, 5, 7, 8, 9, 11, 19])
    fill()
    tell("netlink_routing", notifications, 10)
    target = "netlink_routing"
    ask(target, "links", ROUTE, 18, struct.pack("=BxHiII", 0, 0, 0, 0, 0) + attribute(29, struct.pack("=I", 8)))
    ask(target, "addresses", ROUTE, 22, struct.pack("=BBBBI", 0, 0, 0, 0, 0))
    for family, name in ((2, "4"), (10, "6")):
        ask(target, f"routes{name}", ROUTE, 26, struct.pack("=BBBBBBBBI", family, *[0] * 8))
        ask(target, f"rules{name}", ROUTE, 34, struct.pack("=BBBBBBBBI", family, *[0] * 8))
    ask(target, "neighbours", ROUTE, 30, struct.pack("=BxHiHBB", 0, 0, 0, 0, 0, 0))
    ask(target, "forwarding", ROUTE, 30, struct.pack("=BxHiHBB", 7, 0, 0, 0, 0, 0))
    ask(target, "queues", ROUTE, 38, struct.pack("=BxHiIII", 0, 0, 0, 0, 0, 0))
    # Refusals: a device that is not there, a device whose kind is not known, a filter that is not allowed.
    ask(target, "refused-link", ROUTE, 18, struct.pack("=BxHiII", 0, 0, 99, 0, 0), REQUEST | ACK)
    info = attribute(18, attribute(1, b"no-such-kind\0"))
    ask(target, "refused-kind", ROUTE, 16, struct.pack("=BxHiII", 0, 0, 0, 0, 0) + info, REQUEST | ACK | 0x600)
    ask(target, "refused-dump", ROUTE, 26, struct.pack("=BBBBBBBBI", 2, 24, 0, 0, 0, 0, 0, 0, 0), strict=True)
    ask(target, "lookup", ROUTE, 26, struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 0, 0, 0, 0, 0) + attribute(1, bytes([10, 42, 0, 9])),
        REQUEST | ACK)


def nftables():
    notifications = listen(NETFILTER, [7])
    run("nft -f -", RULESET)
    run("iptables -A FORWARD -i carrick0 -m comment --comment 'of iptables' -j ACCEPT")
    run("iptables -t nat -A POSTROUTING -s 10.42.0.0/16 -p tcp --dport 80 -j MASQUERADE --random")
    tell("netlink_nftables", notifications, 4)
    target, header = "netlink_nftables", lambda family: bytes([family, 0, 0, 0])
    tables = (("carrick", 1), ("filter", 2), ("nat", 2), ("other", 10))
    for name, family in tables:
        table = attribute(1, name.encode() + b"\0")
        kinds = {
            "tables": (1, b""), "chains": (4, b""), "rules": (7, table), "sets": (10, table),
        }
        for kind, (number, filters) in kinds.items():
            ask(target, f"{name}-{kind}", NETFILTER, 10 << 8 | number, header(family) + filters)
    for table, family, name in (
        ("carrick", 1, "own4"), ("carrick", 1, "own6"), ("carrick", 1, "names"), ("carrick", 1, "pairs"),
        ("carrick", 1, "ports"), ("carrick", 1, "verdicts"), ("other", 10, "s"),
    ):
        filters = attribute(1, table.encode() + b"\0") + attribute(2, name.encode() + b"\0")
        ask(target, f"elements-{name}", NETFILTER, 10 << 8 | 13, header(family) + filters)
    ask(target, "generation", NETFILTER, 10 << 8 | 16, header(0), REQUEST | ACK)
    ask(target, "refused-table", NETFILTER, 10 << 8 | 1, header(1) + attribute(1, b"no\0"), REQUEST | ACK)
    connections()


def connections():
    """A TCP connection and a UDP one in both families, translated where the ruleset says so."""
    kept = []
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        server = socket.create_server((address, 8000), family=family)
        kept += [server, socket.create_connection((address, 8000))]
        datagrams = socket.socket(family, socket.SOCK_DGRAM)
        datagrams.sendto(b"x", (address, 8001))
        kept.append(datagrams)
    for family, name in ((2, "4"), (10, "6")):
        ask("netlink_nftables", f"connections{name}", NETFILTER, 1 << 8 | 1, bytes([family, 0, 0, 0]))


def wireguard():
    target = "netlink_wireguard"
    controller = lambda name: bytes([3, 1, 0, 0]) + attribute(2, name)
    ask(target, "refused-family", GENERIC, 16, controller(b"no-such-family\0"), REQUEST | ACK)
    answer = ask(target, "family", GENERIC, 16, controller(b"wireguard\0"), REQUEST | ACK)
    kind, payload = next(messages(answer))
    if kind != 16:
        print("the kernel has no WireGuard", file=sys.stderr)
        return
    number = payload.index(struct.pack("=HH", 6, 1)) + 4
    family = struct.unpack_from("=H", payload, number)[0]
    run("ip link add wg0 type wireguard")
    device = lambda: bytes([0, 1, 0, 0]) + attribute(2, b"wg0\0")
    ask(target, "empty", GENERIC, family, device())
    key = lambda byte: base64.b64encode(bytes([byte] * 31 + [0x40])).decode()
    many = ",".join(f"10.{high}.{low}.0/24" for high in range(1, 3) for low in range(100))
    with tempfile.NamedTemporaryFile("w") as preshared, tempfile.NamedTemporaryFile("w") as private:
        preshared.write(key(9))
        preshared.flush()
        private.write(key(1))
        private.flush()
        run(f"wg set wg0 private-key {private.name} listen-port 51820 fwmark 0x1000")
        run(f"wg set wg0 peer {key(2)} endpoint 192.0.2.2:51820 allowed-ips 10.42.2.0/24,fd10:0:0:2::/64 persistent-keepalive 25")
        run(f"wg set wg0 peer {key(3)} endpoint [2001:db8::3]:51820 preshared-key {preshared.name} allowed-ips 10.4.0.3/32")
        run(f"wg set wg0 peer {key(5)} endpoint [fe80::5%lo]:1")
        run(f"wg set wg0 peer {key(6)}")
        ask(target, "device", GENERIC, family, device())
        run(f"wg set wg0 peer {key(4)} allowed-ips {many}")
        ask(target, "device-large", GENERIC, family, device())
    ask(target, "refused-device", GENERIC, family, bytes([0, 1, 0, 0]) + attribute(2, b"no\0"))


routing()
nftables()
wireguard()
