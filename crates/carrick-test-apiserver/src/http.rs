//! From HTTP requests to reads, writes and watches, and back.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::{ApiError, Reason};
use crate::fault::Fault;
use crate::object::Object;
use crate::read::{self, Collection, Representation};
use crate::request_counts::{RequestKind, Verb};
use crate::resource::{Key, Resource};
use crate::route::{Parameters, Target};
use crate::selector::Selector;
use crate::shared::Shared;
use crate::watch::Watch;
use crate::write::{self, Part, Written};

/// Kubernetes' own limit of a request's body, in bytes.
const BODY_LIMIT: usize = 3 * 1024 * 1024;
const APPLY_PATCH: &str = "application/apply-patch+yaml";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Answers a request.
pub(crate) async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match dispatch(&shared, request).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

/// Counts a request, applies the faults, and serves the request.
async fn dispatch(shared: &Arc<Shared>, request: Request) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let unknown = || ApiError::new(Reason::NotFound, "the server could not find the requested resource");
    let target = Target::parse(head.uri.path()).ok_or_else(unknown)?;
    let Query(parameters) = Query::<Parameters>::try_from_uri(&head.uri).map_err(ApiError::bad_request)?;
    let verb = verb(&head.method, &target, &parameters)?;
    let kind = RequestKind { user: user(&head.headers), verb, resource: target.resource() };
    shared.request_counts().count(kind.clone());
    let fault = shared.faults().take(&kind);
    match fault {
        None => {}
        Some(Fault::TooManyRequests { retry_after }) => return Err(ApiError::too_many_requests(retry_after)),
        Some(Fault::Gone) => return Err(gone(shared, &parameters)),
        Some(Fault::GoneInWatch) => {
            let event = json!({ "type": "ERROR", "object": gone(shared, &parameters).to_json() });
            let line = Ok::<_, Infallible>(format!("{event}\n"));
            return Ok(json_response(StatusCode::OK, Body::from_stream(stream::iter([line]))));
        }
        Some(Fault::Slow(delay)) => tokio::time::sleep(delay).await,
    }
    let body = to_bytes(body, BODY_LIMIT).await.map_err(ApiError::bad_request)?;
    let call = Call { shared, parameters, headers: &head.headers, body: &body };
    match (verb, target) {
        (Verb::Get, Target::Object { key, .. }) => call.get(&key),
        (Verb::List, Target::Collection { resource, namespace }) => call.list(resource, namespace),
        (Verb::Watch, Target::Collection { resource, namespace }) => call.watch(resource, namespace),
        (Verb::Create, Target::Collection { resource, namespace }) => call.create(resource, namespace.as_deref()),
        (Verb::Patch, Target::Object { key, part }) => call.patch(key, part),
        _ => Err(not_allowed()),
    }
}

fn verb(method: &Method, target: &Target, parameters: &Parameters) -> Result<Verb, ApiError> {
    match (method, target) {
        (&Method::GET, Target::Object { .. }) => Ok(Verb::Get),
        (&Method::GET, Target::Collection { .. }) if parameters.watch => Ok(Verb::Watch),
        (&Method::GET, Target::Collection { .. }) => Ok(Verb::List),
        (&Method::POST, _) => Ok(Verb::Create),
        (&Method::PATCH, _) => Ok(Verb::Patch),
        _ => Err(not_allowed()),
    }
}

fn not_allowed() -> ApiError {
    ApiError::new(Reason::MethodNotAllowed, "the method is not allowed here")
}

fn gone(shared: &Shared, parameters: &Parameters) -> ApiError {
    ApiError::expired(parameters.version().unwrap_or(0), shared.store().version())
}

fn user(headers: &HeaderMap) -> Option<String> {
    text(headers, &header::AUTHORIZATION)?.strip_prefix("Bearer ").map(str::to_owned)
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A request, with what its handler needs.
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
        Ok(self.object_response(StatusCode::OK, &object))
    }

    fn list(&self, resource: Resource, namespace: Option<String>) -> Result<Response, ApiError> {
        let collection = self.collection(resource, namespace)?;
        let store = self.shared.store();
        let list = read::list(&store, &collection, self.representation(), &self.parameters)?;
        Ok(json_response(StatusCode::OK, list.to_string().into()))
    }

    fn watch(&self, resource: Resource, namespace: Option<String>) -> Result<Response, ApiError> {
        let collection = self.collection(resource, namespace)?;
        let watch = Watch::start(self.shared, collection, self.representation(), &self.parameters)?;
        Ok(json_response(StatusCode::OK, Body::from_stream(watch.into_lines())))
    }

    fn create(&self, resource: Resource, namespace: Option<&str>) -> Result<Response, ApiError> {
        let mut object = Object::parse(resource, self.json()?)?;
        object.set_metadata("uid", None);
        object.set_metadata("creationTimestamp", None);
        let key = object.key(resource, namespace)?;
        self.write(key, Part::Main, write::Request::Create(object))
    }

    fn patch(&self, key: Key, part: Part) -> Result<Response, ApiError> {
        let content_type = text(self.headers, &header::CONTENT_TYPE).unwrap_or_default();
        match content_type.split(';').next().unwrap_or_default().trim() {
            MERGE_PATCH => self.write(key, part, write::Request::Merge(self.json()?)),
            APPLY_PATCH => {
                if self.parameters.field_manager.as_deref().unwrap_or_default().is_empty() {
                    return Err(ApiError::bad_request("fieldManager is required for apply patch"));
                }
                let config = serde_yaml_ng::from_slice(self.body).map_err(ApiError::bad_request)?;
                let config = Object::parse(key.resource, config)?;
                self.write(key, part, write::Request::Apply(config))
            }
            other => {
                let message = format!("{other:?} is not supported, only {MERGE_PATCH} and {APPLY_PATCH}");
                Err(ApiError::new(Reason::UnsupportedMediaType, message))
            }
        }
    }

    fn write(&self, key: Key, part: Part, request: write::Request) -> Result<Response, ApiError> {
        let written = self.shared.change(|store| write::write(store, key, part, request, Timestamp::now()))?;
        let code = match written {
            Written::Created(_) => StatusCode::CREATED,
            Written::Updated(_) => StatusCode::OK,
        };
        Ok(self.object_response(code, written.object()))
    }

    fn object_response(&self, code: StatusCode, object: &Object) -> Response {
        json_response(code, self.representation().render(object).to_string().into())
    }

    fn json(&self) -> Result<Value, ApiError> {
        serde_json::from_slice(self.body).map_err(ApiError::bad_request)
    }
}

fn json_response(code: StatusCode, body: Body) -> Response {
    let json = HeaderValue::from_static("application/json");
    (code, [(header::CONTENT_TYPE, json)], body).into_response()
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json_response(code, self.to_json().to_string().into());
        if let Some(after) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, after.as_secs().into());
        }
        response
    }
}
