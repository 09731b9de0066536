//! Kills at every system call.

use std::path::Path;
use std::process::{Child, Command};

use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::call::{Call, detach_all};
use crate::node::{DUAL_STACK, Pod, on_node};

/// Lets the plugin read its configuration and make `calls` more system calls, then kills it before the next one. Returns whether the
/// plugin was killed or ended before.
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
            // Each system call stops twice: at its entry and at its exit.
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
    /// At the entry or exit of a system call.
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

/// Whether the process is in `read` on standard input. The file holds the number of the system call and its arguments
/// (proc_pid_syscall(5)).
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

/// Runs `test` with each number of system calls after which a plugin can be killed, until the plugin ends before.
fn for_each_system_call(mut test: impl FnMut(usize) -> Killed) -> usize {
    let mut calls = 0;
    while test(calls) == Killed::InTheMiddle {
        calls += 1;
    }
    calls
}

/// Kills `command` at each system call, and checks that DEL then removes everything.
fn del_removes_what_is_left_of(command: &'static str) {
    on_node(&DUAL_STACK, |node| {
        let (mut left_record, mut left_device) = (0, 0);
        let calls = for_each_system_call(|calls| {
            let pod = Pod::new();
            if command == "DEL" {
                Call::new("ADD", node, &pod, "victim").run().result();
            }
            let killed = kill_after(&Call::new(command, node, &pod, "victim"), calls);
            if killed == Killed::InTheMiddle {
                left_record += usize::from(node.has_record("victim"));
                left_device += usize::from(node.has_pod_devices());
            }
            detach_all(node, &[(&pod, "victim")]);
            killed
        });
        assert!(left_record > left_device && left_device > 0, "{calls} {left_record} {left_device}");
    });
}

/// A panic cannot be provoked from outside, so that an example stands for the program. What a panicked call leaves is what a killed call
/// leaves.
#[test]
fn a_panic_is_an_error_for_the_runtime() {
    let example = Path::new(env!("CARGO_BIN_EXE_carrick-cni")).with_file_name("examples").join("panic");
    let output = Command::new(example).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error: Value = serde_json::from_slice(&output.stdout).expect("nothing but JSON on stdout");
    assert_eq!((&error["code"], &error["cniVersion"]), (&json!(106), &json!("1.1.0")));
    let details = error["details"].as_str().unwrap();
    assert!(details.contains("examples/panic.rs:") && details.contains("index out of bounds"), "{details}");
}

#[test]
fn del_removes_everything_that_a_killed_add_left() {
    del_removes_what_is_left_of("ADD");
}

#[test]
fn del_removes_everything_that_a_killed_del_left() {
    del_removes_what_is_left_of("DEL");
}

#[test]
fn addresses_are_unique_after_a_killed_add() {
    on_node(&DUAL_STACK, |node| {
        for_each_system_call(|calls| {
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
            detach_all(node, &[(&other, "other")]);
            killed
        });
    });
}
