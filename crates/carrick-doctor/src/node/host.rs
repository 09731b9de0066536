//! What the mesh needs from the host.

use carrick_status::{ApiAnswer, ApiConnection, ConntrackTable};
use carrick_topology::Family;

use super::subject::Subject;
use crate::finding::listed;
use crate::{Check, Finding};

/// An API server that takes longer to answer is slow, in milliseconds.
const SLOW_API_MS: u64 = 500;
/// A connection tracking table with more connections is nearly full, in percent of the largest number.
const FULL_TABLE_PERCENT: u64 = 80;

/// The kernel forwards packets of all address families in the plan.
pub(super) fn ip_forwarding(subject: &Subject<'_>) -> Vec<Finding> {
    let off = &subject.checks.forwarding_off;
    if off.is_empty() {
        return Vec::new();
    }
    let settings = off.iter().map(|family| match family {
        Family::V4 => "net.ipv4.ip_forward=1",
        Family::V6 => "net.ipv6.conf.all.forwarding=1",
    });
    vec![Finding::problem(
        Check::IpForwarding,
        format!("the kernel does not forward {}: no packets from other nodes reach the pods of this node", listed(off)),
        format!(
            "run `sysctl -w {}`, and find what turns forwarding off (a file in /etc/sysctl.d)",
            settings.collect::<Vec<_>>().join(" ")
        ),
    )]
}

/// The mesh's devices have no strict reverse-path filter.
pub(super) fn reverse_path_filter(subject: &Subject<'_>) -> Vec<Finding> {
    let strict = &subject.checks.strict_filters;
    if strict.is_empty() {
        return Vec::new();
    }
    let settings: Vec<String> = strict.keys().map(|device| format!("net.ipv4.conf.{device}.rp_filter=2")).collect();
    vec![Finding::problem(
        Check::ReversePathFilter,
        format!(
            "the reverse-path filter is strict on {} ({}): the kernel drops packets whose answers leave by another device",
            listed(strict.keys()),
            listed(strict.values())
        ),
        format!("run `sysctl -w {}`, and find what sets it to 1 (a file in /etc/sysctl.d)", settings.join(" ")),
    )]
}

/// No forward chain of another program drops the mesh's packets.
pub(super) fn forward_policy(subject: &Subject<'_>) -> Vec<Finding> {
    let chains = &subject.checks.dropping_chains;
    if chains.is_empty() {
        return Vec::new();
    }
    vec![Finding::problem(
        Check::ForwardPolicy,
        format!(
            "{} drops packets by default and has no accept rule for Carrick: packets from and to pods are lost",
            listed(chains)
        ),
        format!(
            "configure the program that owns the chain to accept {}, crk* in both directions; the agent's log contains why the \
             agent cannot add its rules (foreign_chain_refused)",
            listed(subject.mesh_devices().all())
        ),
    )]
}

/// No rules of iptables-legacy, which the agent cannot examine, may drop the mesh's packets.
pub(super) fn legacy_filters(subject: &Subject<'_>) -> Vec<Finding> {
    let programs = &subject.checks.legacy_filters;
    if programs.is_empty() {
        return Vec::new();
    }
    vec![Finding::warning(
        Check::ForwardPolicy,
        format!(
            "the table filter of {} is in use, and its rules cannot be examined: if its chain FORWARD drops packets of pods, they are lost",
            listed(programs)
        ),
        format!(
            "run `iptables-legacy -S FORWARD` and `ip6tables-legacy -S FORWARD`; if one drops by default, accept {}, crk+ there in both directions, or use iptables-nft",
            listed(subject.mesh_devices().all())
        ),
    )]
}

/// The connection tracking table has room for new connections.
pub(super) fn conntrack_table(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(ConntrackTable { count, max }) = subject.checks.conntrack else { return Vec::new() };
    if max == 0 || count.saturating_mul(100) < max.saturating_mul(FULL_TABLE_PERCENT) {
        return Vec::new();
    }
    vec![Finding::warning(
        Check::ConntrackTable,
        format!(
            "the connection tracking table holds {count} of {max} connections: when it is full, the kernel drops new connections of pods and of the host"
        ),
        "run `conntrack -L -o extended` on the node, and find the addresses with the most connections: a pod that opens or forges many connections, or a busy Service; stop the pod, or raise net.netfilter.nf_conntrack_max (kube-proxy: --conntrack-max-per-core)",
    )]
}

