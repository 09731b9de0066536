//! `carrickctl bundle`: an archive for a bug report, without secrets.

mod redaction;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use carrick_kube::objects::Objects;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::{Value, json};
use tar::{Builder, Header};

use crate::access::Access;
use crate::cluster_plan::ClusterPlan;
use crate::failure::Failure;
use crate::latency::{Between, Form, Latency};
use crate::output::{Document, Format, Terminal, View, render};
use crate::peers::Peers;
use crate::routes::Routes;
use crate::snapshot::{Answer, Snapshot};
use crate::status::Status;
use crate::traffic::TrafficTable;
use redaction::Redaction;

/// The directory inside the archive.
const ROOT: &str = "carrick-bundle";

/// The content of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bundle {
    /// The path of the archive.
    pub path: PathBuf,
    /// The files in it.
    pub files: Vec<String>,
    /// The number of texts that were removed because they could be keys.
    pub redacted: usize,
    /// What is missing from the archive, and why.
    pub missing: BTreeMap<String, String>,
}

impl Bundle {
    /// Fetches the pages of all agents and writes the archive.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn write(access: &Access, snapshot: &Snapshot, path: &Path) -> Result<Self, Failure> {
        let mut missing = BTreeMap::new();
        let mut files = pages(access, snapshot, &mut missing).await;
        if let Some(objects) = &snapshot.objects {
            files.insert("objects.json".to_owned(), pretty(&reduced(objects).document()));
        }
        files.extend(views(snapshot));
        files.insert("versions.json".to_owned(), pretty(&versions(snapshot)));
        files.insert("missing.json".to_owned(), pretty(&json!(missing)));
        let redaction = Redaction::of(snapshot);
        let mut redacted = 0;
        for text in files.values_mut() {
            let (clean, count) = redaction.clean(text);
            *text = clean;
            redacted += count;
        }
        let refused = |error| Failure::File { path: path.to_owned(), error };
        archive(create(path).map_err(refused)?, &files).map_err(refused)?;
        Ok(Self { path: path.to_owned(), files: files.into_keys().collect(), redacted, missing })
    }
}

/// Creates a file that only its owner can read, because a bundle may contain confidential names and addresses.
fn create(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn archive(file: impl Write, files: &BTreeMap<String, String>) -> std::io::Result<()> {
    let mut archive = Builder::new(GzEncoder::new(file, Compression::default()));
    for (name, text) in files {
        let mut header = Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, format!("{ROOT}/{name}"), text.as_bytes())?;
    }
    archive.into_inner()?.finish()?.flush()
}

async fn pages(
    access: &Access,
    snapshot: &Snapshot,
    missing: &mut BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for agent in &snapshot.agents {
        match &agent.answer {
            Answer::Page(page) => drop(files.insert(format!("agents/{}/status.json", agent.name), pretty(page))),
            Answer::Unreachable(error) => drop(missing.insert(agent.name.clone(), error.to_string())),
            Answer::NoAgent => continue,
        }
        match access.fetch(agent, "/metrics").await {
            Ok(metrics) => {
                let text = String::from_utf8_lossy(&metrics).into_owned();
                files.insert(format!("agents/{}/metrics.txt", agent.name), text);
            }
            Err(error) => drop(missing.insert(format!("metrics of {}", agent.name), error.to_string())),
        }
    }
    files
}

/// The parts of the objects that Carrick reads. The bundle contains no other annotations, labels and fields: an unknown field may contain a
/// key by mistake.
fn reduced(objects: &Objects) -> Objects {
    const PEER_FIELDS: [&str; 6] =
        ["publicKey", "allowedIPs", "endpoint", "persistentKeepalive", "presharedKeySecretRef", "location"];
    let mut reduced = objects.clone();
    let topology_label = objects.mesh.as_ref().and_then(|spec| spec["topologyLabel"].as_str()).unwrap_or_default();
    for node in reduced.nodes.values_mut() {
        node.annotations.retain(|key, _| key.starts_with(carrick_kube::annotations::PREFIX));
        node.labels.retain(|key, _| key.starts_with("topology.kubernetes.io/") || key == topology_label);
    }
    for peer in reduced.peers.values_mut() {
        keep_fields(&mut peer.spec, |field| PEER_FIELDS.contains(&field));
    }
    if let Some(spec) = &mut reduced.mesh {
        let fields = carrick_kube::mesh::fields();
        keep_fields(spec, |field| fields.contains(field));
    }
    reduced
}

/// Removes the other fields. A `spec` that is no object becomes `null`.
fn keep_fields(spec: &mut Value, is_known: impl Fn(&str) -> bool) {
    match spec {
        Value::Object(spec) => spec.retain(|key, _| is_known(key)),
        _ => *spec = Value::Null,
    }
}

fn views(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut add = |name: &str, text: Result<String, Failure>| {
        files.insert(format!("{name}.txt"), text.unwrap_or_else(|failure| failure.to_string() + "\n"));
    };
    add("status", table(&Status::of(snapshot)));
    add("peers", Peers::of(snapshot, None).and_then(|peers| table(&peers)));
    add("latency", Latency::of(snapshot, Between::Nodes, Form::List).and_then(|latency| table(&latency)));
    add("traffic", table(&TrafficTable::of(snapshot, None)));
    if let Ok(cluster_plan) = ClusterPlan::of(snapshot) {
        for node in cluster_plan.plans.keys() {
            add(&format!("routes/{node}"), Routes::of(&cluster_plan, node.as_str()).and_then(|routes| table(&routes)));
        }
    }
    files
}

fn table(view: &impl View) -> Result<String, Failure> {
    render(view, Format::Table, Terminal::default()).map(|shown| shown.text)
}

fn versions(snapshot: &Snapshot) -> Value {
    let agents: BTreeMap<&str, Value> = snapshot
        .agents
        .iter()
        .map(|agent| {
            let version = agent.page().map(|page| page.version.clone());
            let image = agent.pod.as_ref().map(|pod| pod.image.clone());
            (agent.name.as_str(), json!({"version": version, "image": image}))
        })
        .collect();
    json!({ "carrickctl": env!("CARGO_PKG_VERSION"), "agents": agents })
}

fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|error| error.to_string()) + "\n"
}

impl View for Bundle {
    fn draw(&self, document: &mut Document) {
        document.line(format_args!("{}: {} files", self.path.display(), self.files.len()));
        if self.redacted > 0 {
            document.line(format_args!("removed {} texts that could be keys", self.redacted));
        }
        for (what, reason) in &self.missing {
            document.line(format_args!("missing: {what}: {reason}"));
        }
    }
}
