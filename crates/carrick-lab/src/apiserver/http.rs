//! From HTTP requests to reads, writes and watches, and back.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use futures::stream;
use jiff::Timestamp;
use serde_json::Value;

use super::{
    Shared, discovery,
    error::{ApiError, Reason},
    fault::Fault,
    object::Object,
    ownership::OnConflict,
    read::{self, Collection, Representation},
    request_counts::{RequestKind, Verb},
    resource::{Key, Resource},
    route::{Parameters, Target},
    selector::Selector,
    watch::Watch,
    write::{self, Author, Part, Written},
};

/// Kubernetes' own limit for a request's body.
const BODY_LIMIT: usize = 3 * 1024 * 1024;
const APPLY: &str = "application/apply-patch+yaml";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Answers one request.
pub(super) async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match dispatch(&shared, request).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn dispatch(shared: &Arc<Shared>, request: Request) -> Result<Response, ApiError> {
    let path = request.uri().path();
    let unknown = || ApiError::new(Reason::NotFound, "the server could not find the requested resource");
    let target = Target::parse(path).ok_or_else(unknown)?;
    let description = match &target {
        Target::Health => return Ok("ok".into_response()),
        Target::Version => Some(discovery::version()),
        Target::CoreVersions => Some(discovery::core_versions()),
        Target::Groups => Some(discovery::groups()),
        Target::Group(name) => discovery::group(name),
        Target::Resources { group, version } => discovery::resources(group, version),
        Target::Collection { .. } | Target::Object { .. } => None,
    };
    match (description, target.resource()) {
        (Some(description), _) => Ok(json_response(StatusCode::OK, &description)),
        (None, Some(resource)) => serve(shared, resource, target, request).await,
        (None, None) => Err(unknown()),
    }
}

/// Serves a request for objects: counted first, then subject to the faults in force.
async fn serve(
    shared: &Arc<Shared>,
    resource: Resource,
    target: Target,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let parameters = parameters(&head.uri)?;
    let caller = caller(&head.method, &head.headers, &target, &parameters, resource)?;
    shared.request_counts().count(caller.clone());
    let fault = shared.faults().meet(&caller);
    match fault {
        None => {}
        Some(Fault::TooManyRequests { retry_after }) => {
            return Err(ApiError::too_many_requests(retry_after));
        }
        Some(Fault::Gone) => return Err(gone(shared, &parameters)),
        Some(Fault::GoneInWatch) => {
            let status = gone(shared, &parameters).to_json();
            let event = serde_json::json!({ "type": "ERROR", "object": status });
            let line = Ok::<_, std::convert::Infallible>(format!("{event}\n"));
            return Ok(stream_response(Body::from_stream(stream::iter([line]))));
        }
        Some(Fault::Slow(delay)) => tokio::time::sleep(delay).await,
    }
    let body = to_bytes(body, BODY_LIMIT).await.map_err(ApiError::bad_request)?;
    let call = Call { shared, parameters, headers: &head.headers, body: &body };
    match (caller.verb, target) {
        (Verb::Get, Target::Object { key, .. }) => call.get(&key),
        (Verb::List, Target::Collection { resource, namespace }) => call.list(resource, namespace),
        (Verb::Watch, Target::Collection { resource, namespace }) => call.watch(resource, namespace),
        (Verb::Create, Target::Collection { resource, namespace }) => call.create(resource, namespace),
        (Verb::Update, Target::Object { key, part }) => call.update(key, part),
        (Verb::Patch, Target::Object { key, part }) => call.patch(key, part),
        (Verb::Apply, Target::Object { key, part }) => call.apply(key, part),
        (Verb::Delete, Target::Object { key, part: Part::Main }) => call.delete(&key),
        _ => Err(ApiError::new(Reason::MethodNotAllowed, "the method is not allowed here")),
    }
}

fn gone(shared: &Shared, parameters: &Parameters) -> ApiError {
    ApiError::expired(parameters.version().unwrap_or(0), shared.store().version())
}

