//! From a path and a method to an operation, by matching path segments.

use hyper::Method;
use url::form_urlencoded;

use super::operation::Operation;
use super::quirks::{ActionForm, Quirks};
use super::reply::Refusal;

/// The longest path and query taken, in bytes.
const LONGEST: usize = 8_192;

/// Which part of the service an address belongs to; each words errors its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The API.
    Api,
    /// The token endpoint.
    Token,
    /// A managed identity of a machine.
    Metadata,
    /// A managed identity of an App Service.
    AppService,
    /// The blob endpoint.
    Blob,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) side: Side,
    pub(super) operation: Operation,
    /// The data store's or upload agent's id, or the tenant.
    pub(super) first: String,
    /// The session's id.
    pub(super) second: String,
    pub(super) query: Vec<(String, String)>,
}

impl Route {
    /// Returns the value of a query parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Finds where a request goes.
    pub(super) fn find(method: &Method, path: &str, query: &str, quirks: &Quirks) -> (Self, Result<(), Refusal>) {
        let parameters =
            form_urlencoded::parse(query.as_bytes()).map(|(key, value)| (key.into_owned(), value.into_owned()));
        let mut route = Self {
            side: Side::Api,
            operation: Operation::Unknown,
            first: String::new(),
            second: String::new(),
            query: parameters.collect(),
        };
        let outcome = if path.len() + query.len() > LONGEST {
            Err(Refusal::breach(414, "RequestUriTooLong", "The address is longer than the service takes."))
        } else {
            route.resolve(method, path, quirks)
        };
        (route, outcome)
    }

    fn resolve(&mut self, method: &Method, path: &str, quirks: &Quirks) -> Result<(), Refusal> {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match segments[..] {
            ["blobs", ..] => {
                self.side = Side::Blob;
                self.operation = self.blob_operation(method)?;
            }
            [tenant, "oauth2", "v2.0", "token"] => {
                self.side = Side::Token;
                self.first = tenant.to_owned();
                self.operation = pick(method, &[(Method::POST, Operation::Token)])?;
            }
            ["metadata", "identity", "oauth2", "token"] => {
                self.side = Side::Metadata;
                self.operation = pick(method, &[(Method::GET, Operation::ImdsToken)])?;
            }
            ["arc", "metadata", "identity", "oauth2", "token"] => {
                self.side = Side::Metadata;
                self.operation = pick(method, &[(Method::GET, Operation::ArcToken)])?;
            }
            ["msi", "token"] => {
                self.side = Side::AppService;
                self.operation = pick(method, &[(Method::GET, Operation::AppServiceToken)])?;
            }
            [version, "dataClassification", ref rest @ ..] => {
                if quirks.version.as_deref().is_some_and(|known| known != version) {
                    return Err(Refusal::breach(400, "BadRequest", format!("Invalid version: {version}")));
                }
                self.operation = self.api_operation(method, rest, quirks)?;
            }
            _ => return Err(no_segment(segments.last().copied().unwrap_or_default())),
        }
        Ok(())
    }

