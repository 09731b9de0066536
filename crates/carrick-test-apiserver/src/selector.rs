//! Field and label selectors, as far as they compare for equality
//! (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>).

use serde_json::Value;

use crate::error::ApiError;
use crate::object::Object;

/// Selects the objects for which every term holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    fields: Vec<Term>,
    labels: Vec<Term>,
}

/// A key and the value that it must have.
type Term = (String, String);

impl Selector {
    /// Parses the query parameters `fieldSelector` and `labelSelector`.
    ///
    /// # Errors
    /// 400 Bad Request for a term other than `KEY=VALUE`.
    pub fn parse(fields: Option<&str>, labels: Option<&str>) -> Result<Self, ApiError> {
        Ok(Self { fields: terms(fields)?, labels: terms(labels)? })
    }

    pub fn matches(&self, object: &Object) -> bool {
        let field = |path: &str| {
            let mut keys = path.split('.');
            let first = object.field(keys.next()?)?;
            keys.try_fold(first, |value, key| value.get(key)).and_then(Value::as_str)
        };
        let labels = object.metadata("labels");
        let label = |key: &str| labels?.get(key)?.as_str();
        self.fields.iter().all(|(path, value)| field(path) == Some(value))
            && self.labels.iter().all(|(key, value)| label(key) == Some(value))
    }
}

fn terms(selector: Option<&str>) -> Result<Vec<Term>, ApiError> {
    let terms = selector.unwrap_or_default().split(',').filter(|term| !term.is_empty());
    terms
        .map(|term| match term.split_once('=') {
            Some((key, value)) if !key.ends_with('!') => Ok((key.to_owned(), value.trim_start_matches('=').to_owned())),
            Some(_) | None => Err(ApiError::bad_request(format!("this server does not support the selector {term:?}"))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::Resource;

    #[test]
    fn an_object_matches_when_every_term_holds() {
        let node = json!({ "metadata": { "name": "a", "labels": { "colour": "red" } } });
        let node = Object::parse(Resource::Node, node).unwrap();
        for (fields, labels, expected) in [
            ("", "", true),
            ("metadata.name=a", "", true),
            ("metadata.name==a", "colour=red", true),
            ("metadata.name=b", "colour=red", false),
            ("", "colour=red,size=big", false),
        ] {
            let selector = Selector::parse(Some(fields), Some(labels)).unwrap();
            assert_eq!(selector.matches(&node), expected, "{fields} {labels}");
        }
        for unsupported in ["colour", "!colour", "colour!=red", "colour in (red)"] {
            assert!(Selector::parse(None, Some(unsupported)).is_err(), "{unsupported}");
        }
    }
}
