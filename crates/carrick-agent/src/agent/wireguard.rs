//! The choice of the WireGuard that runs the interface.

use std::path::Path;

use carrick_dataplane::wireguard::{KernelWireGuard, UserspaceWireGuard, WireGuard};
use carrick_topology::DeviceName;

use super::AgentError;
use crate::cli::WireGuardBackend;
use crate::userspace_wireguard::uapi::is_answering;
use crate::userspace_wireguard::{Detached, start_detached};

/// The path of the running program, which the agent starts again as the data path.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Finds the WireGuard to configure: the kernel's WireGuard, otherwise a running userspace data path. If no data path runs, the agent
/// starts one, which outlives the agent. In a container the agent waits for one instead.
///
/// # Errors
/// [`AgentError::Kernel`] if the kernel refuses, [`AgentError::NoKernelWireGuard`] if a flag demands the kernel's WireGuard and there is
/// none, [`AgentError::Permission`] or [`AgentError::WireGuard`] if the data path does not start.
pub(super) async fn choose(
    backend: WireGuardBackend,
    interface: &DeviceName,
    run_directory: &Path,
) -> Result<Box<dyn WireGuard>, AgentError> {
    match backend {
        WireGuardBackend::Kernel => kernel()?.ok_or(AgentError::NoKernelWireGuard),
        WireGuardBackend::Userspace => userspace(interface, run_directory).await,
        WireGuardBackend::Auto => match kernel()? {
            Some(kernel) => Ok(kernel),
            None => userspace(interface, run_directory).await,
        },
    }
}

fn kernel() -> Result<Option<Box<dyn WireGuard>>, AgentError> {
    let Some(kernel) = KernelWireGuard::find().map_err(AgentError::Kernel)? else { return Ok(None) };
    tracing::info!(event = "wireguard_chosen", backend = "kernel");
    Ok(Some(Box::new(kernel)))
}

async fn userspace(interface: &DeviceName, run_directory: &Path) -> Result<Box<dyn WireGuard>, AgentError> {
    tracing::info!(event = "wireguard_chosen", backend = "userspace");
    if is_container() && !is_answering(interface) {
        tracing::warn!(
            event = "waiting_for_userspace_wireguard",
            %interface,
            "this container cannot start the data path: it waits for `carrick userspace-wireguard` on this node"
        );
    }
    ensure_userspace(interface, run_directory).await?;
    Ok(Box::<UserspaceWireGuard>::default())
}

/// Starts the userspace data path if none runs, and returns whether it was started. In a container it would end with the container: there
/// the agent waits for it.
///
/// # Errors
/// [`AgentError::WireGuard`].
pub(super) async fn ensure_userspace(interface: &DeviceName, run_directory: &Path) -> Result<bool, AgentError> {
    let asked = interface.clone();
    // A process that hangs must not hang the event loop, which has one thread.
    if tokio::task::spawn_blocking(move || is_answering(&asked)).await.unwrap_or(false) {
        return Ok(false);
    }
    if is_container() {
        return Ok(false);
    }
    let program = Path::new(OWN_PROGRAM);
    start_detached(Detached { program, interface, run_dir: run_directory }).await.map(|_| true).map_err(|error| {
        let of_kind = if error.is_not_permitted() { AgentError::Permission } else { AgentError::WireGuard };
        of_kind(error.to_string())
    })
}

/// Kubernetes sets this variable in every container.
fn is_container() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}
