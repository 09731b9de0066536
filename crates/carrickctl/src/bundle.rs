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
            files.insert("objects.json".to_owned(), pretty(&objects_json(objects)));
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

/// The parts of the objects that Carrick reads. The bundle contains no other annotations and labels.
fn objects_json(objects: &Objects) -> Value {
    let nodes: BTreeMap<&str, Value> = objects
        .nodes
        .iter()
        .map(|(name, node)| {
            let annotations =
                node.annotations.iter().filter(|(key, _)| key.starts_with(carrick_kube::annotations::PREFIX));
            let annotations: BTreeMap<_, _> = annotations.collect();
            let labels = node.labels.iter().filter(|(key, _)| key.starts_with("topology.kubernetes.io/"));
            let labels: BTreeMap<_, _> = labels.collect();
            (name.as_str(), json!({"created": node.created, "annotations": annotations, "labels": labels}))
        })
        .collect();
    let peers: BTreeMap<&str, Value> = objects
        .peers
        .iter()
        .map(|(name, peer)| (name.as_str(), json!({"created": peer.created, "spec": known_fields(&peer.spec)})))
        .collect();
    json!({ "nodes": nodes, "peers": peers })
}

/// The known fields of a Peer's spec. An unknown field may contain a key by mistake.
fn known_fields(spec: &Value) -> Value {
    const FIELDS: [&str; 6] =
        ["publicKey", "allowedIPs", "endpoint", "persistentKeepalive", "presharedKeySecretRef", "location"];
    let Value::Object(spec) = spec else { return Value::Null };
    spec.iter()
        .filter(|(key, _)| FIELDS.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
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