fn parameters(uri: &Uri) -> Result<Parameters, ApiError> {
    Query::try_from_uri(uri).map(|Query(parameters)| parameters).map_err(ApiError::bad_request)
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn content_type(headers: &HeaderMap) -> &str {
    let full = text(headers, &header::CONTENT_TYPE).unwrap_or_default();
    full.split(';').next().unwrap_or_default().trim()
}

fn caller(
    method: &Method,
    headers: &HeaderMap,
    target: &Target,
    parameters: &Parameters,
    resource: Resource,
) -> Result<RequestKind, ApiError> {
    let verb = match (method, target) {
        (&Method::GET, Target::Object { .. }) => Verb::Get,
        (&Method::GET, _) if parameters.watch => Verb::Watch,
        (&Method::GET, _) => Verb::List,
        (&Method::POST, _) => Verb::Create,
        (&Method::PUT, _) => Verb::Update,
        (&Method::PATCH, _) if content_type(headers) == APPLY => Verb::Apply,
        (&Method::PATCH, _) => Verb::Patch,
        (&Method::DELETE, _) => Verb::Delete,
        _ => {
            return Err(ApiError::new(Reason::MethodNotAllowed, "the method is not allowed here"));
        }
    };
    let token = text(headers, &header::AUTHORIZATION).and_then(|a| a.strip_prefix("Bearer "));
    Ok(RequestKind {
        user: token.map(str::to_owned),
        user_agent: text(headers, &header::USER_AGENT).map(str::to_owned),
        verb,
        resource,
    })
}

/// A request that is served, with all that its handling needs.
struct Call<'a> {
    shared: &'a Arc<Shared>,
    parameters: Parameters,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

impl Call<'_> {
    fn representation(&self) -> Representation {
        Representation::from_accept(text(self.headers, &header::ACCEPT).unwrap_or_default())
    }

    fn collection(&self, resource: Resource, namespace: Option<String>) -> Result<Collection, ApiError> {
        let Parameters { field_selector, label_selector, .. } = &self.parameters;
        let selector = Selector::parse(field_selector.as_deref(), label_selector.as_deref())?;
        Ok(Collection { resource, namespace, selector })
    }

    fn get(&self, key: &Key) -> Result<Response, ApiError> {
        let object = self.shared.store().get(key).cloned().ok_or_else(|| ApiError::not_found(key))?;
        Ok(json_response(StatusCode::OK, &self.representation().render(&object)))
    }

    fn list(&self, resource: Resource, namespace: Option<String>) -> Result<Response, ApiError> {
        let collection = self.collection(resource, namespace)?;
        let store = self.shared.store();
        let list = read::list(&store, &collection, self.representation(), &self.parameters)?;
        Ok(json_response(StatusCode::OK, &list))
    }

    fn watch(&self, resource: Resource, namespace: Option<String>) -> Result<Response, ApiError> {
        let collection = self.collection(resource, namespace)?;
        let watch = Watch::start(self.shared, collection, self.representation(), &self.parameters)?;
        Ok(stream_response(Body::from_stream(watch.into_lines())))
    }

    fn create(&self, resource: Resource, namespace: Option<String>) -> Result<Response, ApiError> {
        let mut object = Object::parse(resource, self.json()?)?;
        object.set_metadata("uid", None);
        object.set_metadata("creationTimestamp", None);
        let suffix = self.shared.store().version() + 1;
        let key = object.key(resource, namespace.as_deref(), suffix)?;
        self.write(key, Part::Main, write::Request::Create(object))
    }

    fn update(&self, key: Key, part: Part) -> Result<Response, ApiError> {
        let object = Object::parse(key.resource, self.json()?)?;
        self.write(key, part, write::Request::Replace(object))
    }

    fn patch(&self, key: Key, part: Part) -> Result<Response, ApiError> {
        match content_type(self.headers) {
            MERGE_PATCH => self.write(key, part, write::Request::MergePatch(self.json()?)),
            other => {
                let message = format!("{other:?} is not served here, only {MERGE_PATCH} and {APPLY}");
                Err(ApiError::new(Reason::UnsupportedMediaType, message))
            }
        }
    }

    fn apply(&self, key: Key, part: Part) -> Result<Response, ApiError> {
        if self.parameters.field_manager.as_deref().unwrap_or_default().is_empty() {
            return Err(ApiError::bad_request("fieldManager is required for apply patch"));
        }
        let config: Value = serde_yaml_ng::from_slice(self.body).map_err(ApiError::bad_request)?;
        let config = Object::parse(key.resource, config)?;
        if config.metadata("managedFields").is_some() {
            return Err(ApiError::bad_request("metadata.managedFields must be nil"));
        }
        let on_conflict = if self.parameters.force { OnConflict::TakeOver } else { OnConflict::Refuse };
        self.write(key, part, write::Request::Apply { config, on_conflict })
    }

    fn delete(&self, key: &Key) -> Result<Response, ApiError> {
        let options = if self.body.is_empty() { Value::Null } else { self.json()? };
        let uid = options["preconditions"]["uid"].as_str();
        let object = self.shared.change(|store| write::delete(store, key, uid))?;
        Ok(json_response(StatusCode::OK, &self.representation().render(&object)))
    }

    fn write(&self, key: Key, part: Part, request: write::Request) -> Result<Response, ApiError> {
        let author = Author { field_manager: self.field_manager(), now: Timestamp::now() };
        let written = self.shared.change(|store| write::write(store, key, part, request, &author))?;
        let code = match written {
            Written::Created(_) => StatusCode::CREATED,
            Written::Updated(_) => StatusCode::OK,
        };
        Ok(json_response(code, &self.representation().render(written.object())))
    }

    /// The parameter, else the program's name in `User-Agent`, as in Kubernetes.
    fn field_manager(&self) -> String {
        let agent = text(self.headers, &header::USER_AGENT).and_then(|a| a.split('/').next());
        let parameter = self.parameters.field_manager.as_deref().filter(|name| !name.is_empty());
        parameter.or(agent).unwrap_or("unknown").to_owned()
    }

    fn json(&self) -> Result<Value, ApiError> {
        serde_json::from_slice(self.body).map_err(ApiError::bad_request)
    }
}

fn json_response(code: StatusCode, body: &Value) -> Response {
    let json = HeaderValue::from_static("application/json");
    (code, [(header::CONTENT_TYPE, json)], body.to_string()).into_response()
}

fn stream_response(body: Body) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], body).into_response()
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json_response(code, &self.to_json());
        if let Some(after) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, after.as_secs().into());
        }
        response
    }
}
