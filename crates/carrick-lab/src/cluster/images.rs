//! The images of the lab's pods, as archives for containerd.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::paths::project_file;

/// Carrick's image.
pub const CARRICK: &str = "localhost/carrick:lab";
/// Carrick's image under another name, for a rollout that changes only the name.
pub const CARRICK_NEXT: &str = "localhost/carrick:next";
/// An image with a shell, an HTTP server and the usual tools.
pub const BOX: &str = "localhost/box:lab";
const PAUSE: &str = "localhost/pause:lab";
const COREDNS: &str = "localhost/coredns:lab";

/// The image has Carrick in the build profile of the lab.
const PROFILE: &str = if cfg!(debug_assertions) { "dev" } else { "release" };

/// The names of busybox's tools.
const TOOLS: &[&str] = &["cat", "chmod", "head", "httpd", "mkdir", "ping", "sh", "sleep", "wget", "yes"];

const PAUSE_SOURCE: &str = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n";

/// Image archives on this machine.
#[derive(Debug)]
pub struct Images {
    archives: Vec<PathBuf>,
}

impl Images {
    /// Makes the archives in a directory. `programs` is a directory with CoreDNS.
    ///
    /// # Errors
    /// A program is missing or cannot be built.
    pub fn make(programs: &Path, directory: &Path) -> Result<Self> {
        let at = |name: &str| directory.join(format!("{name}.tar"));
        let pause = compile_pause(directory)?;
        archive(&at("pause"), PAUSE, "/pause", &[(&pause, "pause".to_owned())])?;
        let busybox = static_busybox()?;
        let tools: Vec<_> = TOOLS.iter().map(|tool| (busybox.as_path(), format!("bin/{tool}"))).collect();
        archive(&at("box"), BOX, "/bin/sh", &tools)?;
        archive(&at("coredns"), COREDNS, "/coredns", &[(&programs.join("coredns"), "coredns".to_owned())])?;
        let mut archives = vec![at("pause"), at("box"), at("coredns")];
        for (file, name) in [("carrick", CARRICK), ("carrick-next", CARRICK_NEXT)] {
            carrick(&at(file), name)?;
            archives.push(at(file));
        }
        Ok(Self { archives })
    }

    /// The archives.
    #[must_use]
    pub fn archives(&self) -> &[PathBuf] {
        &self.archives
    }
}

fn carrick(archive: &Path, name: &str) -> Result<()> {
    let mut command = Command::new(project_file("deploy/image/build.sh"));
    command.args(["--profile", PROFILE, "--name", name]).arg(archive);
    run(&mut command)
}

fn archive(out: &Path, name: &str, entrypoint: &str, files: &[(&Path, String)]) -> Result<()> {
    let mut command = Command::new(project_file("deploy/image/archive.sh"));
    command.arg(out).args([name, entrypoint]);
    command.args(files.iter().map(|(file, inside)| format!("{}={inside}", file.display())));
    run(&mut command)
}

fn compile_pause(directory: &Path) -> Result<PathBuf> {
    let source = directory.join("pause.c");
    let program = directory.join("pause");
    std::fs::write(&source, PAUSE_SOURCE).context("write the pause program")?;
    run(Command::new("cc").args(["-static", "-O2", "-o"]).arg(&program).arg(&source))?;
    Ok(program)
}

fn static_busybox() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join("busybox")).find(|path| path.is_file());
    let busybox = found.context("busybox is missing: apt-get install busybox-static")?;
    let dynamic = Command::new("ldd").arg(&busybox).stdout(Stdio::null()).stderr(Stdio::null()).status();
    ensure!(!dynamic.is_ok_and(|status| status.success()), "busybox needs libraries: apt-get install busybox-static");
    Ok(busybox)
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("run {:?}", command.get_program()))?;
    ensure!(status.success(), "{:?} failed ({status}); the reason is printed above", command.get_program());
    Ok(())
}
