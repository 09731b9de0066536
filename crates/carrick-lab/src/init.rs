//! The first process of a set of namespaces: furnishes them, then only reaps orphans.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, waitpid};
use std::collections::BTreeMap;

use crate::keeper::{Content, Furnishing, READY};

/// Where the machine's own directories are seen behind the private ones.
const MACHINE: &str = "/run/host";

/// The body of `carrick-lab init`; ends with the standard input.
///
/// # Errors
/// The kernel refuses a mount or the host name.
pub fn init(furnishing: &str) -> Result<()> {
    let furnishing: Furnishing = serde_json::from_str(furnishing).context("parse the furnishing")?;
    furnish(&furnishing)?;
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

#[expect(clippy::print_stdout, reason = "the keeper's pipe is what is written to")]
fn announce() -> Result<()> {
    use std::io::Write as _;
    println!("{READY}");
    std::io::stdout().flush().context("tell the keeper")
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

fn furnish(furnishing: &Furnishing) -> Result<()> {
    let nothing: Option<&str> = None;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)
        .context("keep mounts inside the namespace")?;
    let sources = open_sources(furnishing)?;
    mount_fresh("tmpfs", Path::new("/run"))?;
    fs::create_dir_all("/run/netns").context("make /run/netns")?;
    // Programs take /var/run and /run for the same place, which minimal systems do not guarantee.
    if fs::canonicalize("/var/run").is_ok_and(|path| path != Path::new("/run")) {
        bind(Path::new("/run"), Path::new("/var/run"))?;
    }
    if let Some(hostname) = &furnishing.hostname {
        nix::unistd::sethostname(hostname).context("set the host name")?;
    }
    for parent in parents(furnishing) {
        let children = furnishing.directories.iter().map(|directory| directory.path.as_path());
        let hidden: Vec<&Path> = children.filter(|path| path.parent() == Some(&parent)).collect();
        open_up(&parent, &hidden)?;
    }
    for directory in &furnishing.directories {
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

/// Opens the sources of binds before any mount can hide them.
fn open_sources(furnishing: &Furnishing) -> Result<BTreeMap<PathBuf, Source>> {
    use std::os::fd::AsRawFd as _;
    let mut sources = BTreeMap::new();
    for directory in &furnishing.directories {
        if let Content::Of(path) = &directory.content {
            let file = fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
            let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
            sources.insert(directory.path.clone(), Source { path, _held_open: file });
        }
    }
    Ok(sources)
}

/// The parents of private directories, each once, without those whose entries are ours anyway.
fn parents(furnishing: &Furnishing) -> std::collections::BTreeSet<PathBuf> {
    let parents = furnishing.directories.iter().filter_map(|directory| directory.path.parent());
    let foreign = parents.filter(|parent| !parent.starts_with("/run") && *parent != Path::new("/"));
    foreign.map(Path::to_path_buf).collect()
}

/// Covers `parent` with a directory of links to its own entries, in which new entries can be made
/// without the machine seeing them.
fn open_up(parent: &Path, hidden: &[&Path]) -> Result<()> {
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

/// A /sys that shows this network namespace's devices, with the machine's control groups.
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
