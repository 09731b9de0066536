//! Death at every system call.

use std::process::Child;

use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::call::Call;
use crate::node::{DUAL_STACK, Pod, on_node};

/// Lets the plugin read its configuration and do `calls` more system calls, and kills it as it is about to do the
/// next one. Returns whether it came to that; otherwise it ended on its own.
fn kill_after(call: &Call, calls: usize) -> Killed {
    let mut child = call.spawn();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    ptrace::seize(pid, Options::PTRACE_O_TRACESYSGOOD).unwrap();
    ptrace::interrupt(pid).unwrap();
    waitpid(pid, None).unwrap();
    call.feed(&mut child);
    while !(next_stop(pid) == Stop::AtSystemCall && reads_its_input(pid)) {}
    let mut done = 0;
    loop {
        match next_stop(pid) {
            // The way out of the one before, and the way in of the next.
            Stop::AtSystemCall if done > 2 * calls => return kill(child),
            Stop::AtSystemCall => done += 1,
            Stop::Other => {}
            Stop::Exited(code) => {
                assert_eq!(code, 0, "{:?}", crate::call::Reply::of(child));
                return Killed::EndedBefore;
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum Stop {
    /// On its way into a system call or out of it.
    AtSystemCall,
    Other,
    Exited(i32),
}

fn next_stop(pid: Pid) -> Stop {
    ptrace::syscall(pid, None).unwrap();
    match waitpid(pid, None).unwrap() {
        WaitStatus::PtraceSyscall(_) => Stop::AtSystemCall,
        WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(..) => Stop::Other,
        WaitStatus::Exited(_, code) => Stop::Exited(code),
        other => panic!("{other:?}"),
    }
}

/// proc_pid_syscall(5): the number of the system call, then its arguments.
fn reads_its_input(pid: Pid) -> bool {
    let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap();
    call.starts_with(&format!("{} 0x0 ", nix::libc::SYS_read))
}

#[derive(PartialEq, Eq)]
enum Killed {
    InTheMiddle,
    EndedBefore,
}

fn kill(mut child: Child) -> Killed {
    child.kill().unwrap();
    child.wait().unwrap();
    Killed::InTheMiddle
}

#[test]
fn whatever_a_killed_add_left_del_removes() {
    on_node(&DUAL_STACK, |node| {
        let (mut calls, mut left_files, mut left_device) = (0, 0, 0);
        loop {
            let pod = Pod::new();
            let killed = kill_after(&Call::new("ADD", node, &pod, "victim"), calls);
            if killed == Killed::InTheMiddle {
                left_files += usize::from(node.has_record("victim"));
                left_device += usize::from(node.has_pod_devices());
            }
            Call::new("DEL", node, &pod, "victim").run().silent();
            node.assert_nothing_left();
            if killed == Killed::EndedBefore {
                break;
            }
            calls += 1;
        }
        assert!(left_files > left_device && left_device > 0, "{calls} {left_files} {left_device}");
    });
}

#[test]
fn whatever_a_killed_del_left_another_del_removes() {
    on_node(&DUAL_STACK, |node| {
        let (mut calls, mut left_files, mut left_device) = (0, 0, 0);
        loop {
            let pod = Pod::new();
            Call::new("ADD", node, &pod, "victim").run().result();
            let killed = kill_after(&Call::new("DEL", node, &pod, "victim"), calls);
            if killed == Killed::InTheMiddle {
                left_files += usize::from(node.has_record("victim"));
                left_device += usize::from(node.has_pod_devices());
            }
            Call::new("DEL", node, &pod, "victim").run().silent();
            node.assert_nothing_left();
            if killed == Killed::EndedBefore {
                break;
            }
            calls += 1;
        }
        assert!(left_files > left_device && left_device > 0, "{calls} {left_files} {left_device}");
    });
}

#[test]
fn addresses_stay_distinct_around_a_killed_add() {
    on_node(&DUAL_STACK, |node| {
        let mut calls = 0;
        loop {
            let (victim, other) = (Pod::new(), Pod::new());
            let killed = kill_after(&Call::new("ADD", node, &victim, "victim"), calls);
            let living = Call::new("ADD", node, &other, "other").run();
            Call::new("DEL", node, &victim, "victim").run().silent();
            for address in living.addresses() {
                let path = node.run_directory().join("ipam/addresses").join(address);
                let owner = std::fs::read_link(&path).unwrap();
                assert_eq!(owner.to_str().unwrap(), "../attachments/other:eth0", "after {calls} system calls");
            }
            other.succeed("ping", &["-c1", "192.0.2.1"]);
            Call::new("DEL", node, &other, "other").run().silent();
            node.assert_nothing_left();
            if killed == Killed::EndedBefore {
                break;
            }
            calls += 1;
        }
    });
}
