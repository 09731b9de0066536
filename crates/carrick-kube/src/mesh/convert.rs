//! From the `Mesh` object to the model.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;

use carrick_topology::model::{AllowedLocationMasquerade, Family, SharedSettings};
use carrick_topology::{Mesh, ObjectName, Warning};
use ipnet::IpNet;
use serde_json::Value;

use crate::annotations::reader::Reader;
use crate::annotations::value;

/// The settings, and what is ignored of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedMesh {
    /// The settings. One that the object does not give, or gives in a form that cannot be read, keeps its default.
    pub mesh: Mesh,
    /// One for each value that cannot be read; all are about the Mesh.
    pub warnings: BTreeSet<Warning>,
}

/// Reads the `spec` of the Mesh. The schema in the cluster may be an older one, so each field is read alone: a bad one is ignored with a
/// warning, and the rest of the object holds.
#[must_use]
pub fn parse_mesh(spec: &Value) -> ParsedMesh {
    let nothing = BTreeMap::new();
    let mut fields = Fields { reader: Reader::new(ObjectName::Mesh, &nothing), spec };
    if !matches!(spec, Value::Object(_) | Value::Null) {
        fields.reader.warn_of("spec", &shown(spec), "write an object");
    }
    let masquerade =
        |masquerade| if masquerade { AllowedLocationMasquerade::On } else { AllowedLocationMasquerade::Off };
    let shared = SharedSettings {
        granularity: fields.word("granularity", value::parsed),
        encapsulation: fields.word("encapsulation", value::parsed),
        active_gateways: fields.number("activeGateways", 1..=u16::MAX).and_then(|n| NonZeroUsize::new(n.into())),
        standby_gateways: fields.number("standbyGateways", 0..=u16::MAX).map(usize::from),
        mesh_cidrs: fields.mesh_cidrs("meshCIDRs"),
        service_cidrs: fields.networks("serviceCIDRs", value::network),
        topology_label: fields.word("topologyLabel", value::label_key),
        failover_interval_ms: fields.number("failoverIntervalMilliseconds", 50..=60_000),
        allowed_location_masquerade: fields.flag("masqueradeAllowedLocation").map(masquerade),
    };
    let mesh = Mesh {
        shared,
        permitted_location_cidrs: fields.networks("permittedLocationCIDRs", value::network_of_operator),
        cluster_cidrs: fields.networks("clusterCIDRs", value::network_of_operator),
        internal_cidrs: fields.internal_cidrs("internalCIDRs"),
    };
    ParsedMesh { mesh, warnings: fields.reader.into_warnings() }
}

/// The fields of a `spec`.
struct Fields<'a> {
    reader: Reader<'a>,
    spec: &'a Value,
}

impl<'a> Fields<'a> {
    /// `None` where the object does not give the field.
    fn value(&self, name: &str) -> Option<&'a Value> {
        self.spec.get(name).filter(|value| !value.is_null())
    }

    /// A text that `parse` reads.
    fn word<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let (field, value) = (format!("spec.{name}"), self.value(name)?);
        self.reader.read(&field, shown(value).trim(), parse)
    }

    fn number(&mut self, name: &str, permitted: RangeInclusive<u16>) -> Option<u16> {
        let (field, value) = (format!("spec.{name}"), self.value(name)?);
        let number = value.as_u64().and_then(|number| u16::try_from(number).ok());
        let number = number.filter(|number| permitted.contains(number));
        if number.is_none() {
            let expected = format!("write a number from {} to {}", permitted.start(), permitted.end());
            self.reader.warn_of(&field, &shown(value), &expected);
        }
        number
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        let (field, value) = (format!("spec.{name}"), self.value(name)?);
        if value.as_bool().is_none() {
            self.reader.warn_of(&field, &shown(value), "write `true` or `false`");
        }
        value.as_bool()
    }

    /// The first network of each family. A mesh without any network carries nothing, so that an empty list is no value.
    fn mesh_cidrs(&mut self, name: &str) -> Option<BTreeSet<IpNet>> {
        let field = format!("spec.{name}");
        let mut kept: BTreeMap<Family, IpNet> = BTreeMap::new();
        for cidr in self.networks(name, value::network_of_operator)? {
            let first = *kept.entry(Family::of_net(&cidr)).or_insert(cidr);
            if first != cidr {
                let expected = format!("one network for each family; {first} is used");
                self.reader.warn_of(&field, &cidr.to_string(), &expected);
            }
        }
        if kept.is_empty() {
            self.reader.warn_of(&field, "", "write at least one network");
            return None;
        }
        Some(kept.into_values().collect())
    }

    /// Without any network, no node would have an internal address, so that an empty list is no value.
    fn internal_cidrs(&mut self, name: &str) -> Option<BTreeSet<IpNet>> {
        let networks = self.networks(name, value::network_of_operator)?;
        if networks.is_empty() {
            self.reader.warn_of(&format!("spec.{name}"), "", "write at least one network");
        }
        Some(networks).filter(|networks| !networks.is_empty())
    }

    /// The networks of a list that can be read. A field that is no list is ignored as a whole.
    fn networks(&mut self, name: &str, parse: fn(&str) -> Result<IpNet, String>) -> Option<BTreeSet<IpNet>> {
        let (field, value) = (format!("spec.{name}"), self.value(name)?);
        let Value::Array(elements) = value else {
            self.reader.warn_of(&field, &shown(value), "write a list of networks");
            return None;
        };
        let elements: Vec<Cow<'_, str>> = elements.iter().map(shown).collect();
        Some(self.reader.read_all(&field, elements.iter().map(|element| element.trim()), parse))
    }
}

