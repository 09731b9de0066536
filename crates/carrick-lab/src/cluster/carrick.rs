//! Carrick, installed as a user installs it: a kustomization on top of `deploy/`.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::images;
use crate::kubernetes::{Kubernetes, PUBLIC_API};
use crate::paths::project_file;
use crate::topology::Topology;

/// A rollout of Carrick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// The agent's image. The image of the data path does not change.
    pub image: &'static str,
    /// The agent's settings, as environment variables: `CARRICK_LOG_LEVEL=debug`.
    pub settings: Vec<String>,
}

impl Rollout {
    /// The rollout for a topology.
    #[must_use]
    pub fn of(topology: &Topology) -> Self {
        let agent = &topology.agent;
        Self {
            image: images::CARRICK,
            settings: vec![
                format!("CARRICK_API_SERVER=https://{PUBLIC_API}"),
                format!("CARRICK_GRANULARITY={}", agent.granularity),
                format!("CARRICK_ENCAPSULATION={}", agent.encapsulation),
                format!("CARRICK_ACTIVE_GATEWAYS={}", agent.active_gateways),
                "CARRICK_LOG_FORMAT=text".to_owned(),
            ],
        }
    }

    /// This rollout with an image of another name.
    #[must_use]
    pub fn with_next_image(self) -> Self {
        Self { image: images::CARRICK_NEXT, ..self }
    }

    /// This rollout with one more setting.
    #[must_use]
    pub fn with_setting(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }
}

/// Applies the manifests, with the data path for kernels without WireGuard.
pub(super) fn install(kubernetes: &Kubernetes, directory: &Path, rollout: &Rollout) -> Result<()> {
    let agent = directory.join("agent");
    let data_path = directory.join("userspace-wireguard");
    write(&data_path, &kustomization("deploy/userspace-wireguard", &data_path, images::CARRICK)?)?;
    let literals: String = rollout.settings.iter().map(|setting| format!("  - {setting}\n")).collect();
    let settings = format!(
        "configMapGenerator:\n- name: carrick\n  namespace: carrick-system\n  behavior: merge\n  literals:\n{literals}"
    );
    write(&agent, &(kustomization("deploy", &agent, rollout.image)? + &settings))?;
    for overlay in [agent, data_path] {
        kubernetes.kubectl(&["apply", "--server-side", "--kustomize", &overlay.to_string_lossy()])?;
    }
    Ok(())
}

/// Deletes the objects that [`install`] applied.
pub(super) fn remove(kubernetes: &Kubernetes, directory: &Path) -> Result<()> {
    for overlay in [directory.join("userspace-wireguard"), directory.join("agent")] {
        kubernetes.kubectl(&["delete", "--kustomize", &overlay.to_string_lossy()])?;
    }
    Ok(())
}

fn write(directory: &Path, kustomization: &str) -> Result<()> {
    std::fs::create_dir_all(directory).context("make a directory for a kustomization")?;
    std::fs::write(directory.join("kustomization.yaml"), kustomization).context("write a kustomization")
}

/// A kustomization with `base` as its only resource. A kustomization names another one by a relative path.
fn kustomization(base: &str, from: &Path, image: &str) -> Result<String> {
    std::fs::create_dir_all(from).context("make a directory for a kustomization")?;
    let from = from.canonicalize().context("find the kustomization's directory")?;
    let base = project_file(base).canonicalize().context("find the manifests")?;
    let up = "../".repeat(from.components().count() - 1);
    let down = base.strip_prefix("/")?.display();
    let (name, tag) = image.split_once(':').context("an image without a tag")?;
    Ok(format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n- {up}{down}\n\
         images:\n- name: carrick\n  newName: {name}\n  newTag: {tag}\n"
    ))
}
