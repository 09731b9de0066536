//! Network and mount namespaces with `carrick userspace-wireguard` in them, joined by veth pairs.
//!
//! Each has a `/run` of its own, so that interfaces of one name do not meet in the file system.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The binary under test.
pub const CARRICK: &str = env!("CARGO_BIN_EXE_carrick");

/// A network namespace with a `/run` of its own, gone on drop with all that is in it.
pub struct Namespace {
    holder: Child,
}

/// A data path in a namespace, killed on drop.
pub struct DataPath {
    child: Child,
}

impl Namespace {
    pub fn new() -> Self {
        let setup = "mount -t tmpfs tmpfs /run && ip link set lo up && echo ready && exec sleep infinity";
        let mut holder = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "private", "sh", "-c", setup])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) must be installed");
        let mut line = String::new();
        let stdout = holder.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "namespaces need root");
        Self { holder }
    }

    /// A command that will run in the namespace.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let pid = self.holder.id().to_string();
        command.args(["--target", &pid, "--net", "--mount", "--", program]);
        command
    }

    /// Runs a command line that must succeed and returns what it printed.
    pub fn run(&self, line: &str) -> String {
        let output = self.output(line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command line.
    pub fn output(&self, line: &str) -> Output {
        self.command("sh").args(["-c", line]).output().unwrap()
    }

    /// Joins two namespaces by a veth pair with these addresses (with prefix length) on its ends.
    pub fn join(&self, device: &str, addresses: &[&str], other: &Self, other_addresses: &[&str]) {
        let pid = other.holder.id();
        self.run(&format!("ip link add {device} type veth peer name {device} netns {pid}"));
        for (namespace, addresses) in [(self, addresses), (other, other_addresses)] {
            for address in addresses {
                namespace.run(&format!(
                    "ip address add {address} dev {device} nodad 2>/dev/null || ip address add {address} dev {device}"
                ));
            }
            namespace.run(&format!("ip link set {device} up"));
        }
    }

    /// Starts the data path and waits until it answers.
    pub fn start(&self, interface: &str) -> DataPath {
        let mut child = self
            .command(CARRICK)
            .args(["--log-level", "debug", "userspace-wireguard", interface])
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        await_condition("the userspace API answers", || {
            assert_eq!(child.try_wait().unwrap(), None, "the data path ended");
            self.output(&format!("wg show {interface} listen-port")).status.success()
        });
        DataPath { child }
    }

    /// Starts the data path where it has to fail; returns its exit code and what it said.
    pub fn start_in_vain(&self, wrapper: &str, interface: &str) -> (Option<i32>, String) {
        let output = self.output(&format!("{wrapper} {CARRICK} userspace-wireguard {interface}"));
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    }

    /// Replaces an interface's configuration by a `wg` configuration file.
    pub fn set_configuration(&self, interface: &str, configuration: &str) {
        let mut wg =
            self.command("wg").args(["setconf", interface, "/dev/stdin"]).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = wg.stdin.take().unwrap();
        stdin.write_all(configuration.as_bytes()).unwrap();
        drop(stdin);
        assert!(wg.wait().unwrap().success(), "wg setconf");
    }

    /// Sends text to the userspace API and returns the answer.
    pub fn uapi(&self, interface: &str, request: &str) -> String {
        let stream =
            self.inside(|| std::os::unix::net::UnixStream::connect(format!("/run/wireguard/{interface}.sock")));
        let mut stream = stream.unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let mut reader = BufReader::new(stream);
        while !answer.ends_with("\n\n") {
            assert_ne!(reader.read_line(&mut answer).unwrap(), 0, "hung up: {answer}");
        }
        answer
    }

    /// Calls a function on a thread that is in the network and mount namespace.
    pub fn inside<T: Send>(&self, function: impl FnOnce() -> T + Send) -> T {
        let pid = self.holder.id();
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let network = File::open(format!("/proc/{pid}/ns/net")).unwrap();
                let mounts = File::open(format!("/proc/{pid}/ns/mnt")).unwrap();
                setns(network, CloneFlags::CLONE_NEWNET).unwrap();
                nix::sched::unshare(CloneFlags::CLONE_FS).unwrap();
                setns(mounts, CloneFlags::CLONE_NEWNS).unwrap();
                function()
            });
            thread.join().unwrap()
        })
    }

    /// Pings until the first answer, then demands that ten more in a row are answered.
    pub fn ping(&self, address: &str) {
        await_condition(&format!("{address} answers"), || {
            self.output(&format!("ping -c 1 -W 1 {address}")).status.success()
        });
        self.run(&format!("ping -c 10 -i 0.02 -W 2 {address}"));
    }

    /// Moves a megabyte to a listener in another namespace and back, and compares it.
    pub fn move_megabyte(&self, other: &Self, address: &str) {
        let address: SocketAddr = address.parse().unwrap();
        let listener = other.inside(|| TcpListener::bind(address)).unwrap();
        let echo = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = vec![0; 1 << 20];
            stream.read_exact(&mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
        });
        let mut stream = self.inside(|| TcpStream::connect(address)).unwrap();
        let bytes: Vec<u8> = (0..1 << 20).map(|number: u32| (number % 251) as u8).collect();
        stream.write_all(&bytes).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        echo.join().unwrap();
        assert!(back == bytes, "the bytes came back changed");
    }

    /// What `wg show INTERFACE KIND` prints about one peer, without the key.
    pub fn peer(&self, interface: &str, kind: &str, public_key: &str) -> String {
        let output = self.run(&format!("wg show {interface} {kind}"));
        let line = output.lines().find_map(|line| line.strip_prefix(public_key));
        line.unwrap_or_else(|| panic!("{kind} of {public_key} in:\n{output}")).trim().to_owned()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.holder.kill().unwrap();
        self.holder.wait().unwrap();
    }
}

impl DataPath {
    pub fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Sends it a signal, waits for its end and returns its exit code, if it ended by itself.
    pub fn end(&mut self, signal: Signal) -> Option<i32> {
        self.send(signal);
        self.child.wait().unwrap().code()
    }
}

impl Drop for DataPath {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a condition holds.
pub fn await_condition(what: &str, mut condition: impl FnMut() -> bool) {
    let mut tries = 0;
    while !condition() {
        tries += 1;
        if tries % 100 == 0 {
            eprintln!("still waiting: {what}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// A key pair from `wg`, in base64.
pub struct KeyPair {
    pub private: String,
    pub public: String,
}

impl KeyPair {
    pub fn new() -> Self {
        let private = carrick_agent::key::generate();
        Self { private: private.to_base64().to_string(), public: carrick_agent::key::public_key(&private).to_string() }
    }
}

/// A public key as the userspace API writes it.
pub fn hexadecimal(public_key: &str) -> String {
    let key: carrick_topology::PublicKey = public_key.parse().unwrap();
    key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
