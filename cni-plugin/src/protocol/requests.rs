//! What the runtime requests for a pod, through capabilities (`runtimeConfig`; CNI conventions, "Dynamic Plugin specific fields") or
//! `CNI_ARGS`.

use std::net::IpAddr;

use carrick_netlink::{Family, MacAddress};
use carrick_pods::Rate;
use carrick_pods::host_port::{HostPort, Transport};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::environment::Environment;
use super::environment::invalid as invalid_variable;
use super::error::{Code, Error};

/// What the runtime requests for one pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests {
    /// `ips`: the addresses, at most one of each family.
    pub addresses: Vec<IpAddr>,
    /// `mac`: the MAC address of the pod's interface.
    pub mac: Option<MacAddress>,
    /// `portMappings`: the host ports.
    pub ports: Vec<RequestedPort>,
    /// `bandwidth`: the limit towards the pod.
    pub ingress: Option<Rate>,
    /// `bandwidth`: the limit from the pod.
    pub egress: Option<Rate>,
}

/// An entry of `portMappings`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestedPort {
    transport: Transport,
    host: Option<IpAddr>,
    host_port: u16,
    pod_port: u16,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Raw {
    ips: Option<Vec<String>>,
    mac: Option<String>,
    port_mappings: Option<Vec<RawPort>>,
    bandwidth: Option<RawBandwidth>,
}

/// The field names of the CNI conventions, and those of containerd, which passes the names of its Go fields. Plugins in Go accept both.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPort {
    #[serde(alias = "HostPort")]
    host_port: u16,
    #[serde(alias = "ContainerPort")]
    container_port: u16,
    #[serde(alias = "Protocol")]
    protocol: Option<String>,
    #[serde(rename = "hostIP", alias = "HostIP")]
    host: Option<String>,
}

/// The names of the CNI conventions and of containerd, as in [`RawPort`].
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawBandwidth {
    #[serde(alias = "IngressRate")]
    ingress_rate: u64,
    #[serde(alias = "IngressBurst")]
    ingress_burst: u64,
    #[serde(alias = "EgressRate")]
    egress_rate: u64,
    #[serde(alias = "EgressBurst")]
    egress_burst: u64,
}

impl Requests {
    /// Reads `runtimeConfig`. Missing and empty keys, and keys of other capabilities, request nothing.
    ///
    /// # Errors
    ///
    /// A value has the wrong type ([`Code::Undecodable`]) or is invalid ([`Code::InvalidConfiguration`]).
    pub fn read(value: Option<&Value>) -> Result<Self, Error> {
        let Some(value) = value else { return Ok(Self::default()) };
        let raw = Raw::deserialize(value).map_err(|error| {
            Error::new(Code::Undecodable, "cannot decode the configuration", format!("runtimeConfig: {error}"))
        })?;
        let bandwidth = raw.bandwidth.unwrap_or_default();
        Ok(Self {
            addresses: addresses(raw.ips.iter().flatten()).map_err(|problem| invalid("ips", problem))?,
            mac: mac(raw.mac.as_deref().filter(|text| !text.is_empty())).map_err(|problem| invalid("mac", problem))?,
            ports: ports(raw.port_mappings.unwrap_or_default())?,
            ingress: rate("ingress", bandwidth.ingress_rate, bandwidth.ingress_burst)?,
            egress: rate("egress", bandwidth.egress_rate, bandwidth.egress_burst)?,
        })
    }

    /// Adds the addresses and the MAC address of `CNI_ARGS`, unless a capability requests them: `IP`, a list separated by commas, and
    /// `MAC`. podman passes `--ip` and `--mac-address` this way.
    ///
    /// # Errors
    ///
    /// A value is invalid ([`Code::InvalidEnvironment`]).
    pub fn or_arguments(mut self, environment: &Environment) -> Result<Self, Error> {
        let wrong = |name: &str, problem: String| invalid_variable("CNI_ARGS", format!("{name}: {problem}"));
        if self.addresses.is_empty() {
            let texts = environment.argument("IP").into_iter().flat_map(|list| list.split(','));
            self.addresses = addresses(texts).map_err(|problem| wrong("IP", problem))?;
        }
        if self.mac.is_none() {
            self.mac = mac(environment.argument("MAC")).map_err(|problem| wrong("MAC", problem))?;
        }
        Ok(self)
    }

