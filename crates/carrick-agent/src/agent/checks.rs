//! The page `/checks`: the agent looks at its own node when it is asked to. It writes nothing.

mod conntrack;
mod directory;
mod kernel;
mod legacy_tables;
mod listeners;
mod patience;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use carrick_dataplane::Keys;
use carrick_kube::client::ApiClient;
use carrick_kube::with_causes;
use carrick_netlink::wireguard::SecretKey;
use carrick_status::{ApiAnswer, ChecksPage, WireGuardState, unix_ms};
use carrick_topology::{NodeName, NodePlan, PublicKey};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use tokio::sync::Mutex;

use super::status::Status;
use crate::cli::{AgentOptions, WireGuardBackend};
use patience::PATIENCE;

/// The namespace that the API server is asked for: every agent may read it, to tell clusters apart.
const ASKED_FOR: &str = "kube-system";

/// The largest number of comparisons. A difference may come from a change of the agent that is in progress.
const LOOKS: usize = 3;

/// The time between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Examines the node.
#[derive(Clone)]
pub(super) struct Checks(Arc<Sources>);

struct Sources {
    status: Status,
    node: NodeName,
    client: ApiClient,
    private_key: SecretKey,
    public_key: PublicKey,
    backend: WireGuardBackend,
    run_directory: PathBuf,
    cni_directory: Option<PathBuf>,
    /// Only one examination runs at a time, so that many requests do not make the agent work more.
    turn: Mutex<()>,
}

impl Checks {
    pub(super) fn new(
        node: NodeName,
        options: &AgentOptions,
        status: Status,
        client: ApiClient,
        (private_key, public_key): (SecretKey, PublicKey),
    ) -> Self {
        Self(Arc::new(Sources {
            status,
            node,
            client,
            private_key,
            public_key,
            backend: options.wireguard,
            run_directory: options.run_dir.clone(),
            cni_directory: options.cni.then(|| options.cni_conf_dir.clone()),
            turn: Mutex::new(()),
        }))
    }

    /// Runs all checks.
    pub(super) async fn page(&self) -> ChecksPage {
        let _turn = self.0.turn.lock().await;
        let (mut page, api) = tokio::join!(self.look(), self.ask_api());
        page.node = Some(self.0.node.clone());
        page.own_node = self.0.status.own_node();
        page.public_key = Some(self.0.public_key);
        page.api = Some(api);
        page.unix_ms = unix_ms(SystemTime::now());
        page
    }

    async fn ask_api(&self) -> ApiAnswer {
        let namespaces: Api<Namespace> = Api::all(self.0.client.client());
        let asked = Instant::now();
        match tokio::time::timeout(PATIENCE, namespaces.get_metadata(ASKED_FOR)).await {
            Ok(Ok(_)) => {
                ApiAnswer::Answered { after_ms: u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX) }
            }
            Ok(Err(error)) => ApiAnswer::Failed(with_causes(&error)),
            Err(_) => ApiAnswer::Failed(format!("no answer within {} ms", PATIENCE.as_millis())),
        }
    }

    /// Compares until nothing differs, at most a few times.
    async fn look(&self) -> ChecksPage {
        let mut page = ChecksPage::default();
        for look in 0..LOOKS {
            if look > 0 {
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
            let sources = Arc::clone(&self.0);
            let looked = tokio::task::spawn_blocking(move || sources.look_once()).await;
            page = looked.unwrap_or_else(|error| ChecksPage {
                unreadable: vec![format!("the node: {error}")],
                ..ChecksPage::default()
            });
            if is_calm(&page) {
                break;
            }
        }
        page
    }
}

/// Whether another look would show nothing else. A data path that is silent stays so, and each look would wait for it.
fn is_calm(page: &ChecksPage) -> bool {
    let is_silent = matches!(page.wireguard, WireGuardState::Unreadable(_));
    is_silent || (page.drift.is_empty() && page.dropping_chains.is_empty() && page.wireguard != WireGuardState::Missing)
}

impl Sources {
    fn look_once(&self) -> ChecksPage {
        let mut page = ChecksPage::default();
        if let Some(plan) = self.status.plan() {
            self.look_at_plan(&plan, &mut page);
        }
        page.conntrack = noted(conntrack::table(), "connection tracking", &mut page.unreadable).flatten();
        let looked = self.cni_directory.as_deref().map(directory::read).transpose();
        page.cni = noted(looked, "the CNI configurations", &mut page.unreadable).flatten();
        if self.cni_directory.is_some() {
            let looked = kernel::pod_gateways(&self.run_directory);
            page.pod_gateways = noted(looked, "the pods' devices", &mut page.unreadable).unwrap_or_default();
        }
        page
    }

    fn look_at_plan(&self, plan: &NodePlan, page: &mut ChecksPage) {
        // Without the preshared keys, peers that have one are not compared.
        let keys = Keys { private: self.private_key.clone(), preshared: std::collections::BTreeMap::new() };
        let looked = kernel::look(plan, &keys, self.backend, &self.run_directory, page);
        noted(looked, "the kernel", &mut page.unreadable);
        let looked = kernel::look_at_firewall(plan, page);
        noted(looked, "nftables", &mut page.unreadable);
        page.legacy_filters =
            noted(legacy_tables::filtering(), "iptables-legacy", &mut page.unreadable).unwrap_or_default();
        let looked = listeners::on(plan.wireguard.port);
        page.listeners = noted(looked, "the sockets", &mut page.unreadable).unwrap_or_default();
    }
}

/// The value of a result. An error is added to the list of what could not be examined.
fn noted<T, E: std::fmt::Display>(looked: Result<T, E>, what: &str, unreadable: &mut Vec<String>) -> Option<T> {
    looked.map_err(|error| unreadable.push(format!("{what}: {error}"))).ok()
}
