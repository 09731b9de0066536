//! What the host around Carrick must let happen.

use carrick_status::{ApiAnswer, ApiConnection};
use carrick_topology::Family;

use super::Subject;
use crate::finding::listed;
use crate::{Check, Finding};

/// An API server that takes longer is slow, in milliseconds.
const SLOW_API_MS: u64 = 500;

/// The kernel forwards in all families of the plan.
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
        format!("the kernel does not forward {}: nothing reaches the pods of this node from elsewhere", listed(off)),
        format!(
            "`sysctl -w {}`, and find what switches it off (a file in /etc/sysctl.d)",
            settings.collect::<Vec<_>>().join(" ")
        ),
    )]
}

/// No strict reverse-path filter on the mesh's devices.
pub(super) fn reverse_path_filter(subject: &Subject<'_>) -> Vec<Finding> {
    let strict = &subject.checks.strict_filters;
    if strict.is_empty() {
        return Vec::new();
    }
    let settings: Vec<String> = strict.keys().map(|device| format!("net.ipv4.conf.{device}.rp_filter=2")).collect();
    vec![Finding::problem(
        Check::ReversePathFilter,
        format!(
            "the reverse-path filter is strict on {} ({}): packets die whose way back leads through another device",
            listed(strict.keys()),
            listed(strict.values())
        ),
        format!("`sysctl -w {}`, and find what sets it to 1 (a file in /etc/sysctl.d)", settings.join(" ")),
    )]
}

/// No forward chain of somebody else drops what the mesh carries.
pub(super) fn forward_policy(subject: &Subject<'_>) -> Vec<Finding> {
    let chains = &subject.checks.dropping_chains;
    if chains.is_empty() {
        return Vec::new();
    }
    vec![Finding::problem(
        Check::ForwardPolicy,
        format!(
            "{} drops what it does not know and lacks Carrick's accept rules: forwarded packets of pods are lost",
            listed(chains)
        ),
        "let whoever owns the chain accept carrick0, carrick-vx and crk*, in and out; the agent's log says what refused it \
         (foreign_chain_refused)",
    )]
}

/// The API server answers, and soon.
pub(super) fn api_server(subject: &Subject<'_>) -> Vec<Finding> {
    let remedy = "look at the API server, and whether this node reaches it without the mesh (--api-server)";
    match (&subject.checks.api, subject.status.api) {
        (Some(ApiAnswer::Failed(reason)), _) => vec![Finding::problem(
            Check::ApiServer,
            format!("the API server does not answer: {reason}; the data path stays, changes do not arrive"),
            remedy,
        )],
        (Some(ApiAnswer::Answered { after_ms }), _) if *after_ms > SLOW_API_MS => vec![Finding::warning(
            Check::ApiServer,
            format!("the API server takes {after_ms} ms to answer"),
            "look at the load of the API server and at the way there",
        )],
        (_, ApiConnection::Lost) => vec![Finding::problem(
            Check::ApiServer,
            "no changes arrive from the API server; the data path stays",
            remedy,
        )],
        (_, ApiConnection::Synced) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{diagnosed, mesh};
    use carrick_status::{ApiAnswer, ApiConnection};
    use carrick_topology::Family;

    #[test]
    fn forwarding_that_is_off_is_named_with_its_setting() {
        let findings = diagnosed(|mesh| {
            mesh.checks("b1").forwarding_off = [Family::V6].into();
        });
        assert_eq!(findings.problems(), ["ip-forwarding b1"]);
        assert!(findings.remedies().contains("net.ipv6.conf.all.forwarding=1"));
    }

    #[test]
    fn a_strict_filter_is_named_with_the_setting_that_makes_it_so() {
        let findings = diagnosed(|mesh| {
            let strict = ("carrick0".parse().unwrap(), "net.ipv4.conf.all.rp_filter".to_owned());
            mesh.checks("a1").strict_filters = [strict].into();
        });
        assert_eq!(findings.problems(), ["reverse-path-filter a1"]);
        assert!(findings.texts().contains("net.ipv4.conf.all.rp_filter"));
    }

    #[test]
    fn a_chain_that_drops_is_named() {
        let findings = diagnosed(|mesh| {
            mesh.checks("a1").dropping_chains = ["ip filter FORWARD".to_owned()].into();
        });
        assert_eq!(findings.problems(), ["forward-policy a1"]);
        assert!(findings.texts().contains("ip filter FORWARD"));
    }

    #[test]
    fn an_api_server_is_unreachable_slow_or_fine() {
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