    /// The host ports for a pod with addresses of these families, without duplicates. An entry whose host address is of another family
    /// is skipped, as the reference plugin `portmap` does: some runtimes pass `0.0.0.0` also for pods with IPv6 alone.
    ///
    /// # Errors
    ///
    /// A host port maps to two ports of the pod, or belongs to the mesh. `wireguard` is the port of the node's WireGuard device.
    pub fn host_ports(&self, families: &[Family], wireguard: Option<u16>) -> Result<Vec<HostPort>, Error> {
        let mut ports: Vec<HostPort> = Vec::new();
        for requested in &self.ports {
            let hosts: Vec<IpAddr> = match requested.host {
                Some(host) => families.iter().filter(|family| **family == Family::from(host)).map(|_| host).collect(),
                None => families.iter().map(|family| HostPort::any_host(*family)).collect(),
            };
            for host in hosts {
                let RequestedPort { transport, host_port, pod_port, .. } = *requested;
                let port = HostPort { transport, host, host_port, pod_port };
                if port.belongs_to_mesh(wireguard) {
                    let problem = format!("{port} is a port of the mesh on every node; choose another host port");
                    return Err(invalid("portMappings", problem));
                }
                match ports.iter().find(|other| other.key() == port.key()) {
                    Some(other) if other.pod_port == pod_port => {}
                    Some(_) => return Err(invalid("portMappings", format!("{port} maps to two ports of the pod"))),
                    None => ports.push(port),
                }
            }
        }
        Ok(ports)
    }
}

fn rate(direction: &str, rate: u64, burst: u64) -> Result<Option<Rate>, Error> {
    match (rate, burst) {
        (0, 0) => Ok(None),
        (1..8, _) | (_, 1..8) => {
            Err(invalid("bandwidth", format!("{direction}: less than one byte; rate and burst are in bits")))
        }
        (0, _) | (_, 0) => {
            let details = format!("{direction}Rate and {direction}Burst require each other");
            Err(invalid("bandwidth", details))
        }
        (rate, burst) => Ok(Some(Rate { rate, burst })),
    }
}

fn addresses(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Vec<IpAddr>, String> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for text in texts {
        let text = text.as_ref();
        // A prefix length is ignored: pods have single addresses.
        let address = text.parse::<IpAddr>().or_else(|_| text.parse::<IpNet>().map(|net| net.addr()));
        let address = address.map_err(|_| format!("{text:?} is not an IP address"))?;
        if addresses.iter().any(|other| Family::from(*other) == Family::from(address)) {
            return Err(format!("more than one {} address", Family::from(address)));
        }
        addresses.push(address);
    }
    Ok(addresses)
}

fn mac(text: Option<&str>) -> Result<Option<MacAddress>, String> {
    let Some(text) = text else { return Ok(None) };
    let mac: MacAddress = text.parse().map_err(|_| format!("{text:?} is not a MAC address"))?;
    if mac.0[0] & 1 != 0 || mac.0 == [0; 6] {
        return Err(format!("{mac} is not a unicast address"));
    }
    Ok(Some(mac))
}

fn ports(raw: Vec<RawPort>) -> Result<Vec<RequestedPort>, Error> {
    // Runtimes pass pod ports without a host port with the host port 0.
    let mapped = raw.into_iter().filter(|port| port.host_port != 0);
    mapped
        .map(|port| {
            if port.container_port == 0 {
                return Err(invalid("portMappings", format!("host port {}: containerPort is 0", port.host_port)));
            }
            let transport = match port.protocol.as_deref() {
                None | Some("") => Transport::Tcp,
                Some(name) => Transport::from_name(name)
                    .ok_or_else(|| invalid("portMappings", format!("protocol {name:?} is not tcp, udp or sctp")))?,
            };
            let host = port.host.as_deref().filter(|text| !text.is_empty()).map(|text| {
                text.parse().map_err(|_| invalid("portMappings", format!("hostIP {text:?} is not an IP address")))
            });
            let host = host.transpose()?;
            Ok(RequestedPort { transport, host, host_port: port.host_port, pod_port: port.container_port })
        })
        .collect()
}

