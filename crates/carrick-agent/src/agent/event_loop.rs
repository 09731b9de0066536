//! The loop that drives the core.

mod effects;
mod incoming;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use carrick_core::{Core, Event, Now, Waiting};
use carrick_dataplane::Keys;
use carrick_dataplane::WireGuardMaker;
use carrick_dataplane::firewall::DropCounters;
use carrick_dataplane::wireguard::WireGuard;
use carrick_kube::client::ApiClient;
use carrick_kube::own_node::OwnNode;
use carrick_kube::watch::{ApiStatus, ClusterEvent, ClusterUid, Limits, WatchConfig, watch};
use carrick_netlink::wireguard::SecretKey;
use carrick_pods::call_log::CallLog;
use carrick_topology::discovery::HostFacts;
use carrick_topology::model::KeyProof;
use carrick_topology::{NodeName, Settings};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::checks::Checks;
use super::http::{self, PagesThread};
use super::kernel::{Order, Outcome};
use super::kernel_events::KernelEvent;
use super::metrics::{DropReader, HttpListener};
use super::name_resolution::{NameHandle, Resolved, SystemResolver, resolver};
use super::pod_routes::PodRouteRestorer;
use super::pods::PodNetworkFiles;
use super::preshared_keys::PresharedKeys;
use super::probes::Probes;
use super::reporter::Reporter;
use super::saved_state::{self, Saver};
use super::status::Status;
use super::{AgentError, admission, kernel, kernel_events};
use super::{pod_file_watch, pod_firewall};
use crate::cli::{AgentOptions, Listen};
use crate::key;
use crate::state::StateDir;

/// The capacity of the channels of orders, outcomes and events.
const QUEUE: usize = 64;

/// The loop with all that it listens to.
pub(super) struct EventLoop {
    me: NodeName,
    options: AgentOptions,
    /// Keeps other agents from the node.
    _state: StateDir,
    wireguard_maker: WireGuardMaker,
    saver: Saver,
    uid: Option<ClusterUid>,
    core: Core,
    keys: Keys,
    origin: Instant,
    status: Status,
    checks: Checks,
    internal_pages: InternalPages,
    pages_thread: PagesThread,
    client: ApiClient,
    cluster_events: mpsc::Receiver<ClusterEvent>,
    api_servers: tokio::sync::watch::Receiver<BTreeSet<IpAddr>>,
    kernel_events: mpsc::Receiver<KernelEvent>,
    /// The host's interfaces when they were last read.
    host: Option<HostFacts>,
    /// The addresses of all interfaces then.
    assigned_addresses: BTreeSet<IpAddr>,
    orders: mpsc::Sender<Order>,
    outcomes: mpsc::Receiver<Outcome>,
    /// The results of background tasks.
    finished: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    own_node: Option<OwnNode>,
    reporter: Reporter,
    preshared_keys: PresharedKeys,
    names: NameHandle,
    resolved: tokio::sync::watch::Receiver<Resolved>,
    waiting: Waiting,
    pod_files: PodNetworkFiles,
    call_log: CallLog,
    /// `None` where another plugin wires pods.
    pod_routes: Option<PodRouteRestorer>,
    probes: Probes,
}

/// What is known of the pages on the node's internal address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InternalPages {
    /// The Node had no address yet, or `--listen` does not ask for these pages.
    Unknown,
    /// All internal addresses are public, and the log says so.
    OnlyPublicAddresses,
    /// A task serves them, or tries to.
    Served,
}

/// What is opened before anything is changed.
pub(super) struct Prepared {
    pub(super) state: StateDir,
    pub(super) private_key: SecretKey,
    pub(super) client: ApiClient,
    pub(super) wireguard: Box<dyn WireGuard>,
}

