//! Field and label selectors
//! (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>).

use serde_json::Value;

use super::{error::ApiError, object::Object};

/// Which objects of a collection a client asks for: all terms must hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector {
    fields: Vec<Term>,
    labels: Vec<Term>,
}

#[derive(Clone, Debug)]
enum Term {
    Equals(String, String),
    Differs(String, String),
    Exists(String),
    Absent(String),
}

impl Term {
    fn parse(term: &str) -> Result<Self, ApiError> {
        let pair = |at: usize, width: usize| (term[..at].trim().to_owned(), term[at + width..].trim().to_owned());
        if let Some(at) = term.find("!=") {
            let (key, value) = pair(at, 2);
            return Ok(Self::Differs(key, value));
        }
        if let Some(at) = term.find("==") {
            let (key, value) = pair(at, 2);
            return Ok(Self::Equals(key, value));
        }
        if let Some(at) = term.find('=') {
            let (key, value) = pair(at, 1);
            return Ok(Self::Equals(key, value));
        }
        let term = term.trim();
        if term.contains([' ', '(', '<', '>']) {
            return Err(ApiError::bad_request(format!("selector {term:?} is not supported here")));
        }
        Ok(match term.strip_prefix('!') {
            Some(key) => Self::Absent(key.to_owned()),
            None => Self::Exists(term.to_owned()),
        })
    }

    fn holds<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        match self {
            Self::Equals(key, wanted) => value(key) == Some(wanted),
            Self::Differs(key, unwanted) => value(key) != Some(unwanted),
            Self::Exists(key) => value(key).is_some(),
            Self::Absent(key) => value(key).is_none(),
        }
    }
}

impl Selector {
    /// Parses the query parameters `fieldSelector` and `labelSelector`.
    pub fn parse(fields: Option<&str>, labels: Option<&str>) -> Result<Self, ApiError> {
        let terms = |text: Option<&str>| {
            text.unwrap_or_default()
                .split(',')
                .filter(|term| !term.trim().is_empty())
                .map(Term::parse)
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self { fields: terms(fields)?, labels: terms(labels)? })
    }

    pub fn matches(&self, object: &Object) -> bool {
        let field = |path: &str| {
            let mut keys = path.split('.');
            let first = object.fields().get(keys.next()?)?;
            keys.try_fold(first, |value, key| value.get(key)).and_then(Value::as_str)
        };
        let labels = object.metadata("labels");
        let label = |key: &str| labels?.get(key)?.as_str();
        self.fields.iter().all(|term| term.holds(field)) && self.labels.iter().all(|term| term.holds(label))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::apiserver::Resource;

    #[test]
    fn every_term_must_hold() {
        let node = json!({ "metadata": { "name": "a", "labels": { "colour": "red" } } });
        let node = Object::parse(Resource::Node, node).unwrap();
        for (fields, labels, expected) in [
            ("", "", true),
            ("metadata.name=a", "", true),
            ("metadata.name==a", "colour=red", true),
            ("metadata.name!=a", "", false),
            ("metadata.name=b", "colour=red", false),
            ("", "colour=red,size=big", false),
            ("", "colour,!size", true),
            ("", "colour!=blue,size!=big", true),
        ] {
            let selector = Selector::parse(Some(fields), Some(labels)).unwrap();
            assert_eq!(selector.matches(&node), expected, "{fields} {labels}");
        }
        assert!(Selector::parse(None, Some("colour in (red)")).is_err());
    }
}