/// A value as text: what people wrote, or JSON.
fn shown(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn warned(parsed: &ParsedMesh) -> Vec<(&str, &str)> {
        parsed.warnings.iter().map(|warning| (warning.field.as_str(), warning.value.as_str())).collect()
    }

    fn texts(networks: Option<BTreeSet<IpNet>>) -> Option<Vec<String>> {
        networks.map(|networks| networks.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_field_is_read() {
        let parsed = parse_mesh(&json!({
            "granularity": "full", "encapsulation": "cross-subnet", "activeGateways": 2, "standbyGateways": 0,
            "meshCIDRs": ["10.9.0.0/16", "fd09::/64"], "serviceCIDRs": ["10.96.0.0/12"], "topologyLabel": "zone",
            "failoverIntervalMilliseconds": 500, "masqueradeAllowedLocation": false,
            "permittedLocationCIDRs": ["192.168.7.1/24", "fd00:7::/64"], "clusterCIDRs": ["10.244.0.0/16"],
            "internalCIDRs": ["10.0.0.0/8", "fc00::/7"],
        }));
        assert_eq!(warned(&parsed), []);
        let expected =
            ["full", "cross-subnet", "2", "0", "10.9.0.0/16,fd09::/64", "10.96.0.0/12", "zone", "500", "false"];
        assert_eq!(parsed.mesh.shared.by_flag().map(|(_, value)| value.unwrap()), expected);
        let permitted = ["192.168.7.0/24", "fd00:7::/64"].map(str::to_owned).to_vec();
        assert_eq!(texts(parsed.mesh.permitted_location_cidrs), Some(permitted));
        assert_eq!(texts(parsed.mesh.cluster_cidrs), Some(vec!["10.244.0.0/16".to_owned()]));
        let internal = ["10.0.0.0/8", "fc00::/7"].map(str::to_owned).to_vec();
        assert_eq!(texts(parsed.mesh.internal_cidrs), Some(internal));
    }

    #[test]
    fn a_network_that_is_wider_than_any_of_an_operator_is_ignored() {
        for field in ["permittedLocationCIDRs", "clusterCIDRs", "internalCIDRs"] {
            let given =
                ["0.0.0.0/0", "::/0", "0.0.0.0/7", "2000::/15", "f000::/6", "10.0.0.0/8", "2001::/16", "fd00::/8"];
            let parsed = parse_mesh(&json!({ field: given }));
            let mesh = &parsed.mesh;
            let kept =
                mesh.permitted_location_cidrs.clone().or(mesh.cluster_cidrs.clone()).or(mesh.internal_cidrs.clone());
            let expected = ["10.0.0.0/8", "2001::/16", "fd00::/8"].map(str::to_owned).to_vec();
            assert_eq!(texts(kept), Some(expected), "{field}");
            assert_eq!(parsed.warnings.len(), 5, "{:?}", parsed.warnings);
            assert!(parsed.warnings.iter().all(|warning| warning.to_string().contains("too wide")));
        }
    }

    #[test]
    fn no_internal_network_is_no_restriction() {
        for given in [json!([]), json!(["::/0"]), json!(["x"])] {
            let parsed = parse_mesh(&json!({ "internalCIDRs": given }));
            assert!(parsed.mesh.internal_cidrs.is_none() && !parsed.warnings.is_empty(), "{parsed:?}");
        }
    }

    #[test]
    fn a_field_that_is_not_given_keeps_its_default_and_an_empty_list_is_given() {
        for spec in [json!({}), json!(null), json!({"clusterCIDRs": null, "later": [1]})] {
            assert_eq!(parse_mesh(&spec), ParsedMesh { mesh: Mesh::default(), warnings: BTreeSet::new() });
        }
        let parsed = parse_mesh(&json!({"permittedLocationCIDRs": []}));
        assert_eq!(parsed.mesh.permitted_location_cidrs, Some(BTreeSet::new()));
    }

    #[test]
    fn a_bad_element_or_field_is_ignored_alone() {
        let parsed = parse_mesh(&json!({
            "permittedLocationCIDRs": ["10.0.0.0/8", "10.0.0.0/33", 7, {"a": "\n"}], "clusterCIDRs": "10.244.0.0/16",
        }));
        let field = "spec.permittedLocationCIDRs";
        let expected =
            [("spec.clusterCIDRs", "10.244.0.0/16"), (field, "10.0.0.0/33"), (field, "7"), (field, r#"{"a":"\n"}"#)];
        assert_eq!(warned(&parsed), expected);
        assert_eq!(texts(parsed.mesh.permitted_location_cidrs), Some(vec!["10.0.0.0/8".to_owned()]));
        assert_eq!(parsed.mesh.cluster_cidrs, None);
        let message = parsed.warnings.first().unwrap().to_string();
        assert!(message.starts_with("mesh `default`: spec.clusterCIDRs `10.244.0.0/16` cannot be parsed"), "{message}");
    }

    #[test]
    fn a_bad_setting_is_ignored_alone() {
        for (field, value, expected) in [
            ("granularity", json!("everything"), "location, cross, full"),
            ("encapsulation", json!(7), "always, cross-subnet, never"),
            ("activeGateways", json!(0), "from 1 to 65535"),
            ("standbyGateways", json!("1"), "from 0 to 65535"),
            ("failoverIntervalMilliseconds", json!(49), "from 50 to 60000"),
            ("masqueradeAllowedLocation", json!("yes"), "`true` or `false`"),
            ("topologyLabel", json!("a b"), "the key of a label"),
            ("topologyLabel", json!("a/b/c"), "the key of a label"),
            ("meshCIDRs", json!([]), "at least one network"),
            ("meshCIDRs", json!(["x"]), "a network such as"),
            ("serviceCIDRs", json!(true), "a list of networks"),
        ] {
            let mut spec = json!({"clusterCIDRs": ["10.244.0.0/16"]});
            spec[field] = value.clone();
            let parsed = parse_mesh(&spec);
            assert_eq!(parsed.mesh.shared, SharedSettings::default(), "{field} {value}");
            assert!(parsed.mesh.cluster_cidrs.is_some());
            let text = parsed.warnings.iter().map(ToString::to_string).collect::<String>();
            assert!(text.contains(&format!("spec.{field}")) && text.contains(expected), "{field} {value}: {text}");
        }
    }

    #[test]
    fn of_two_mesh_cidrs_of_one_family_one_is_used() {
        let parsed = parse_mesh(&json!({"meshCIDRs": ["10.9.0.0/16", "10.8.0.0/16", "fd09::/64"]}));
        let kept = ["10.8.0.0/16", "fd09::/64"].map(str::to_owned).to_vec();
        assert_eq!(texts(parsed.mesh.shared.mesh_cidrs.clone()), Some(kept));
        assert_eq!(warned(&parsed), [("spec.meshCIDRs", "10.9.0.0/16")]);
    }

    #[test]
    fn a_spec_that_is_no_object_gives_no_setting() {
        for spec in [json!([1]), json!("x"), json!(7)] {
            let parsed = parse_mesh(&spec);
            assert!(parsed.mesh == Mesh::default() && parsed.warnings.len() == 1, "{parsed:?}");
        }
    }
}
