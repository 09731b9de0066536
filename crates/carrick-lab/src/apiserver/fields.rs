//! Sets of field paths and their `fieldsV1` form in `metadata.managedFields`.
//!
//! Maps are owned key by key; a list is owned as a whole. (Kubernetes also knows lists with keys,
//! such as `status.addresses`, which need a schema.)

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// The way to a field: the keys from the object's root.
pub(super) type Path = Vec<String>;

/// A set of fields that hold values (not maps).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet(BTreeSet<Path>);

/// Fields that nobody owns: they say which object it is, or the server writes them.
fn is_identity(path: &[String]) -> bool {
    match path {
        [root] => matches!(root.as_str(), "apiVersion" | "kind"),
        [root, field, ..] if root == "metadata" => matches!(
            field.as_str(),
            "name"
                | "generateName"
                | "namespace"
                | "uid"
                | "resourceVersion"
                | "generation"
                | "creationTimestamp"
                | "managedFields"
                | "selfLink"
        ),
        _ => false,
    }
}

impl FieldSet {
    /// All fields of an object that can be owned.
    pub fn of(object: &Map<String, Value>) -> Self {
        let mut set = Self::default();
        set.collect(object, &mut Vec::new());
        set
    }

    fn collect(&mut self, map: &Map<String, Value>, prefix: &mut Path) {
        for (key, value) in map {
            prefix.push(key.clone());
            if !is_identity(prefix) {
                match value {
                    Value::Object(inner) => self.collect(inner, prefix),
                    _ => {
                        self.0.insert(prefix.clone());
                    }
                }
            }
            prefix.pop();
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        self.0.iter()
    }

    pub fn contains(&self, path: &Path) -> bool {
        self.0.contains(path)
    }

    pub fn filter(&self, mut keep: impl FnMut(&Path) -> bool) -> Self {
        Self(self.0.iter().filter(|path| keep(path)).cloned().collect())
    }

    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    pub fn minus(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }

    /// Encodes the set as nested maps with keys `f:NAME`
    /// (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>).
    pub fn to_fields_v1(&self) -> Value {
        let mut root = Map::new();
        for path in &self.0 {
            let mut map = &mut root;
            for key in path {
                let inner = map.entry(format!("f:{key}")).or_insert_with(|| json!({}));
                let Value::Object(inner) = inner else { break };
                map = inner;
            }
        }
        Value::Object(root)
    }

    /// Decodes `fieldsV1`; list items and unknown keys are left out.
    pub fn from_fields_v1(value: &Value) -> Self {
        let mut set = Self::default();
        set.decode(value, &mut Vec::new());
        set
    }

    fn decode(&mut self, value: &Value, prefix: &mut Path) {
        let inner = value.as_object().into_iter().flatten();
        let mut leaf = true;
        for (key, value) in inner {
            if let Some(name) = key.strip_prefix("f:") {
                leaf = false;
                prefix.push(name.to_owned());
                self.decode(value, prefix);
                prefix.pop();
            }
        }
        if leaf && !prefix.is_empty() {
            self.0.insert(prefix.clone());
        }
    }
}

/// The value of a field.
pub(super) fn value_at<'a>(object: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(object.get(first)?, |value, key| value.get(key))
}

/// Removes a field, and the maps that become empty by it.
pub(super) fn remove_at(object: &mut Map<String, Value>, path: &[String]) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        object.remove(first);
        return;
    }
    if let Some(Value::Object(inner)) = object.get_mut(first) {
        remove_at(inner, rest);
        if inner.is_empty() && first != "metadata" {
            object.remove(first);
        }
    }
}

/// How people read a path: `.metadata.annotations.example.org/key`.
pub(super) fn display(path: &[String]) -> String {
    path.iter().map(|key| format!(".{key}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_v1_decodes_to_what_was_encoded() {
        let object = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": "a", "uid": "u", "annotations": { "carrick.dev/x.y": "1" } },
            "spec": { "podCIDRs": ["10.0.0.0/24"], "taints": null },
        });
        let set = FieldSet::of(object.as_object().unwrap());
        let encoded = set.to_fields_v1();
        let expected = json!({
            "f:metadata": { "f:annotations": { "f:carrick.dev/x.y": {} } },
            "f:spec": { "f:podCIDRs": {}, "f:taints": {} },
        });
        assert_eq!(encoded, expected);
        assert_eq!(FieldSet::from_fields_v1(&encoded), set);
    }

    #[test]
    fn removing_the_last_key_removes_its_map() {
        let mut object = json!({ "metadata": { "annotations": { "a": "1", "b": "2" } } });
        let object = object.as_object_mut().unwrap();
        let path = |key: &str| ["metadata", "annotations", key].map(str::to_owned);
        remove_at(object, &path("a"));
        assert_eq!(value_at(object, &path("b")), Some(&json!("2")));
        remove_at(object, &path("b"));
        assert_eq!(object["metadata"], json!({}));
    }
}