impl EventLoop {
    /// Opens everything and restores what the disk holds.
    pub(super) fn start(
        me: NodeName,
        options: AgentOptions,
        settings: Settings,
        prepared: Prepared,
    ) -> Result<Self, AgentError> {
        let Prepared { state, private_key: private, client, wireguard } = prepared;
        let public_key = key::public_key(&private);

        let (to_kernel, orders) = mpsc::channel(QUEUE);
        let (to_loop, outcomes) = mpsc::channel(QUEUE);
        let wireguard_maker = wireguard.maker();
        let status = Status::new(me.clone());
        let repeated = status.metrics().repeated_drift().clone();
        let own = kernel::start(wireguard, &options.interface, options.run_dir.clone(), repeated, orders, to_loop)?;
        let finished = mpsc::channel(QUEUE);
        let pod_routes =
            if options.cni { Some(PodRouteRestorer::start(&options.run_dir, finished.0.clone())?) } else { None };
        if options.cni {
            pod_firewall::start(&options.run_dir, status.clone(), finished.0.clone())?;
        }
        let (to_loop, kernel_events) = mpsc::channel(QUEUE);
        let pod_files = PodNetworkFiles::new(&options);
        if options.cni {
            pod_file_watch::start(pod_files.paths(), to_loop.clone())?;
        }
        kernel_events::start(own, &to_loop)?;

        let interval = Duration::from_millis(settings.failover_interval_ms.into());
        let probes = Probes::start(interval, private.clone(), &options.run_dir, status.metrics().probes().clone())?;

        let topology_label = settings.topology_label.clone();
        let proof = KeyProof::new(&private, &public_key, me.as_str(), rand::random());
        let mut core = Core::new(me.clone(), public_key, settings, rand::random()).with_key_proof(proof);
        let origin = Instant::now();
        core.handle_event(origin.elapsed(), Event::LivenessRestored(probes.liveness().clone()));
        let saved = saved_state::load(&state, &me);
        if let Some(saved) = &saved {
            core.handle_event(origin.elapsed(), Event::Restored(Arc::new(saved.cluster.clone())));
        }

        let (names, serve_names) = resolver(SystemResolver);
        tokio::spawn(serve_names);

        let (events, cluster_events) = mpsc::channel(QUEUE);
        let uid = saved.as_ref().map(|saved| saved.cluster_uid.clone());
        let config = WatchConfig { me: me.clone(), topology_label, cluster: uid.clone(), limits: Limits::default() };
        let watched = client.clone();
        let api = Arc::new(ApiStatus::default());
        status.read_api_from(Arc::clone(&api));
        let drop_counters = DropCounters::open().map_err(AgentError::from)?;
        status.read_drops_from(DropReader::of_kernel(drop_counters));
        tokio::spawn(async move {
            let known = saved.map(|saved| saved.cluster).unwrap_or_default();
            watch(watched, config, &known, api, events).await;
        });

        tokio::spawn(admission::look(client.clone(), status.clone(), finished.0.clone()));

        let own_keys = (private.clone(), public_key);
        Ok(Self {
            wireguard_maker,
            saver: Saver::start(&state, &me, finished.0.clone()),
            _state: state,
            checks: Checks::new(me.clone(), &options, status.clone(), client.clone(), own_keys),
            status,
            me,
            uid,
            core,
            keys: Keys { private, preshared: BTreeMap::new() },
            origin,
            internal_pages: InternalPages::Unknown,
            pages_thread: PagesThread::start()
                .map_err(|error| AgentError::Start(format!("thread of pages: {error}")))?,
            api_servers: client.server_addresses(),
            cluster_events,
            kernel_events,
            host: None,
            assigned_addresses: BTreeSet::new(),
            orders: to_kernel,
            outcomes,
            finished,
            own_node: None,
            reporter: Reporter::start(client.clone()),
            preshared_keys: PresharedKeys::start(client.clone()),
            resolved: names.resolved(),
            names,
            waiting: Waiting::ForNothing,
            pod_files,
            call_log: CallLog::follow(&options.run_dir),
            pod_routes,
            probes,
            client,
            options,
        })
    }

