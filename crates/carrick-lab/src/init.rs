//! The first process of a set of namespaces: sets them up, then reaps orphaned processes.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, waitpid};
use std::collections::BTreeMap;

use crate::supervisor::{Content, NamespaceSetup, READY};

/// Where the machine's own directories stay visible behind the private ones.
const MACHINE: &str = "/run/host";

/// The body of `carrick-lab init`. It ends when its standard input ends.
///
/// # Errors
/// The kernel refuses a mount or the host name.
pub fn init(setup: &str) -> Result<()> {
    let setup: NamespaceSetup = serde_json::from_str(setup).context("parse the setup")?;
    set_up(&setup)?;
    announce()?;
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    children.thread_block().context("block SIGCHLD")?;
    std::thread::spawn(|| {
        let mut nothing = Vec::new();
        let _ended = std::io::stdin().read_to_end(&mut nothing);
        std::process::exit(0);
    });
    loop {
        reap_all()?;
        children.wait().context("wait for SIGCHLD")?;
    }
}

#[expect(clippy::print_stdout, reason = "standard output is a pipe to the supervisor's caller")]
fn announce() -> Result<()> {
    use std::io::Write as _;
    println!("{READY}");
    std::io::stdout().flush().context("report that the namespaces are ready")
}

fn reap_all() -> Result<()> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(nix::sys::wait::WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("reap orphans"),
        }
    }
}

fn set_up(setup: &NamespaceSetup) -> Result<()> {
    let nothing: Option<&str> = None;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)
        .context("make mounts private to the namespace")?;
    let sources = open_sources(setup)?;
    mount_fresh("tmpfs", Path::new("/run"))?;
    fs::create_dir_all("/run/netns").context("make /run/netns")?;
    // Programs take /var/run and /run for the same place, which minimal systems do not guarantee.
    if fs::canonicalize("/var/run").is_ok_and(|path| path != Path::new("/run")) {
        bind(Path::new("/run"), Path::new("/var/run"))?;
    }
    if let Some(hostname) = &setup.hostname {
        nix::unistd::sethostname(hostname).context("set the host name")?;
    }
    for parent in parents(setup) {
        let children = setup.directories.iter().map(|directory| directory.path.as_path());
        let hidden: Vec<&Path> = children.filter(|path| path.parent() == Some(&parent)).collect();
        overlay_with_links(&parent, &hidden)?;
    }
    for directory in &setup.directories {
        fs::create_dir_all(&directory.path).with_context(|| format!("make {}", directory.path.display()))?;
        match sources.get(&directory.path) {
            Some(source) => bind(&source.path, &directory.path)?,
            None => mount_fresh("tmpfs", &directory.path)?,
        }
    }
    mount_fresh("proc", Path::new("/proc"))?;
    mount_sys()
}

struct Source {
    path: PathBuf,
    _held_open: fs::File,
}

/// Opens the sources of bind mounts before a mount can hide them.
fn open_sources(setup: &NamespaceSetup) -> Result<BTreeMap<PathBuf, Source>> {
    use std::os::fd::AsRawFd as _;
    let mut sources = BTreeMap::new();
    for directory in &setup.directories {
        if let Content::HostDirectory(path) = &directory.content {
            let file = fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
            let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
            sources.insert(directory.path.clone(), Source { path, _held_open: file });
        }
    }
    Ok(sources)
}

/// The parents of private directories, except `/` and those below `/run`, which this process can write to.
fn parents(setup: &NamespaceSetup) -> std::collections::BTreeSet<PathBuf> {
    let parents = setup.directories.iter().filter_map(|directory| directory.path.parent());
    let foreign = parents.filter(|parent| !parent.starts_with("/run") && *parent != Path::new("/"));
    foreign.map(Path::to_path_buf).collect()
}

/// Mounts a directory of links to the entries of `parent` over it. New entries there are invisible to the machine.
fn overlay_with_links(parent: &Path, hidden: &[&Path]) -> Result<()> {
    let machine = PathBuf::from(format!("{MACHINE}{}", parent.display()));
    fs::create_dir_all(&machine).with_context(|| format!("make {}", machine.display()))?;
    if !parent.exists() {
        return Ok(());
    }
    bind(parent, &machine)?;
    mount_fresh("tmpfs", parent)?;
    for entry in fs::read_dir(&machine).with_context(|| format!("read {}", machine.display()))? {
        let entry = entry?;
        let link = parent.join(entry.file_name());
        if !hidden.contains(&link.as_path()) {
            std::os::unix::fs::symlink(entry.path(), &link).with_context(|| format!("link {}", link.display()))?;
        }
    }
    Ok(())
}

/// Mounts a /sys that shows this network namespace's devices and the machine's control groups.
fn mount_sys() -> Result<()> {
    let groups = Path::new("/sys/fs/cgroup");
    let kept = PathBuf::from(format!("{MACHINE}{}", groups.display()));
    let has_groups = groups.exists();
    if has_groups {
        fs::create_dir_all(&kept).context("make a place for the control groups")?;
        bind(groups, &kept)?;
    }
    mount_fresh("sysfs", Path::new("/sys"))?;
    if has_groups {
        bind(&kept, groups)?;
    }
    Ok(())
}

fn mount_fresh(kind: &str, target: &Path) -> Result<()> {
    let options = (kind == "tmpfs").then_some("mode=0755");
    mount(Some(kind), target, Some(kind), MsFlags::empty(), options)
        .with_context(|| format!("mount {kind} on {}", target.display()))
}

fn bind(source: &Path, target: &Path) -> Result<()> {
    let nothing: Option<&str> = None;
    mount(Some(source), target, nothing, MsFlags::MS_BIND | MsFlags::MS_REC, nothing)
        .with_context(|| format!("bind {} to {}", source.display(), target.display()))
}