/// The API server answers in time.
pub(super) fn api_server(subject: &Subject<'_>) -> Vec<Finding> {
    let remedy = "check the API server, and whether this node reaches it without the mesh (--api-server)";
    match (&subject.checks.api, subject.status.api) {
        (Some(ApiAnswer::Failed(reason)), _) => vec![Finding::problem(
            Check::ApiServer,
            format!(
                "the API server does not answer: {reason}; the kernel keeps the plan in force, but changes do not arrive"
            ),
            remedy,
        )],
        (Some(ApiAnswer::Answered { after_ms }), _) if *after_ms > SLOW_API_MS => vec![Finding::warning(
            Check::ApiServer,
            format!("the API server takes {after_ms} ms to answer"),
            "check the load of the API server and the path to it",
        )],
        (_, ApiConnection::Lost) => vec![Finding::problem(
            Check::ApiServer,
            "no changes arrive from the API server; the kernel keeps the plan in force",
            remedy,
        )],
        (_, ApiConnection::Synced) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{diagnosed, mesh};
    use carrick_status::{ApiAnswer, ApiConnection, ConntrackTable};
    use carrick_topology::Family;
    use carrick_topology::plan::MeshDevices;

    #[test]
    fn rules_of_iptables_legacy_are_never_ok() {
        let found = diagnosed(|mesh| {
            mesh.checks("a1").legacy_filters = ["iptables-legacy".to_owned()].into();
            mesh.plan("a1").firewall.mesh_devices = MeshDevices::with_wireguard("wg-mesh".parse().unwrap());
        });
        assert_eq!(found.warnings(), ["forward-policy a1"]);
        assert!(
            found.remedies().contains("accept wg-mesh, carrick-vx, carrick-ho, crk+ there"),
            "{}",
            found.remedies()
        );
        assert!(found.texts().contains("the table filter of iptables-legacy is in use"));
    }

    #[test]
    fn the_remedy_for_forwarding_names_the_sysctl() {
        let findings = diagnosed(|mesh| {
            mesh.checks("b1").forwarding_off = [Family::V6].into();
        });
        assert_eq!(findings.problems(), ["ip-forwarding b1"]);
        assert!(findings.remedies().contains("net.ipv6.conf.all.forwarding=1"));
    }

    #[test]
    fn a_strict_filter_is_named_with_its_sysctl() {
        let findings = diagnosed(|mesh| {
            let strict = ("carrick0".parse().unwrap(), "net.ipv4.conf.all.rp_filter".to_owned());
            mesh.checks("a1").strict_filters = [strict].into();
        });
        assert_eq!(findings.problems(), ["reverse-path-filter a1"]);
        assert!(findings.texts().contains("net.ipv4.conf.all.rp_filter"));
    }

    #[test]
    fn a_chain_that_drops_by_default_is_named() {
        let findings = diagnosed(|mesh| {
            mesh.checks("a1").dropping_chains = ["ip filter FORWARD".to_owned()].into();
        });
        assert_eq!(findings.problems(), ["forward-policy a1"]);
        assert!(findings.texts().contains("ip filter FORWARD"));
    }

    #[test]
    fn a_connection_tracking_table_that_is_nearly_full_is_a_warning() {
        let with = |count, max| {
            let findings = diagnosed(|mesh| mesh.checks("a1").conntrack = Some(ConntrackTable { count, max }));
            (findings.warnings(), findings.texts())
        };
        let (warnings, texts) = with(209_716, 262_144);
        assert_eq!(warnings, ["conntrack-table a1"]);
        assert!(texts.contains("209716 of 262144 connections"), "{texts}");
        assert_eq!(with(262_144, 262_144).0, ["conntrack-table a1"]);
        assert_eq!(with(209_000, 262_144).0, [""; 0]);
        assert_eq!(with(5, 0).0, [""; 0], "without a limit");
    }

    #[test]
    fn an_api_server_is_unreachable_slow_or_ok() {
        let api = |answer: Option<ApiAnswer>, heard_peers| {
            diagnosed(|mesh| {
                mesh.checks("a1").api = answer;
                mesh.status("a1").api = heard_peers;
            })
        };
        let failed = api(Some(ApiAnswer::Failed("connection refused".to_owned())), ApiConnection::Synced);
        assert_eq!(failed.problems(), ["api-server a1"]);
        assert!(failed.texts().contains("connection refused"));
        assert_eq!(api(None, ApiConnection::Lost).problems(), ["api-server a1"]);
        assert_eq!(
            api(Some(ApiAnswer::Answered { after_ms: 501 }), ApiConnection::Synced).warnings(),
            ["api-server a1"]
        );
        assert_eq!(api(Some(ApiAnswer::Answered { after_ms: 500 }), ApiConnection::Synced).problems(), [""; 0]);
        assert_eq!(crate::fixtures::wrong(&crate::diagnose(&mesh())), [""; 0]);
    }
}