    /// Runs until a signal asks to end. What the kernel holds stays.
    pub(super) async fn run(mut self) -> Result<(), AgentError> {
        let mut terminate = listen_to(SignalKind::terminate())?;
        let mut interrupt = listen_to(SignalKind::interrupt())?;
        self.status.read_paths_from(self.probes.path_reader());
        http::start(&self.options, self.status.clone(), self.checks.clone(), &self.pages_thread).await?;
        self.read_interfaces();
        let addresses = self.api_servers.borrow_and_update().clone();
        self.event(Event::ApiServers(addresses));
        loop {
            self.carry_out_effects().await;
            self.say_what_is_waited_for();
            self.status.turn(&self.core);
            let deadline = self.core.next_deadline().map(|deadline| self.origin + deadline);
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                Some(event) = self.cluster_events.recv() => self.take_cluster_event(event),
                Some(event) = self.kernel_events.recv() => self.take_kernel_events(event),
                Some(outcome) = self.outcomes.recv() => self.take_outcome(&outcome),
                Some(event) = self.finished.1.recv() => self.take_finished(event),
                Some(event) = self.probes.next() => {
                    if let Some(event) = self.probes.take(event, &self.status) {
                        self.event(event);
                    }
                }
                Ok(()) = self.api_servers.changed() => {
                    let addresses = self.api_servers.borrow_and_update().clone();
                    self.event(Event::ApiServers(addresses));
                }
                Ok(()) = self.resolved.changed() => {
                    let names = self.resolved.borrow_and_update().clone();
                    self.event(Event::Names(names));
                }
                () = self.preshared_keys.changed() => {
                    self.keys.preshared = self.preshared_keys.known();
                    self.event(Event::PresharedKeys);
                }
                () = until(deadline) => {
                    let now = self.now();
                    self.core.handle_timeout(now);
                }
                // The loop shows that it turns even when nothing happens.
                () = tokio::time::sleep(Duration::from_secs(5)) => {}
            }
        }
        self.saver.finish().await;
        tracing::info!(event = "agent_stopped", "the data path stays as it is");
        Ok(())
    }

    fn now(&self) -> Now {
        self.origin.elapsed()
    }

    fn event(&mut self, event: Event) {
        let now = self.now();
        self.core.handle_event(now, event);
    }

    /// Serves pages on the node's internal address as soon as it is known, if `--listen` says so.
    fn serve_on_internal_address(&mut self, own_node: &OwnNode) {
        if self.internal_pages == InternalPages::Served || !self.options.listen.contains(&Listen::Internal) {
            return;
        }
        match Listen::internal_address(&own_node.internal_ips) {
            Some(address) => {
                self.internal_pages = InternalPages::Served;
                self.pages_thread.serve(address, self.status.clone(), HttpListener::Internal);
            }
            None if self.internal_pages == InternalPages::Unknown && !own_node.internal_ips.is_empty() => {
                self.internal_pages = InternalPages::OnlyPublicAddresses;
                tracing::warn!(
                    event = "pages_not_served",
                    "all internal addresses of the Node are public: to serve pages there, spell the address out in --listen"
                );
            }
            None => {}
        }
    }

    fn say_what_is_waited_for(&mut self) {
        let waiting = self.core.waiting();
        if waiting != self.waiting {
            match &waiting {
                Waiting::ForNothing => tracing::info!(event = "nothing_missing"),
                Waiting::ForCluster | Waiting::ForNode | Waiting::ForPublication | Waiting::ForPodCidr => {
                    tracing::info!(event = "waiting", "for" = ?waiting);
                }
            }
            self.waiting = waiting;
        }
    }
}

fn listen_to(kind: SignalKind) -> Result<Signal, AgentError> {
    signal(kind).map_err(|error| AgentError::Start(format!("listening to signals: {error}")))
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
