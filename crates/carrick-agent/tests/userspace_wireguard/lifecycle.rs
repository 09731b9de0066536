//! Starts, ends, and what survives them.

use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::Signal;

use crate::end::connected_pair;
use crate::namespace::{CARRICK, Namespace, await_condition};

#[test]
fn the_interface_survives_a_killed_process() {
    let (mut first, second) = connected_pair();
    first.reaches(&second);
    let describe = "ip -o link show wg0 | sed 's/<[^>]*>//; s/state [A-Z]*//' && \
                    ip -o address show dev wg0 scope global && ip route show dev wg0 && ip -6 route show dev wg0 | sort";
    let strip_state = |text: String| text.replace(" linkdown", "");
    let before = first.namespace.run(describe);
    let mut monitor =
        first.namespace.command("ip").args(["monitor", "link"]).stdout(std::process::Stdio::piped()).spawn().unwrap();

    first.path.end(Signal::SIGKILL);
    assert_eq!(strip_state(first.namespace.run(describe)), before);
    await_condition("the carrier is gone", || first.namespace.run("ip -o link show wg0").contains("NO-CARRIER"));
    first.path = first.namespace.start("wg0");
    assert_eq!(strip_state(first.namespace.run(describe)), before);
    assert!(!first.namespace.run("ip -o link show wg0").contains("NO-CARRIER"));
    first.configure(&[(&second, "192.0.2.2:51820")]);
    first.reaches(&second);

    monitor.kill().unwrap();
    let told = String::from_utf8(monitor.wait_with_output().unwrap().stdout).unwrap();
    assert!(told.contains("NO-CARRIER"), "{told}");
}

#[test]
fn sigterm_ends_it_with_the_interface_up() {
    let (mut first, second) = connected_pair();
    first.reaches(&second);
    assert_eq!(first.path.end(Signal::SIGTERM), Some(0));
    assert!(first.namespace.run("ip -o link show wg0").contains(",UP"));
    let socket = first.namespace.output("test -e /run/wireguard/wg0.sock");
    assert!(!socket.status.success());
}

#[test]
fn a_deleted_interface_is_made_again_and_its_sessions_go_on() {
    let (first, second) = connected_pair();
    first.reaches(&second);
    let handshake = second.peer("latest-handshakes", &first);
    first.namespace.run("ip link delete wg0");
    await_condition("the interface is back", || first.namespace.output("ip link show wg0").status.success());
    first.namespace.run(
        "ip address add 10.1.0.1/32 dev wg0 && ip address add fd01::1/128 dev wg0 nodad && \
         ip link set wg0 up && ip route add 10.1.0.0/24 dev wg0 && ip route add fd01::/64 dev wg0",
    );
    first.reaches(&second);
    assert_eq!(second.peer("latest-handshakes", &first), handshake);
}

#[test]
fn a_second_process_is_refused_and_a_stale_socket_replaced() {
    let namespace = Namespace::new();
    let mut path = namespace.start("wg0");
    let (code, said) = namespace.start_in_vain("", "wg0");
    assert_eq!(code, Some(1));
    assert!(said.contains("another process carries this interface already"), "{said}");
    assert!(namespace.output("wg show wg0").status.success());

    path.end(Signal::SIGKILL);
    assert!(namespace.output("test -S /run/wireguard/wg0.sock").status.success());
    let _path = namespace.start("wg0");
    let mode = namespace.inside(|| std::fs::metadata("/run/wireguard/wg0.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn errors_tell_what_to_do() {
    let namespace = Namespace::new();
    let (code, said) = namespace.start_in_vain("", "a-name-of-sixteen");
    assert_eq!(code, Some(2));
    assert!(said.contains("longer than 15"), "{said}");

    namespace.run("ip link add wg0 type bridge");
    let (code, said) = namespace.start_in_vain("", "wg0");
    assert_eq!(code, Some(78));
    assert!(said.contains("ip link delete wg0"), "{said}");

    let (code, said) = namespace.start_in_vain("setpriv --bounding-set=-net_admin --inh-caps=-net_admin", "wg1");
    assert_eq!(code, Some(77));
    assert!(said.contains("CAP_NET_ADMIN"), "{said}");

    namespace.run("mkdir -p /run/wireguard && echo precious > /run/wireguard/wg1.sock");
    let (code, said) = namespace.start_in_vain("", "wg1");
    assert_eq!(code, Some(78));
    assert!(said.contains("not a socket"), "{said}");
    assert_eq!(namespace.run("cat /run/wireguard/wg1.sock"), "precious\n");

    namespace.run("mount -t tmpfs tmpfs /dev/net");
    let (code, said) = namespace.start_in_vain("", "wg2");
    assert_eq!(code, Some(77));
    assert!(said.contains("modprobe tun"), "{said}");
}

#[test]
fn a_detached_data_path_outlives_its_starter() {
    use carrick_agent::userspace_wireguard::{Detached, start_detached, stop};

    let namespace = Namespace::new();
    let run_dir = tempfile::tempdir().unwrap();
    let start = |interface: &str| {
        let interface = interface.parse().unwrap();
        namespace.inside(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(start_detached(Detached {
                program: CARRICK.as_ref(),
                interface: &interface,
                run_dir: run_dir.path(),
            }))
        })
    };
    let pid = start("wg0").unwrap();
    assert_eq!(nix::unistd::getsid(Some(pid)).unwrap(), pid, "a session of its own");
    assert!(namespace.output("wg show wg0").status.success());

    let refused = start("wg0").unwrap_err().to_string();
    assert!(refused.contains("another process carries this interface already"), "{refused}");

    let interface = "wg0".parse().unwrap();
    namespace.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(stop(&interface)).unwrap();
        runtime.block_on(stop(&interface)).unwrap();
    });
    assert!(namespace.output("ip link show wg0").status.success());
    let log = std::fs::read_to_string(run_dir.path().join("userspace-wireguard-wg0.log")).unwrap();
    assert!(log.contains("userspace_wireguard_stopped"), "{log}");
}
