//! Work inside namespaces: a thread of this process enters the namespaces, does the work and ends.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::binaries;

/// The path of a network namespace with a name, as `ip netns` has it.
#[must_use]
pub fn network_path(name: &str) -> String {
    format!("/run/netns/{name}")
}

/// The body of `carrick-lab make-network`: makes an empty network namespace and binds it to a path.
///
/// # Errors
/// The path exists, or the kernel refuses.
pub fn make_network(path: &Path) -> Result<()> {
    File::create_new(path).with_context(|| format!("make {}", path.display()))?;
    unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
    let nothing: Option<&str> = None;
    mount(Some("/proc/self/ns/net"), path, nothing, MsFlags::MS_BIND, nothing)
        .with_context(|| format!("bind the network namespace to {}", path.display()))
}

/// A set of namespaces, held open.
#[derive(Debug, Clone)]
pub struct Namespaces {
    name: Arc<str>,
    files: Arc<[(CloneFlags, File)]>,
}

impl Namespaces {
    /// The network namespace bound at a path (`/run/netns/NAME`, `/proc/PID/ns/net`).
    ///
    /// # Errors
    /// The path cannot be opened.
    pub fn network(name: &str, path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("open namespace {}", path.display()))?;
        Ok(Self { name: name.into(), files: Arc::new([(CloneFlags::CLONE_NEWNET, file)]) })
    }

    /// The network, mount and host name namespaces of a process, and the process namespace of its children.
    ///
    /// # Errors
    /// The process is gone.
    pub fn of_process(name: &str, pid: u32) -> Result<Self> {
        let open = |kind: &str| {
            let path = format!("/proc/{pid}/ns/{kind}");
            File::open(&path).with_context(|| format!("open namespace {path}"))
        };
        // The mount namespace is last: a thread in it cannot name files outside.
        Ok(Self {
            name: name.into(),
            files: Arc::new([
                (CloneFlags::CLONE_NEWPID, open("pid_for_children")?),
                (CloneFlags::CLONE_NEWNET, open("net")?),
                (CloneFlags::CLONE_NEWUTS, open("uts")?),
                (CloneFlags::CLONE_NEWNS, open("mnt")?),
            ]),
        })
    }

    /// These namespaces with the network namespace of `other`: a pod's network namespace on its node.
    ///
    /// # Errors
    /// `other` has no network namespace, or the process has no file descriptor left.
    pub fn with_network_of(&self, other: &Self) -> Result<Self> {
        let mut files = Vec::new();
        for (kind, file) in self.files.iter() {
            let source = if *kind == CloneFlags::CLONE_NEWNET { other.network_file()? } else { file };
            files.push((*kind, source.try_clone().context("duplicate a namespace's descriptor")?));
        }
        Ok(Self { name: other.name.clone(), files: files.into() })
    }

    /// The name of the node, pod, router or device.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The inode that identifies the network namespace on this machine.
    ///
    /// # Errors
    /// The descriptor cannot be read.
    pub fn network_inode(&self) -> Result<u64> {
        Ok(self.network_file()?.metadata()?.ino())
    }

    /// A file descriptor of the network namespace.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn network_descriptor(&self) -> Result<OwnedFd> {
        Ok(self.network_file()?.try_clone().context("duplicate a namespace's descriptor")?.into())
    }

    fn network_file(&self) -> Result<&File> {
        self.files
            .iter()
            .find(|(kind, _)| *kind == CloneFlags::CLONE_NEWNET)
            .map(|(_, file)| file)
            .with_context(|| format!("{} has no network namespace", self.name))
    }

    /// Moves the calling thread into the namespaces. The processes that it starts are there too.
    ///
    /// # Errors
    /// A namespace does not exist any more, or the caller is not root.
    pub fn move_thread(&self) -> Result<()> {
        for (kind, file) in self.files.iter() {
            if *kind == CloneFlags::CLONE_NEWNS {
                // A thread that shares its root and working directory cannot change its mount namespace (setns(2)).
                unshare(CloneFlags::CLONE_FS).context("unshare the file system attributes")?;
            }
            setns(file.as_fd(), *kind).with_context(|| format!("enter {} ({kind:?})", self.name))?;
        }
        Ok(())
    }

    /// Runs `work` in a new thread inside the namespaces, and waits for it.
    ///
    /// # Errors
    /// Those of [`Namespaces::move_thread`] and of `work`.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.move_thread()?;
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Makes an empty network namespace and binds it to a path that these namespaces see, as `ip netns add` does.
    ///
    /// # Errors
    /// The path exists, `carrick-lab` is not built, or the kernel refuses.
    pub fn make_network(&self, path: &str) -> Result<()> {
        // A process of these namespaces makes it: /proc, the source of the mount, does not show a thread of another PID namespace.
        let program = binaries::find("carrick-lab")?;
        self.exec(&[&program.to_string_lossy(), "make-network", path])?;
        Ok(())
    }

    /// Removes the path of a network namespace, which ends with its last process.
    ///
    /// # Errors
    /// There is none at this path, or the kernel refuses.
    pub fn remove_network(&self, path: &str) -> Result<()> {
        self.enter(|| {
            umount2(path, MntFlags::MNT_DETACH).with_context(|| format!("unmount {path}"))?;
            std::fs::remove_file(path).with_context(|| format!("remove {path}"))
        })
    }

    /// Starts a process inside the namespaces.
    ///
    /// # Errors
    /// The namespaces cannot be entered, or the program cannot be started.
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        self.enter(|| {
            let child = command.spawn();
            child.with_context(|| format!("start {:?} in {}", command.get_program(), self.name))
        })
    }

    /// Runs a process inside the namespaces to its end, and returns its output, whatever its exit status.
    ///
    /// # Errors
    /// The namespaces cannot be entered, or the program cannot be started.
    pub fn output(&self, command: &mut Command) -> Result<Output> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.spawn(command)?;
        child.wait_with_output().with_context(|| format!("wait for {:?}", command.get_program()))
    }

    /// Runs a command line inside the namespaces, and returns its standard output.
    ///
    /// # Errors
    /// As [`Namespaces::output`], and if the program fails; the error shows the program's output.
    pub fn exec(&self, command_line: &[&str]) -> Result<String> {
        let Some((program, arguments)) = command_line.split_first() else {
            bail!("an empty command line");
        };
        let output = self.output(Command::new(program).args(arguments))?;
        if !output.status.success() {
            bail!(
                "{}: {} failed with {}: {}{}",
                self.name,
                command_line.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr).trim_end(),
                String::from_utf8_lossy(&output.stdout).trim_end(),
            );
        }
        String::from_utf8(output.stdout).with_context(|| format!("output of {program}"))
    }
}
