//! Who owns which field: `metadata.managedFields` and server-side apply
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/>).

use serde_json::{Map, Value, json};

use super::{
    error::{ApiError, Conflict},
    fields::{FieldSet, display, remove_at, value_at},
    object::Object,
};

/// Who writes, as far as the ownership of fields goes.
#[derive(Clone, Debug)]
pub(super) struct Manager {
    pub name: String,
    /// Empty, or `status`.
    pub subresource: String,
    pub api_version: String,
    /// RFC 3339.
    pub time: String,
}

/// What an applier asks for when another manager owns a field that it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnConflict {
    Refuse,
    TakeOver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// One entry of `managedFields`.
#[derive(Clone, Debug, PartialEq)]
struct Owner {
    manager: String,
    operation: Operation,
    subresource: String,
    api_version: String,
    time: String,
    fields: FieldSet,
}

impl Owner {
    fn parse(entry: &Value) -> Option<Self> {
        let text = |field: &str| entry.get(field).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            manager: text("manager")?,
            operation: match text("operation")?.as_str() {
                "Apply" => Operation::Apply,
                _ => Operation::Update,
            },
            subresource: text("subresource").unwrap_or_default(),
            api_version: text("apiVersion").unwrap_or_default(),
            time: text("time").unwrap_or_default(),
            fields: FieldSet::from_fields_v1(entry.get("fieldsV1")?),
        })
    }

    fn to_json(&self) -> Value {
        let mut entry = json!({
            "manager": self.manager, "operation": self.operation.as_str(),
            "apiVersion": self.api_version, "time": self.time,
            "fieldsType": "FieldsV1", "fieldsV1": self.fields.to_fields_v1(),
        });
        if !self.subresource.is_empty() {
            entry["subresource"] = json!(self.subresource);
        }
        entry
    }

    fn is(&self, manager: &Manager, operation: Operation) -> bool {
        self.manager == manager.name && self.operation == operation && self.subresource == manager.subresource
    }
}

fn owners(object: &Object) -> Vec<Owner> {
    let entries = object.metadata("managedFields").and_then(Value::as_array);
    entries.into_iter().flatten().filter_map(Owner::parse).collect()
}

fn set_owners(object: &mut Object, mut owners: Vec<Owner>) {
    owners.retain(|owner| !owner.fields.is_empty());
    owners.sort_by(|a, b| (a.operation, &a.manager, &a.subresource).cmp(&(b.operation, &b.manager, &b.subresource)));
    let entries = owners.iter().map(Owner::to_json).collect();
    object.set_metadata("managedFields", Some(Value::Array(entries)));
}

/// Sets the fields of one manager's entry; its time moves only when the fields do.
fn assign(owners: &mut Vec<Owner>, manager: &Manager, operation: Operation, fields: FieldSet) {
    match owners.iter_mut().find(|owner| owner.is(manager, operation)) {
        Some(owner) if owner.fields == fields => {}
        Some(owner) => {
            owner.fields = fields;
            owner.time.clone_from(&manager.time);
        }
        None => owners.push(Owner {
            manager: manager.name.clone(),
            operation,
            subresource: manager.subresource.clone(),
            api_version: manager.api_version.clone(),
            time: manager.time.clone(),
            fields,
        }),
    }
}

/// Records a write that was no apply: whoever changes a field owns it alone.
pub(super) fn record_update(before: Option<&Object>, after: &mut Object, manager: &Manager) {
    let nothing = Map::new();
    let old = before.map_or(&nothing, Object::fields);
    let now = FieldSet::of(after.fields());
    let changed = now.filter(|path| value_at(old, path) != value_at(after.fields(), path));
    let mut owners = before.map(owners).unwrap_or_default();
    let mut mine = changed.clone();
    for owner in &mut owners {
        owner.fields = owner.fields.filter(|path| now.contains(path));
        if owner.is(manager, Operation::Update) {
            mine = mine.union(&owner.fields);
        } else {
            owner.fields = owner.fields.minus(&changed);
        }
    }
    assign(&mut owners, manager, Operation::Update, mine);
    set_owners(after, owners);
}

/// Server-side apply of `config` onto `live`: what the manager applied before and leaves out now is
/// removed unless somebody else owns it too.
///
/// # Errors
///
/// The conflicts, where another manager owns a field that would change and `on_conflict` is
/// [`OnConflict::Refuse`].
pub(super) fn apply(
    live: &Object,
    config: &Object,
    manager: &Manager,
    on_conflict: OnConflict,
) -> Result<Object, ApiError> {
    let wanted = FieldSet::of(config.fields());
    let mut owners = owners(live);
    let changes = wanted.filter(|path| value_at(live.fields(), path) != value_at(config.fields(), path));
    let conflicts: Vec<_> = owners
        .iter()
        .filter(|owner| !owner.is(manager, Operation::Apply))
        .flat_map(|owner| {
            let taken = changes.filter(|path| owner.fields.contains(path));
            let name = owner.manager.clone();
            let conflicts: Vec<_> =
                taken.iter().map(|path| Conflict { manager: name.clone(), field: display(path) }).collect();
            conflicts
        })
        .collect();
    if !conflicts.is_empty() && on_conflict == OnConflict::Refuse {
        return Err(ApiError::field_conflicts(conflicts));
    }

    let mut merged = live.clone();
    merge(merged.fields_mut(), config.fields());
    let mut dropped = FieldSet::default();
    for owner in &mut owners {
        if owner.is(manager, Operation::Apply) {
            dropped = owner.fields.minus(&wanted);
        } else {
            owner.fields = owner.fields.minus(&changes);
        }
    }
    let shared = |path: &_| owners.iter().any(|o| !o.is(manager, Operation::Apply) && o.fields.contains(path));
    for path in dropped.filter(|path| !shared(path)).iter() {
        remove_at(merged.fields_mut(), path);
    }
    assign(&mut owners, manager, Operation::Apply, wanted);
    set_owners(&mut merged, owners);
    Ok(merged)
}

/// Puts the values of `from` into `into`, map by map.
fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Object(inner)), Value::Object(value)) => merge(inner, value),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}
