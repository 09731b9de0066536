//! What the plan is computed from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use carrick_backoff::Now;
use carrick_topology::discovery::{
    DeviceMtus, HostFacts, Interface, OwnFacts, OwnNode, container_bridges, device_mtus, host_networks, own_facts,
    routed_networks, unattached_devices,
};
use carrick_topology::model::{DnsName, KeyProof, Node};
use carrick_topology::{
    Change, Cluster, DeviceName, Liveness, Mesh, NodeName, NodePlan, PlanError, PublicKey, Published, Settings, plan,
};
use ipnet::IpNet;

use crate::former_networks::{self, FormerNetworks};
use crate::overwrites::Shown;
use crate::own::{self, Learned, OwnKey};

/// How long to wait for the API before planning from the state on disk. The kernel already carries traffic, and a plan from stale state
/// could cut it.
pub const DISK_PATIENCE: Duration = Duration::from_secs(10);

/// Where the knowledge of the cluster comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// At most a part of the API's first list has come.
    None,
    /// The state on disk, and what the API has changed since.
    Disk,
    /// The API: all that it has.
    Api,
}

/// What is known of the cluster and of this node.
#[derive(Debug)]
pub(crate) struct Inputs {
    me: NodeName,
    key: OwnKey,
    /// The settings in force: the command line, the object `Mesh`, and what the node knows of itself.
    settings: Arc<Settings>,
    cluster: Arc<Cluster>,
    former_networks: FormerNetworks,
    source: Source,
    /// The state on disk alone is no base for a plan before this.
    disk_counts_from: Option<Now>,
    liveness: Liveness,
    own_node: Option<Box<OwnNode>>,
    host: Option<HostFacts>,
    facts: Option<OwnFacts>,
    /// `None` until WireGuard was read: what an earlier agent published stays until then.
    observed_endpoints: Option<BTreeMap<NodeName, SocketAddr>>,
    /// `None` until there is a plan.
    outside_mesh: Option<BTreeSet<IpNet>>,
}

impl Inputs {
    pub(crate) fn new(me: NodeName, key: PublicKey, settings: Settings) -> Self {
        Self {
            me,
            key: OwnKey { public: key, proof: None },
            settings: Arc::new(settings),
            cluster: Arc::default(),
            former_networks: FormerNetworks::default(),
            source: Source::None,
            disk_counts_from: None,
            liveness: Liveness::default(),
            own_node: None,
            host: None,
            facts: None,
            observed_endpoints: None,
            outside_mesh: None,
        }
    }

    /// Publishes this proof with the key from now on.
    pub(crate) const fn set_key_proof(&mut self, proof: KeyProof) {
        self.key.proof = Some(proof);
    }

    pub(crate) const fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    pub(crate) const fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    pub(crate) const fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// Whether all that the API has is known.
    pub(crate) fn are_complete(&self) -> bool {
        self.source == Source::Api
    }

    /// Whether a plan may be computed.
    pub(crate) fn suffice(&self) -> bool {
        self.source != Source::None && self.disk_counts_from.is_none()
    }

    /// When the state on disk suffices.
    pub(crate) const fn disk_counts_from(&self) -> Option<Now> {
        self.disk_counts_from
    }

    /// Whether the state on disk suffices from now on.
    pub(crate) fn take_disk_due(&mut self, now: Now) -> bool {
        let is_due = self.disk_counts_from.is_some_and(|from| from <= now);
        if is_due {
            self.disk_counts_from = None;
        }
        is_due
    }

    /// Takes over the state on disk, unless the API has told of everything before.
    pub(crate) fn restore(&mut self, now: Now, cluster: Arc<Cluster>) {
        if self.source == Source::None {
            self.former_networks.restore(now, &cluster);
            let before = std::mem::replace(&mut self.cluster, cluster);
            self.follow_mesh(before.mesh.as_ref());
            self.source = Source::Disk;
            self.disk_counts_from = Some(now + DISK_PATIENCE);
            self.trust_disk_if_idle(now);
        }
    }