    fn api_operation(&mut self, method: &Method, rest: &[&str], quirks: &Quirks) -> Result<Operation, Refusal> {
        use Operation as Op;
        let collection = |list, create| [(Method::GET, list), (Method::POST, create)];
        let single = |get, patch, delete| [(Method::GET, get), (Method::PATCH, patch), (Method::DELETE, delete)];
        match *rest {
            ["exactMatchDataStores"] => pick(method, &collection(Op::ListStores, Op::CreateStore)),
            ["exactMatchDataStores", "$count"] => pick(method, &[(Method::GET, Op::CountStores)]),
            ["exactMatchUploadAgents"] => pick(method, &collection(Op::ListAgents, Op::CreateAgent)),
            ["exactMatchUploadAgents", "$count"] => pick(method, &[(Method::GET, Op::CountAgents)]),
            ["exactMatchUploadAgents", agent] => {
                agent.clone_into(&mut self.first);
                pick(method, &single(Op::GetAgent, Op::PatchAgent, Op::DeleteAgent))
            }
            ["exactMatchDataStores", store, ref below @ ..] => {
                store.clone_into(&mut self.first);
                match *below {
                    [] => pick(method, &single(Op::GetStore, Op::PatchStore, Op::DeleteStore)),
                    ["sessions"] => pick(method, &collection(Op::ListSessions, Op::Create)),
                    ["sessions", "$count"] => pick(method, &[(Method::GET, Op::CountSessions)]),
                    ["sessions", session] => {
                        session.clone_into(&mut self.second);
                        pick(method, &single(Op::Get, Op::Patch, Op::Delete))
                    }
                    ["sessions", session, "uploadAgent"] => {
                        session.clone_into(&mut self.second);
                        pick(method, &single(Op::GetSessionAgent, Op::PatchSessionAgent, Op::DeleteSessionAgent))
                    }
                    ["sessions", session, action] => {
                        session.clone_into(&mut self.second);
                        let known = [("renew", Op::Renew), ("commit", Op::Commit), ("cancel", Op::Cancel)];
                        pick_action(method, action, &known, quirks)
                    }
                    [action] => pick_action(method, action, &[("lookup", Op::Lookup)], quirks),
                    _ => Err(no_segment(below.last().copied().unwrap_or_default())),
                }
            }
            _ => Err(no_segment(rest.last().copied().unwrap_or("dataClassification"))),
        }
    }

    fn blob_operation(&self, method: &Method) -> Result<Operation, Refusal> {
        let signed = self.parameter("sig").is_some();
        match (method, self.parameter("comp")) {
            (&Method::PUT, None) if !signed => Ok(Operation::PlainPut),
            (&Method::PUT, None) => Ok(Operation::PutBlob),
            (&Method::PUT, Some("block")) => Ok(Operation::PutBlock),
            (&Method::PUT, Some("blocklist")) => Ok(Operation::PutBlockList),
            (&Method::GET, Some("blocklist")) => Ok(Operation::GetBlockList),
            (&Method::GET, None) => Ok(Operation::GetBlob),
            (&Method::PUT | &Method::GET, Some(_)) => Err(Refusal::breach(
                400,
                "InvalidQueryParameterValue",
                "Value for one of the query parameters specified in the request URI is invalid: comp.",
            )),
            _ => Err(Refusal::breach(405, "UnsupportedHttpVerb", "The resource doesn't support specified Http Verb.")
                .with("allow", "GET, PUT")),
        }
    }
}

fn no_segment(segment: &str) -> Refusal {
    Refusal::breach(400, "BadRequest", format!("Resource not found for the segment '{segment}'."))
}

/// Picks the operation of a method.
fn pick(method: &Method, known: &[(Method, Operation)]) -> Result<Operation, Refusal> {
    let found = known.iter().find(|(candidate, _)| candidate == method);
    found.map(|(_, operation)| *operation).ok_or_else(|| {
        let allowed: Vec<&str> = known.iter().map(|(method, _)| method.as_str()).collect();
        Refusal::breach(
            405,
            "Request_BadRequest",
            format!("Specified HTTP method is not allowed for the request target: {method}."),
        )
        .with("allow", allowed.join(", "))
    })
}

/// Picks an action by either form of its name.
fn pick_action(
    method: &Method,
    segment: &str,
    known: &[(&str, Operation)],
    quirks: &Quirks,
) -> Result<Operation, Refusal> {
    let qualified = segment.strip_prefix("microsoft.graph.");
    let name = match (quirks.action_form, qualified) {
        (ActionForm::Both | ActionForm::Qualified, Some(name)) => name,
        (ActionForm::Both | ActionForm::Short, None) => segment,
        (ActionForm::Short, Some(_)) | (ActionForm::Qualified, None) => return Err(no_segment(segment)),
    };
    let found = known.iter().find(|(candidate, _)| *candidate == name).ok_or_else(|| no_segment(segment))?;
    pick(method, &[(Method::POST, found.1)])
}
