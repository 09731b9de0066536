#!/usr/bin/env python3
"""Writes what the kernel tells of ICMP errors into the corpus of the target icmp_error.

It needs root and `ip`, and runs in network namespaces of its own: a sender, a router and a host behind it.
"""

import os
import pathlib
import socket
import subprocess
import sys
import time

CORPUS = pathlib.Path(__file__).parent / "corpus" / "icmp_error"
# linux/in.h, linux/in6.h.
SETTINGS = {
    socket.AF_INET: (socket.IPPROTO_IP, 11, socket.IP_TTL, 10),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25, socket.IPV6_UNICAST_HOPS, 23),
}
MTU_DISCOVER_DO = 2


def run(command):
    subprocess.run(command, shell=True, check=True)


def build():
    """The sender is this process; the router and the host behind it are children that keep their namespaces."""
    router, host = (subprocess.Popen(["unshare", "-n", "sleep", "60"]) for _ in range(2))
    time.sleep(0.3)
    inside = lambda child, command: run(f"nsenter -t {child.pid} -n sh -c '{command}'")
    run("ip link set lo up")
    run(f"ip link add near type veth peer name far netns {router.pid}")
    inside(router, f"ip link add near type veth peer name far netns {host.pid}")
    for name, child, address in (("near", None, 1), ("far", router, 2)):
        command = f"ip addr add 10.0.1.{address}/24 dev {name}; ip addr add fd00:1::{address}/64 dev {name} nodad; ip link set {name} up"
        run(command) if child is None else inside(child, command)
    inside(router, "ip addr add 10.0.2.1/24 dev near; ip addr add fd00:2::1/64 dev near nodad; ip link set near up mtu 1280")
    inside(router, "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
    inside(router, "ip route add unreachable 10.0.3.0/24; ip route add prohibit 10.0.4.0/24")
    inside(router, "ip -6 route add unreachable fd00:3::/64; ip -6 route add prohibit fd00:4::/64")
    inside(host, "ip addr add 10.0.2.2/24 dev far; ip addr add fd00:2::2/64 dev far nodad; ip link set far up")
    inside(host, "ip route add default via 10.0.2.1; ip -6 route add default via fd00:2::1")
    run("ip route add default via 10.0.1.2; ip -6 route add default via fd00:1::2")
    return router, host


def record(name, family, address, hops=64, length=16):
    level, receive, limit, discover = SETTINGS[family]
    asked = socket.socket(family, socket.SOCK_DGRAM)
    asked.setsockopt(level, receive, 1)
    asked.setsockopt(level, limit, hops)
    asked.setsockopt(level, discover, MTU_DISCOVER_DO)
    try:
        asked.sendto(bytes(length), (address, 33434))
    except OSError as error:
        print(f"{name}: {error}", file=sys.stderr)
    for _ in range(40):
        try:
            _, control, _, _ = asked.recvmsg(64, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
        except BlockingIOError:
            time.sleep(0.1)
            continue
        for message_level, kind, data in control:
            if (message_level, kind) == (level, receive):
                (CORPUS / name).write_bytes(bytes([family == socket.AF_INET6]) + data)
        return
    print(f"{name}: no error came", file=sys.stderr)


if os.environ.get("IN_NAMESPACE") is None:
    sys.exit(subprocess.run(["unshare", "-n", sys.executable, __file__], env={**os.environ, "IN_NAMESPACE": "1"}).returncode)
CORPUS.mkdir(exist_ok=True)
children = build()
time.sleep(1)
for family, version, prefix in ((socket.AF_INET, 4, "10.0.{}."), (socket.AF_INET6, 6, "fd00:{}::")):
    at = lambda network, host: prefix.format(network) + str(host)
    record(f"port-closed-{version}", family, at(2, 2))
    record(f"port-closed-here-{version}", family, "127.0.0.1" if version == 4 else "::1")
    record(f"hop-limit-{version}", family, at(2, 2), hops=1)
    record(f"host-unreachable-{version}", family, at(2, 9))
    record(f"net-unreachable-{version}", family, at(3, 1))
    record(f"prohibited-{version}", family, at(4, 1))
    record(f"too-large-{version}", family, at(2, 2), length=1400)
    record(f"too-large-here-{version}", family, at(2, 2), length=1600)
for child in children:
    child.kill()
