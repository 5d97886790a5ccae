//! The answers that hold a token, in the form of each endpoint, and how their
//! life is told.

use serde_json::{Map, Value, json};

use crate::sandbox::quirks::ExpiresIn;
use crate::sandbox::reply::Reply;
use crate::sandbox::service::{Asked, Service};
use crate::sandbox::times;

/// Words a token's answer by the authority.
pub(super) fn authority(service: &Service, asked: &Asked, token: String) -> Reply {
    let seconds = service.settings.token_life().as_secs();
    let usual = json!({"expires_in": seconds, "ext_expires_in": seconds});
    let fields = json!({"token_type": "Bearer", "access_token": token});
    write([fields, life(service, asked, usual)])
}

/// Words it as IMDS and Azure Arc do, with numbers as texts.
pub(super) fn machine(service: &Service, asked: &Asked, token: String, resource: &str, client: &str) -> Reply {
    let seconds = service.settings.token_life().as_secs().to_string();
    let usual = json!({"expires_in": seconds, "ext_expires_in": seconds, "expires_on": ends(service, asked)});
    let fields = json!({
        "token_type": "Bearer",
        "access_token": token,
        "refresh_token": "",
        "client_id": client,
        "resource": resource,
        "not_before": asked.now().timestamp().to_string(),
    });
    write([fields, life(service, asked, usual)])
}

/// Words it as App Service does, which tells only when it ends.
pub(super) fn app_service(service: &Service, asked: &Asked, token: String, resource: &str, client: &str) -> Reply {
    let usual = json!({"expires_on": ends(service, asked)});
    let fields = json!({
        "token_type": "Bearer",
        "access_token": token,
        "client_id": client,
        "resource": resource,
        "not_before": asked.now().timestamp().to_string(),
    });
    write([fields, life(service, asked, usual)])
}

fn ends(service: &Service, asked: &Asked) -> String {
    times::later(asked.now(), service.settings.token_life()).timestamp().to_string()
}

/// Returns the fields that tell the life, as the quirks want them.
fn life(service: &Service, asked: &Asked, usual: Value) -> Value {
    let seconds = service.settings.token_life().as_secs();
    match service.settings.quirks.expires_in {
        ExpiresIn::Usual => usual,
        ExpiresIn::Number => json!({"expires_in": seconds}),
        ExpiresIn::Text => json!({"expires_in": seconds.to_string()}),
        ExpiresIn::Fraction => json!({"expires_in": seconds as f64 + 0.5}),
        ExpiresIn::Missing => json!({}),
        ExpiresIn::Zero => json!({"expires_in": 0}),
        ExpiresIn::Negative => json!({"expires_in": -1}),
        ExpiresIn::Huge => json!({"expires_in": u64::MAX}),
        ExpiresIn::Nonsense => json!({"expires_in": "soon"}),
        ExpiresIn::ExpiresOn => json!({"expires_on": ends(service, asked)}),
    }
}

fn write(parts: [Value; 2]) -> Reply {
    let mut whole = Map::new();
    for part in parts {
        if let Value::Object(fields) = part {
            whole.extend(fields);
        }
    }
    Reply::plain_json(200, &Value::Object(whole))
}