fn invalid(key: &str, problem: impl AsRef<str>) -> Error {
    let details = format!("runtimeConfig.{key}: {}", problem.as_ref());
    Error::new(Code::InvalidConfiguration, "invalid configuration", details)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Requests, Error> {
        Requests::read(Some(&value))
    }

    #[test]
    fn empty_values_request_nothing() {
        let empty = json!({"ips": null, "mac": "", "portMappings": [], "bandwidth": {}, "infinibandGUID": "x"});
        assert_eq!(read(empty).unwrap(), Requests::default());
        assert_eq!(Requests::read(None).unwrap(), Requests::default());
    }

    #[test]
    fn the_field_names_of_containerd_are_read() {
        let requests = read(json!({
            "portMappings": [{"HostPort": 8081, "ContainerPort": 8080, "Protocol": "tcp", "HostIP": ""}],
            "bandwidth": {"IngressRate": 8_000_000, "IngressBurst": u32::MAX, "EgressRate": 0, "EgressBurst": 0},
        }))
        .unwrap();
        let ports: Vec<String> =
            requests.host_ports(&[Family::V4], None).unwrap().iter().map(HostPort::to_string).collect();
        assert_eq!(ports, ["tcp 0.0.0.0:8081"]);
        assert_eq!(requests.ingress, Some(Rate { rate: 8_000_000, burst: u32::MAX.into() }));
        assert_eq!(requests.egress, None);
    }

    #[test]
    fn the_field_names_of_the_conventions_are_read() {
        let requests = read(json!({
            "ips": ["10.42.0.9/24", "fd42::9"],
            "mac": "02:00:00:00:00:09",
            "portMappings": [
                {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": ""},
                {"hostPort": 53, "containerPort": 5353, "protocol": "UDP", "hostIP": "192.0.2.1"},
                {"hostPort": 0, "containerPort": 9, "protocol": "tcp"},
            ],
            "bandwidth": {"ingressRate": 8_000_000, "ingressBurst": 80_000, "egressRate": 16, "egressBurst": 16},
        }))
        .unwrap();
        assert_eq!(requests.addresses, ["10.42.0.9", "fd42::9"].map(|text| text.parse::<IpAddr>().unwrap()));
        assert_eq!(requests.ingress, Some(Rate { rate: 8_000_000, burst: 80_000 }));
        let ports: Vec<String> =
            requests.host_ports(&Family::BOTH, None).unwrap().iter().map(HostPort::to_string).collect();
        assert_eq!(ports, ["tcp 0.0.0.0:8080", "tcp [::]:8080", "udp 192.0.2.1:53"]);
    }

    #[test]
    fn a_host_address_of_another_family_is_skipped() {
        let port =
            |host_ip: &str, host_port: u16| json!({"hostPort": host_port, "containerPort": 80, "hostIP": host_ip});
        let entries = [port("0.0.0.0", 80), port("::", 80), port("192.0.2.1", 81), port("2001:db8::1", 82)];
        let requests = read(json!({"portMappings": entries})).unwrap();
        let ports = |families: &[Family]| {
            requests.host_ports(families, None).unwrap().iter().map(HostPort::to_string).collect::<Vec<_>>()
        };
        assert_eq!(ports(&[Family::V4]), ["tcp 0.0.0.0:80", "tcp 192.0.2.1:81"]);
        assert_eq!(ports(&[Family::V6]), ["tcp [::]:80", "tcp [2001:db8::1]:82"]);
        assert_eq!(ports(&Family::BOTH).len(), 4);
    }

    #[test]
    fn capabilities_take_precedence_over_arguments() {
        let environment = |text: &str| Environment { arguments: Some(text.into()), ..Environment::default() };
        let asked = environment("IgnoreUnknown=1;IP=10.42.0.9,fd42::9/64;MAC=02:00:00:00:00:09");
        let requests = Requests::default().or_arguments(&asked).unwrap();
        assert_eq!(requests.addresses, ["10.42.0.9", "fd42::9"].map(|text| text.parse::<IpAddr>().unwrap()));
        assert_eq!(requests.mac, Some("02:00:00:00:00:09".parse().unwrap()));
        let capabilities = read(json!({"ips": ["10.42.0.8"], "mac": "02:00:00:00:00:08"})).unwrap();
        assert_eq!(capabilities.clone().or_arguments(&asked).unwrap(), capabilities);
        for nothing in ["", "IP=;MAC=", "IPX=1;XMAC=2"] {
            assert_eq!(Requests::default().or_arguments(&environment(nothing)).unwrap(), Requests::default());
        }
        for (wrong, words) in [("IP=10.42.0.9,", "CNI_ARGS: IP: \"\""), ("MAC=01:00:5e:00:00:01", "CNI_ARGS: MAC: ")] {
            let error = Requests::default().or_arguments(&environment(wrong)).unwrap_err();
            assert_eq!(error.code, Code::InvalidEnvironment);
            assert!(error.details.starts_with(words), "{error}");
        }
    }

    #[test]
    fn an_invalid_request_has_its_error_code_and_details() {
        let cases = [
            (json!(7), Code::Undecodable, "runtimeConfig"),
            (json!({"portMappings": [{"hostPort": "80", "containerPort": 80}]}), Code::Undecodable, "runtimeConfig"),
            (json!({"portMappings": [{"hostPort": 65_536, "containerPort": 80}]}), Code::Undecodable, "65536"),
            (json!({"portMappings": [{"hostPort": 80, "containerPort": 0}]}), Code::InvalidConfiguration, "port 80"),
            (
                json!({"portMappings": [{"hostPort": 80, "containerPort": 80, "protocol": "icmp"}]}),
                Code::InvalidConfiguration,
                "icmp",
            ),
            (
                json!({"portMappings": [{"hostPort": 80, "containerPort": 80, "hostIP": "localhost"}]}),
                Code::InvalidConfiguration,
                "localhost",
            ),
            (json!({"ips": ["10.0.0.256"]}), Code::InvalidConfiguration, "10.0.0.256"),
            (json!({"ips": ["10.0.0.2", "10.0.0.3"]}), Code::InvalidConfiguration, "more than one IPv4"),
            (json!({"mac": "02:00:00:00:00"}), Code::InvalidConfiguration, "02:00:00:00:00"),
            (json!({"mac": "01:00:5e:00:00:01"}), Code::InvalidConfiguration, "not a unicast address"),
            (json!({"bandwidth": {"ingressRate": 1000}}), Code::InvalidConfiguration, "ingressBurst"),
            (json!({"bandwidth": {"egressRate": 7, "egressBurst": 7}}), Code::InvalidConfiguration, "bits"),
            (json!({"bandwidth": {"egressRate": -1}}), Code::Undecodable, "runtimeConfig"),
        ];
        for (value, code, words) in cases {
            let error = read(value.clone()).unwrap_err();
            assert_eq!(error.code, code, "{value}");
            assert!(error.details.contains(words), "{error}");
        }
    }

    #[test]
    fn a_host_port_maps_to_one_port() {
        let port = |pod_port: u16| json!({"hostPort": 80, "containerPort": pod_port});
        let requests = read(json!({"portMappings": [port(8080), port(8080)]})).unwrap();
        assert_eq!(requests.host_ports(&[Family::V4], None).unwrap().len(), 1);
        let requests = read(json!({"portMappings": [port(8080), port(8081)]})).unwrap();
        assert_eq!(requests.host_ports(&[Family::V4], None).unwrap_err().code, Code::InvalidConfiguration);
    }

    #[test]
    fn no_pod_gets_a_port_of_the_mesh() {
        let refused = |port: u16, protocol: &str, wireguard: Option<u16>| {
            let mapping = json!({"portMappings": [{"hostPort": port, "containerPort": 80, "protocol": protocol}]});
            read(mapping).unwrap().host_ports(&Family::BOTH, wireguard).err().map(|error| error.to_string())
        };
        for port in 51820..=51823 {
            let error = refused(port, "udp", None).unwrap();
            assert!(error.contains(&format!("udp 0.0.0.0:{port} is a port of the mesh")), "{error}");
            assert_eq!(refused(port, "tcp", None), None);
        }
        assert!(refused(4500, "UDP", Some(4500)).is_some());
        assert_eq!(
            [(4500, None), (51820, Some(4500)), (51824, None)].map(|(port, own)| refused(port, "udp", own)),
            [None, None, None]
        );
    }
}
