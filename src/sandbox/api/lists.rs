//! Collections: pages, `$filter`, and `$count`.

use serde_json::{Value, json};

use crate::sandbox::reply::{Refusal, Reply};
use crate::sandbox::service::{Asked, Service};

/// Query options of a collection that are taken and change nothing here.
const IGNORED: &[&str] = &["$select", "$orderby", "$expand", "$count"];

/// Answers with a collection, a page at a time if the quirks say so.
pub(super) fn page(service: &Service, asked: &Asked, items: Vec<Value>) -> Result<Reply, Refusal> {
    let quirks = &service.settings.quirks;
    for (name, _) in &asked.route.query {
        match name.as_str() {
            "$skiptoken" | "$top" => (),
            "$filter" if quirks.filter => (),
            other if IGNORED.contains(&other) => (),
            other => {
                return Err(Refusal::breach(
                    400,
                    "BadRequest",
                    format!("The query option '{other}' is not supported."),
                ));
            }
        }
    }
    let items = match asked.route.parameter("$filter") {
        Some(filter) => filtered(items, filter)?,
        None => items,
    };
    let number = |name| {
        let given = asked.route.parameter(name).map(str::parse::<usize>);
        given
            .transpose()
            .map_err(|_| Refusal::breach(400, "BadRequest", format!("The query option '{name}' has no such value.")))
    };
    let skip = asked.route.parameter("$skiptoken").map(|token| token.trim_start_matches("page-").parse::<usize>());
    let skip = skip
        .transpose()
        .map_err(|_| Refusal::breach(400, "BadRequest", "The skip token was not given by the service."))?;
    let skip = skip.unwrap_or(0);
    let size = quirks.page_size.unwrap_or(usize::MAX).min(number("$top")?.unwrap_or(usize::MAX)).max(1);
    let rest = items.len().saturating_sub(skip);
    let mut answer = json!({});
    if asked.route.parameter("$count") == Some("true") {
        answer["@odata.count"] = items.len().into();
    }
    if rest > size {
        let origin = quirks.next_link_origin.as_deref().unwrap_or(&service.origin);
        answer["@odata.nextLink"] = format!("{origin}{}?$skiptoken=page-{}", asked.path, skip + size).into();
    }
    answer["value"] = items.into_iter().skip(skip).take(size).collect();
    Ok(Reply::json(200, &answer))
}

/// Answers `$count`.
pub(super) fn number(count: usize) -> Reply {
    Reply::text(200, "text/plain", count.to_string())
}

/// Keeps the items a filter asks for; only `property eq 'text'` is known.
fn filtered(items: Vec<Value>, filter: &str) -> Result<Vec<Value>, Refusal> {
    let words = filter
        .split_once(" eq ")
        .and_then(|(name, text)| Some((name.trim(), text.trim().strip_prefix('\'')?.strip_suffix('\'')?)));
    let (name, text) = words.ok_or_else(|| Refusal::breach(400, "BadRequest", "Invalid filter clause."))?;
    let text = text.replace("''", "'");
    Ok(items.into_iter().filter(|item| item[name] == *text).collect())
}