    /// Makes changes in the cluster. `plan` is the one in force.
    pub(crate) fn change(&mut self, now: Now, changes: Vec<Change>, plan: Option<&NodePlan>) {
        let before = self.cluster.mesh.clone();
        // An agent that has just started has no plan yet, and the kernel still holds that of the agent before.
        let takes_away = |change| former_networks::takes_away(change, &self.me, &self.cluster);
        let is_needed = plan.is_none() && changes.iter().any(takes_away);
        let first_plan = is_needed.then(|| self.plan().ok()).flatten();
        let plan = plan.or(first_plan.as_ref());
        let cluster = Arc::make_mut(&mut self.cluster);
        for change in changes {
            self.former_networks.apply(now, change, &self.me, cluster, plan);
        }
        self.former_networks.note_finders(cluster);
        self.follow_mesh(before.as_ref());
    }

    /// When [`Inputs::forget_former_networks`] has something to do.
    pub(crate) fn former_networks_due(&self) -> Option<Now> {
        self.former_networks.due()
    }

    /// Forgets the networks of nodes that have been gone for long. Returns whether there were any.
    pub(crate) fn forget_former_networks(&mut self, now: Now) -> bool {
        self.former_networks.forget_due(now, &mut self.cluster)
    }

    /// Whether the API shows, or has shown when the state was saved, all that other nodes need to reach this one.
    pub(crate) fn is_published(&self) -> bool {
        let Some(shown) = self.cluster.nodes.get(&self.me) else { return false };
        let Some(facts) = &self.facts else { return shown.public_key == Some(self.key.public) };
        let wanted = own::published(&self.cluster, &self.me, self.key, facts, self.learned(), &self.settings);
        own::is_reachable_as(shown, &wanted)
    }

    /// The changes up to now were all that the API has.
    pub(crate) const fn complete(&mut self) {
        self.source = Source::Api;
        self.disk_counts_from = None;
    }

    pub(crate) fn set_liveness(&mut self, liveness: Liveness) {
        self.liveness = liveness;
    }

    /// Returns whether another plan may follow from it.
    pub(crate) fn set_stray_neighbours(&mut self, strays: BTreeMap<IpAddr, DeviceName>) -> bool {
        if self.settings.local.stray_neighbours == strays {
            return false;
        }
        Arc::make_mut(&mut self.settings).local.stray_neighbours = strays;
        true
    }

    /// Returns whether another plan may follow from it.
    pub(crate) fn set_internet_neighbours(&mut self, neighbours: BTreeMap<IpAddr, DeviceName>) -> bool {
        if self.settings.local.internet_neighbours == neighbours {
            return false;
        }
        Arc::make_mut(&mut self.settings).local.internet_neighbours = neighbours;
        true
    }

    /// Returns whether another plan may follow from it.
    pub(crate) fn set_endpoint_mtus(&mut self, mtus: BTreeMap<IpAddr, u32>) -> bool {
        if self.settings.local.endpoint_mtus == mtus {
            return false;
        }
        Arc::make_mut(&mut self.settings).local.endpoint_mtus = mtus;
        true
    }

    pub(crate) fn set_api_servers(&mut self, addresses: BTreeSet<IpAddr>) {
        Arc::make_mut(&mut self.settings).local.api_servers = addresses;
    }

    pub(crate) fn set_names(&mut self, resolved: BTreeMap<DnsName, BTreeSet<IpAddr>>) {
        Arc::make_mut(&mut self.settings).local.resolved = resolved;
    }

    /// Returns whether another plan may follow from it.
    pub(crate) fn set_chosen_addresses(&mut self, chosen: BTreeMap<DnsName, IpAddr>) -> bool {
        if self.settings.local.chosen_addresses == chosen {
            return false;
        }
        Arc::make_mut(&mut self.settings).local.chosen_addresses = chosen;
        true
    }

    pub(crate) fn set_path_mtus(&mut self, path_mtus: BTreeMap<NodeName, u32>) {
        Arc::make_mut(&mut self.settings).local.path_mtus = path_mtus;
    }

    pub(crate) fn set_observed_endpoints(&mut self, observed: BTreeMap<NodeName, SocketAddr>) {
        self.observed_endpoints = Some(observed);
    }

    pub(crate) fn set_outside_mesh(&mut self, networks: &BTreeSet<IpNet>) {
        if self.outside_mesh.as_ref() != Some(networks) {
            self.outside_mesh = Some(networks.clone());
        }
    }

