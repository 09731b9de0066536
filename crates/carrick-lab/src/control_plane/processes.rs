//! The processes of a control plane, and the thread that keeps them.

use std::{
    fs::{self, File},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, setns};

use super::{ADMIN, Assets, Error, FurtherFlags};

/// How often a starting process is looked after: no event tells that it is ready.
const POLL: Duration = Duration::from_millis(50);

/// What the supervisor thread needs to start the processes.
pub(super) struct Launch {
    pub assets: Assets,
    pub directory: PathBuf,
    pub address: SocketAddr,
    pub flags: FurtherFlags,
}

/// A process that is killed with its handle.
struct Process {
    program: &'static str,
    child: Child,
    log: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails exactly when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts the processes in the namespace, reports, and ends them when told to. The kernel ends them
/// with this very thread, too, however it ends.
pub(super) fn keep(
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
            // Ends when the sender is dropped.
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
        await_listener(&mut etcd, etcd_address)?;
        let mut apiserver = self.start_apiserver(&etcd_url)?;
        await_listener(&mut apiserver, self.address)?;
        self.await_ready(&mut apiserver)?;
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
        // The certificate and key that it makes for itself serve for service accounts as well.
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

    fn spawn(&self, program: &'static str, arguments: &[String], further: &[String]) -> Result<Process, Error> {
        let path = self.assets.program(program);
        let log = self.directory.join(format!("{program}.log"));
        let output = File::create(&log).map_err(|e| Error::io("write", &log, e))?;
        let errors = output.try_clone().map_err(|e| Error::io("write", &log, e))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&path)
            .args(arguments)
            .args(further)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|e| Error::io("start with setpriv", &path, e))?;
        Ok(Process { program, child, log })
    }

    fn await_ready(&self, apiserver: &mut Process) -> Result<(), Error> {
        let kubectl = self.assets.program("kubectl");
        let server = format!("--server=https://{}", self.address);
        let token = format!("--token={ADMIN}");
        loop {
            // Only this namespace's own process can listen there: nothing to verify yet.
            let probe = Command::new(&kubectl)
                .args([&server, &token, "--insecure-skip-tls-verify", "--kubeconfig="])
                .args(["get", "--raw", "/readyz"])
                .stdin(Stdio::null())
                .output()
                .map_err(|e| Error::io("run", &kubectl, e))?;
            if probe.status.success() {
                return Ok(());
            }
            apiserver.check()?;
            thread::sleep(POLL);
        }
    }
}

impl Process {
    /// Fails if it has ended.
    fn check(&mut self) -> Result<(), Error> {
        let ended = self.child.try_wait().map_err(|e| Error::io("look after", Path::new(self.program), e))?;
        match ended {
            None => Ok(()),
            Some(status) => {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                let lines: Vec<_> = log.lines().collect();
                let last = lines.len().saturating_sub(8);
                Err(Error::Ended { program: self.program, status, log: lines[last..].join("\n") })
            }
        }
    }
}

/// Waits until something listens.
fn await_listener(process: &mut Process, address: SocketAddr) -> Result<(), Error> {
    while TcpStream::connect(address).is_err() {
        process.check()?;
        thread::sleep(POLL);
    }
    Ok(())
}

fn free_loopback_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
