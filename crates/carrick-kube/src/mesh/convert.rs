//! From the `Mesh` object to the model.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

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
    let mesh = Mesh {
        permitted_location_cidrs: fields.networks("permittedLocationCIDRs"),
        cluster_cidrs: fields.networks("clusterCIDRs"),
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

    /// The networks of a list that can be read. A field that is no list is ignored as a whole.
    fn networks(&mut self, name: &str) -> Option<BTreeSet<IpNet>> {
        let (field, value) = (format!("spec.{name}"), self.value(name)?);
        let Value::Array(elements) = value else {
            self.reader.warn_of(&field, &shown(value), "write a list of networks");
            return None;
        };
        let elements: Vec<Cow<'_, str>> = elements.iter().map(shown).collect();
        Some(self.reader.read_all(&field, elements.iter().map(|element| element.trim()), value::network))
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
            "permittedLocationCIDRs": ["192.168.7.1/24", "fd00:7::/64"], "clusterCIDRs": ["10.244.0.0/16"],
        }));
        assert_eq!(warned(&parsed), []);
        let permitted = ["192.168.7.0/24", "fd00:7::/64"].map(str::to_owned).to_vec();
        assert_eq!(texts(parsed.mesh.permitted_location_cidrs), Some(permitted));
        assert_eq!(texts(parsed.mesh.cluster_cidrs), Some(vec!["10.244.0.0/16".to_owned()]));
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
    fn a_spec_that_is_no_object_gives_no_setting() {
        for spec in [json!([1]), json!("x"), json!(7)] {
            let parsed = parse_mesh(&spec);
            assert!(parsed.mesh == Mesh::default() && parsed.warnings.len() == 1, "{parsed:?}");
        }
    }
}