    const fn learned(&self) -> Learned<'_> {
        Learned { observed_endpoints: self.observed_endpoints.as_ref(), outside_mesh: self.outside_mesh.as_ref() }
    }

    /// Returns whether another plan may follow from it.
    pub(crate) fn set_own_node(&mut self, own_node: Box<OwnNode>) -> bool {
        self.own_node = Some(own_node);
        self.find_facts()
    }

    /// Returns whether another plan may follow from it.
    pub(crate) fn set_host(&mut self, now: Now, host: HostFacts) -> bool {
        self.host = Some(host);
        self.trust_disk_if_idle(now);
        self.find_facts()
    }

    /// # Errors
    /// This node is not in the cluster, or takes no part in the mesh.
    pub(crate) fn plan(&self) -> Result<NodePlan, PlanError> {
        let facts = self.facts.as_ref();
        let cluster = own::overlay(&self.cluster, &self.me, self.key, facts, self.learned(), &self.settings);
        plan(&cluster, &self.settings, &self.liveness, &self.me)
    }

    /// What the API should show of this node and does not.
    pub(crate) fn missing_publication(&self) -> Option<Published> {
        let facts = self.facts.as_ref().filter(|_| self.are_complete())?;
        let shown = self.cluster.nodes.get(&self.me)?;
        let wanted = own::published(&self.cluster, &self.me, self.key, facts, self.learned(), &self.settings);
        (!own::shows(shown, &wanted)).then_some(wanted)
    }

    /// What the API shows of this node where it does not show all of this.
    pub(crate) fn shown(&self, wanted: &Published) -> Shown {
        let lacks = |node: &Node| {
            node.public_key.is_none()
                || (node.public_key_proof.is_none() && wanted.public_key_proof.is_some())
                || (node.pod_cidrs.is_empty() && !wanted.pod_cidrs.is_empty())
                || (node.mesh_addresses.is_empty() && !wanted.mesh_addresses.is_empty())
        };
        if self.cluster.nodes.get(&self.me).is_none_or(lacks) { Shown::Absent } else { Shown::Different }
    }

    /// A node that carries nothing yet, such as after a reboot, has nothing to lose.
    fn trust_disk_if_idle(&mut self, now: Now) {
        let Some(HostFacts { interfaces, .. }) = &self.host else { return };
        let carries =
            |interface: &Interface| interface.name == self.settings.interface && !interface.addresses.is_empty();
        if self.disk_counts_from.is_some() && !interfaces.iter().any(carries) {
            self.disk_counts_from = Some(now);
        }
    }

    /// Puts the values of the object `Mesh` in force.
    fn follow_mesh(&mut self, before: Option<&Mesh>) {
        let mesh = self.cluster.mesh.as_ref();
        if mesh != before {
            self.settings = Arc::new(Settings::clone(&self.settings).with_mesh(mesh));
            // Which addresses of the node count depends on the settings.
            self.find_facts();
        }
    }

    fn find_facts(&mut self) -> bool {
        let Some(host) = &self.host else { return false };
        let interfaces = &host.interfaces;
        let before = self.settings.local.clone();
        let networks = host_networks(interfaces, &self.settings);
        let local = &mut Arc::make_mut(&mut self.settings).local;
        local.networks = networks;
        local.routed = routed_networks(host);
        local.default_sources.clone_from(&host.default_sources);
        local.container_bridges = container_bridges(interfaces);
        local.preceding_rules.clone_from(&host.preceding_rules);
        local.missing_families.clone_from(&host.missing_families);
        match &self.own_node {
            Some(own_node) => {
                let facts = own_facts(own_node, interfaces, &self.settings);
                let local = &mut Arc::make_mut(&mut self.settings).local;
                local.internal_devices.clone_from(&facts.internal_devices);
                self.facts = Some(facts);
            }
            None => {
                own::find_devices(&self.cluster, &self.me, interfaces, &mut Arc::make_mut(&mut self.settings).local);
            }
        }
        let local = &mut Arc::make_mut(&mut self.settings).local;
        local.unattached_devices = unattached_devices(interfaces, &local.internal_devices);
        let DeviceMtus { uplink, internal } = device_mtus(interfaces, &local.internal_devices);
        (local.uplink_mtu, local.internal_mtus) = (uplink, internal);
        // The own Node's annotations are compared with the facts again in any case.
        self.settings.local != before || self.own_node.is_some()
    }
}
