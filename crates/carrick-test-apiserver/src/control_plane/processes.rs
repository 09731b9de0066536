//! The processes of a control plane, and the thread that supervises them.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{io, thread};

use nix::sched::{CloneFlags, setns};

use super::error::Error;
use super::options::{ADMIN, Assets, ExtraFlags};

/// How often a starting process is polled. No event reports that it is ready.
const POLL: Duration = Duration::from_millis(50);
/// How long a process may take to become ready.
const READY_LIMIT: Duration = Duration::from_mins(5);
/// How many lines of a log an error shows.
const LOG_LINES: usize = 8;

/// What the supervisor thread needs to start the processes.
pub(super) struct Launch {
    pub assets: Assets,
    pub directory: PathBuf,
    pub address: SocketAddr,
    pub flags: ExtraFlags,
}

/// A process that is killed when its handle is dropped.
struct Process {
    program: &'static str,
    child: Child,
    log: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only if the process has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts the processes in the namespace, reports the outcome, and kills the processes when `stopped` is disconnected. The kernel
/// kills them when this thread ends.
pub(super) fn supervise(
    launch: &Launch,
    namespace: Option<OwnedFd>,
    report: &mpsc::Sender<Result<(), Error>>,
    stopped: &mpsc::Receiver<()>,
) {
    let entered = match namespace {
        Some(namespace) => setns(namespace, CloneFlags::CLONE_NEWNET),
        None => Ok(()),
    };
    let running = entered.map_err(|errno| Error::Namespace(errno.into())).and_then(|()| launch.run());
    match running {
        Ok(processes) => {
            drop(report.send(Ok(())));
            while stopped.recv().is_ok() {}
            drop(processes);
        }
        Err(error) => drop(report.send(Err(error))),
    }
}

impl Launch {
    fn run(&self) -> Result<[Process; 2], Error> {
        let etcd_address = free_loopback_address().map_err(Error::Namespace)?;
        let etcd_url = format!("http://{etcd_address}");
        let mut etcd = self.start_etcd(&etcd_url)?;
        etcd.await_ready(|| Ok(TcpStream::connect(etcd_address).is_ok()))?;
        let mut apiserver = self.start_apiserver(&etcd_url)?;
        apiserver.await_ready(|| Ok(TcpStream::connect(self.address).is_ok() && self.is_ready()?))?;
        Ok([apiserver, etcd])
    }

    fn start_etcd(&self, url: &str) -> Result<Process, Error> {
        self.spawn(
            "etcd",
            &[
                format!("--data-dir={}", self.directory.join("etcd").display()),
                "--unsafe-no-fsync".to_owned(),
                "--log-level=warn".to_owned(),
                "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
                format!("--listen-client-urls={url}"),
                format!("--advertise-client-urls={url}"),
            ],
            &self.flags.etcd,
        )
    }

    fn start_apiserver(&self, etcd_url: &str) -> Result<Process, Error> {
        let (bind, services) = match self.address.ip() {
            IpAddr::V4(_) => (IpAddr::from(Ipv4Addr::UNSPECIFIED), "10.96.0.0/16"),
            IpAddr::V6(_) => (IpAddr::from(Ipv6Addr::UNSPECIFIED), "fd96::/108"),
        };
        let pki = self.directory.join("pki");
        // kube-apiserver makes a certificate and a key for itself. The key also signs service account tokens.
        let key = pki.join("apiserver.key");
        self.spawn(
            "kube-apiserver",
            &[
                format!("--etcd-servers={etcd_url}"),
                format!("--bind-address={bind}"),
                format!("--secure-port={}", self.address.port()),
                format!("--advertise-address={}", self.address.ip()),
                format!("--cert-dir={}", pki.display()),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                format!("--service-account-key-file={}", key.display()),
                format!("--service-account-signing-key-file={}", key.display()),
                "--authorization-mode=Node,RBAC".to_owned(),
                "--enable-admission-plugins=NodeRestriction".to_owned(),
                format!("--service-cluster-ip-range={services}"),
                format!("--token-auth-file={}", self.directory.join("tokens.csv").display()),
            ],
            &self.flags.apiserver,
        )
    }

    fn spawn(&self, program: &'static str, arguments: &[String], extra: &[String]) -> Result<Process, Error> {
        let path = self.assets.program(program);
        let log = self.directory.join(format!("{program}.log"));
        let output = File::create(&log).map_err(|e| Error::io("write", &log, e))?;
        let errors = output.try_clone().map_err(|e| Error::io("write", &log, e))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&path)
            .args(arguments)
            .args(extra)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|e| Error::io("start with setpriv", &path, e))?;
        Ok(Process { program, child, log })
    }

    fn is_ready(&self) -> Result<bool, Error> {
        let kubectl = self.assets.program("kubectl");
        let server = format!("--server=https://{}", self.address);
        let token = format!("--token={ADMIN}");
        // Only a process of this namespace can listen there, so there is no certificate to verify.
        let probe = Command::new(&kubectl)
            .args([&server, &token, "--insecure-skip-tls-verify", "--kubeconfig="])
            .args(["get", "--raw", "/readyz"])
            .stdin(Stdio::null())
            .output()
            .map_err(|e| Error::io("run", &kubectl, e))?;
        Ok(probe.status.success())
    }
}

impl Process {
    /// Waits until `is_ready` returns true.
    fn await_ready(&mut self, mut is_ready: impl FnMut() -> Result<bool, Error>) -> Result<(), Error> {
        let began = Instant::now();
        while !is_ready()? {
            self.check()?;
            if began.elapsed() > READY_LIMIT {
                return Err(Error::NotReady { program: self.program, limit: READY_LIMIT, log: self.log_tail() });
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Fails if the process has ended.
    fn check(&mut self) -> Result<(), Error> {
        let ended = self.child.try_wait().map_err(|e| Error::io("wait for", Path::new(self.program), e))?;
        match ended {
            None => Ok(()),
            Some(status) => Err(Error::Ended { program: self.program, status, log: self.log_tail() }),
        }
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

fn free_loopback_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
