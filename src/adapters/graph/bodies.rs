//! What is sent: only what the client owns, only what is set, and of that only
//! what the contract settings ask for.

use serde_json::{Map, Value, json};

use super::settings::{ContractSettings, CreateProperty};
use crate::ground::secret::Secret;
use crate::ports::contract::{SessionChanges, SessionDraft};
use crate::ports::service::LookupQuery;

const SESSION_TYPE: &str = "#microsoft.graph.exactMatchSession";
const AGENT_TYPE: &str = "#microsoft.graph.exactMatchUploadAgent";

/// Returns the body that creates a session.
pub(super) fn draft(settings: &ContractSettings, store: &str, draft: &SessionDraft) -> Value {
    properties(settings, store, draft, &settings.create_properties)
}

/// Returns the body that says anew what an open session is of.
pub(super) fn restated(settings: &ContractSettings, store: &str, draft: &SessionDraft) -> Value {
    let stay = [CreateProperty::FileName, CreateProperty::RemainingBlockCount, CreateProperty::UploadAgentId];
    let said: Vec<CreateProperty> =
        settings.create_properties.iter().copied().filter(|property| !stay.contains(property)).collect();
    properties(settings, store, draft, &said)
}

fn properties(settings: &ContractSettings, store: &str, draft: &SessionDraft, said: &[CreateProperty]) -> Value {
    let mut body = session(settings, store);
    for property in said {
        let (name, value) = match property {
            CreateProperty::FileName => ("fileName", named(&draft.file_name)),
            CreateProperty::Fields => ("fields", (!draft.fields.is_empty()).then(|| json!(draft.fields))),
            CreateProperty::Checksum => ("checksum", draft.checksum.as_ref().map(|checksum| json!(checksum))),
            CreateProperty::RowsPerBlock => ("rowsPerBlock", draft.rows_per_block.map(|rows| json!(rows))),
            CreateProperty::TotalBlockCount => ("totalBlockCount", Some(json!(draft.total_block_count))),
            CreateProperty::RemainingBlockCount => ("remainingBlockCount", Some(json!(draft.remaining_block_count))),
            CreateProperty::Salt => ("salt", draft.salt.as_ref().map(Secret::expose).and_then(named)),
            CreateProperty::UploadAgentId => ("uploadAgentId", draft.upload_agent_id.as_deref().and_then(named)),
        };
        body.extend(value.map(|value| (name.to_owned(), value)));
    }
    Value::Object(body)
}

/// Returns the body that changes a session.
pub(super) fn changes(settings: &ContractSettings, store: &str, changes: &SessionChanges) -> Value {
    let mut body = session(settings, store);
    let properties = [
        ("remainingBlockCount", changes.remaining_block_count.map(|count| json!(count))),
        ("totalBlockCount", changes.total_block_count.map(|count| json!(count))),
        ("state", changes.state.as_ref().map(|state| json!(state))),
    ];
    for (name, value) in properties {
        body.extend(value.map(|value| (name.to_owned(), value)));
    }
    Value::Object(body)
}

/// Returns the body that registers an upload agent.
pub(super) fn agent(settings: &ContractSettings, description: &str) -> Value {
    let mut body = typed(settings, AGENT_TYPE);
    body.insert("description".to_owned(), json!(description));
    Value::Object(body)
}

/// Returns the body of a question to a data store.
pub(super) fn lookup(query: &LookupQuery) -> Value {
    json!({ "key": query.key, "values": query.values, "resultColumnNames": query.result_columns })
}

/// Returns what every body of a session starts with.
fn session(settings: &ContractSettings, store: &str) -> Map<String, Value> {
    let mut body = typed(settings, SESSION_TYPE);
    body.extend(settings.send_datastore_id.name().map(|name| (name.to_owned(), json!(store))));
    body
}

fn typed(settings: &ContractSettings, name: &str) -> Map<String, Value> {
    let mut body = Map::new();
    if settings.send_odata_type {
        body.insert("@odata.type".to_owned(), json!(name));
    }
    body
}

fn named(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!(text))
}
