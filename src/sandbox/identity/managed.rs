//! Managed identities that believe whoever reaches them: a machine's (IMDS) and
//! an App Service's.

use super::{CLIENT_ID, answer};
use crate::sandbox::reply::{Refusal, Reply};
use crate::sandbox::service::{Asked, Service};
use crate::sandbox::tokens::Proof;

/// The versions of IMDS that know tokens.
const IMDS_VERSIONS: [&str; 3] = ["2018-02-01", "2019-08-01", "2021-02-01"];

/// The version of the App Service endpoint.
const APP_SERVICE_VERSION: &str = "2019-08-01";

/// The identity the system gave the machine.
const SYSTEM_IDENTITY: &str = "5a4db0c5-0000-4000-8000-000000000002";

/// Headers that only a proxy adds.
const OF_PROXIES: [&str; 4] = ["x-forwarded-for", "forwarded", "via", "proxy-connection"];

/// Answers as the metadata service of a machine.
pub(super) fn imds(service: &Service, asked: &Asked, summary: &mut String) -> Result<Reply, Refusal> {
    from_this_machine(asked)?;
    let version = asked.route.parameter("api-version").unwrap_or_default();
    if !IMDS_VERSIONS.contains(&version) {
        let message = format!("The api-version '{version}' is not known; use {}.", IMDS_VERSIONS[0]);
        return Err(bad(message));
    }
    let (resource, client) = wanted(asked, summary)?;
    let token = super::hand_out(service, asked, Proof::Exempt);
    Ok(answer::machine(service, asked, token, &resource, client))
}

/// Answers as the identity endpoint of an App Service.
pub(super) fn app_service(service: &Service, asked: &Asked, summary: &mut String) -> Result<Reply, Refusal> {
    if asked.header("x-identity-header") != Some(&service.identity.header) {
        let is_breach = !asked.headers.contains_key("x-identity-header");
        let refusal = Refusal::no(401, "Unauthorized", "The header X-IDENTITY-HEADER is missing or wrong.");
        return Err(Refusal { breach: is_breach, ..refusal });
    }
    if asked.route.parameter("api-version") != Some(APP_SERVICE_VERSION) {
        return Err(bad(format!("The api-version must be {APP_SERVICE_VERSION}.")));
    }
    let (resource, client) = wanted(asked, summary)?;
    let token = super::hand_out(service, asked, Proof::Exempt);
    Ok(answer::app_service(service, asked, token, &resource, client))
}

/// Refuses what did not come straight from a program on the machine.
pub(super) fn from_this_machine(asked: &Asked) -> Result<(), Refusal> {
    if asked.is_for_a_proxy || OF_PROXIES.iter().any(|name| asked.headers.contains_key(*name)) {
        return Err(bad("The request came through a proxy, which is not allowed.".to_owned()));
    }
    if !asked.header("metadata").is_some_and(|said| said.eq_ignore_ascii_case("true")) {
        return Err(bad("Required metadata header not specified or not correct.".to_owned()));
    }
    Ok(())
}

/// Returns the resource and the identity a token is wanted for.
pub(super) fn wanted(asked: &Asked, summary: &mut String) -> Result<(String, &'static str), Refusal> {
    let resource = asked.route.parameter("resource").filter(|text| !text.is_empty());
    let resource = resource.ok_or_else(|| bad("Required query variable 'resource' is missing.".to_owned()))?;
    *summary = format!("managed-identity resource={resource}");
    if resource.ends_with("/.default") {
        let message = format!("AADSTS500011: The resource principal named {resource} was not found in the tenant.");
        return Err(Refusal::breach(400, "invalid_resource", message));
    }
    let others = ["object_id", "mi_res_id", "msi_res_id", "principal_id"];
    let client = match asked.route.parameter("client_id") {
        None if others.iter().all(|name| asked.route.parameter(name).is_none()) => SYSTEM_IDENTITY,
        Some(CLIENT_ID) => CLIENT_ID,
        None | Some(_) => return Err(Refusal::no(400, "invalid_request", "Identity not found.")),
    };
    Ok((resource.to_owned(), client))
}

pub(super) fn bad(message: String) -> Refusal {
    Refusal::breach(400, "invalid_request", message)
}
