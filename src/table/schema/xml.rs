//! EdmSchema XML, read tolerantly where the service may add something, and
//! strictly where a slip of the pen would silently change every digest.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

use super::{Field, Schema, SchemaError, check};

const NAMESPACE: &str = "http://schemas.microsoft.com/office/2018/edm";

/// The attributes of a `Field` that decide how its values are hashed.
const ATTRIBUTES: [&str; 4] = ["name", "searchable", "caseInsensitive", "ignoredDelimiters"];

/// How many letters an attribute may differ from a known one and still be taken for a slip of the pen.
const SLIP: usize = 2;

pub(super) fn parse(text: &str) -> Result<Schema, SchemaError> {
    let mut reader = NsReader::from_str(text.trim_start_matches('\u{feff}'));
    let mut path: Vec<String> = Vec::new();
    let mut store: Option<String> = None;
    let mut fields = Vec::new();
    loop {
        let line = line_at(text, reader.buffer_position());
        let at = |problem: String| SchemaError { line: Some(line), problem };
        let (namespace, event) = reader
            .read_resolved_event()
            .map_err(|error| at(format!("it is not well-formed XML ({error}); export or download it again")))?;
        let is_known = namespace == ResolveResult::Bound(Namespace(NAMESPACE));
        match event {
            Event::Start(ref element) | Event::Empty(ref element) => {
                let name = element.local_name().as_ref().to_owned();
                match (path.len(), name.as_str()) {
                    (0, "EdmSchema") if !is_known => {
                        return Err(at(format!("<EdmSchema> is not in the namespace {NAMESPACE}; add it as xmlns")));
                    }
                    (0, "EdmSchema") => (),
                    (0, _) => return Err(at(format!("the root is <{name}>; an EdmSchema is expected"))),
                    (1, "DataStore") if is_known => {
                        if store.is_some() {
                            return Err(at("there is a second <DataStore>; keep one data store per schema".to_owned()));
                        }
                        store = Some(attribute(element, "name").map_err(at)?.ok_or_else(|| {
                            at("<DataStore> has no name; give it the name it has at the service".to_owned())
                        })?);
                    }
                    (2, "Field") if is_known && path[1] == "DataStore" => fields.push(field(element).map_err(at)?),
                    _ => (),
                }
                if matches!(event, Event::Start(_)) {
                    path.push(name);
                }
            }
            Event::End(_) => drop(path.pop()),
            Event::Eof => break,
            Event::DocType(_) => return Err(at("a document type is not accepted; remove <!DOCTYPE>".to_owned())),
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::GeneralRef(_) => (),
        }
    }
    let end = |problem: String| SchemaError { line: Some(line_at(text, text.len() as u64)), problem };
    if let Some(open) = path.last() {
        return Err(end(format!("it ends inside <{open}>; export or download it again")));
    }
    let store = store.ok_or_else(|| end("there is no <DataStore> in an <EdmSchema>; add one".to_owned()))?;
    check(&store, &fields).map_err(SchemaError::anywhere)?;
    Ok(Schema { store, fields })
}

fn line_at(text: &str, position: u64) -> usize {
    let before = usize::try_from(position).unwrap_or(usize::MAX).min(text.len());
    text.as_bytes()[..before].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn field(element: &BytesStart<'_>) -> Result<Field, String> {
    refuse_slips(element)?;
    let name = attribute(element, "name")?
        .ok_or("a <Field> has no name; give it the name of its column in the table's header")?;
    let flag = |which: &str| match attribute(element, which)?.as_deref().map(str::trim) {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(other) => Err(format!("{which} of field `{name}` is `{other}`; write true or false")),
    };
    let searchable = flag("searchable")?;
    let case_insensitive = flag("caseInsensitive")?;
    let ignored = attribute(element, "ignoredDelimiters")?.unwrap_or_default();
    let ignored_delimiters = delimiters(&ignored)
        .map_err(|item| format!("ignoredDelimiters of field `{name}` has `{item}`; write single characters with commas between, such as `-,/,#`"))?;
    Ok(Field { name, searchable, case_insensitive, ignored_delimiters })
}

/// Reads a list of single characters with commas between.
fn delimiters(list: &str) -> Result<Vec<char>, &str> {
    let mut found = Vec::new();
    for item in list.split(',').filter(|item| !item.is_empty()) {
        let character = single(item).or_else(|| single(item.trim())).ok_or(item)?;
        if !found.contains(&character) {
            found.push(character);
        }
    }
    Ok(found)
}

fn single(item: &str) -> Option<char> {
    let mut characters = item.chars();
    characters.next().filter(|_| characters.next().is_none())
}

/// Refuses an attribute that is nearly one of ours: ignored, it would change digests without a word.
fn refuse_slips(element: &BytesStart<'_>) -> Result<(), String> {
    for attribute in element.attributes() {
        let attribute = attribute.map_err(unreadable)?;
        let name: &str = attribute.key.as_ref();
        if ATTRIBUTES.contains(&name) {
            continue;
        }
        let nearest =
            ATTRIBUTES.iter().find(|known| strsim::levenshtein(&known.to_lowercase(), &name.to_lowercase()) <= SLIP);
        if let Some(known) = nearest {
            return Err(format!("a <Field> has the attribute `{name}`; write `{known}`"));
        }
    }
    Ok(())
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, String> {
    for attribute in element.attributes() {
        let attribute = attribute.map_err(unreadable)?;
        let key: &str = attribute.key.as_ref();
        if key == name {
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(unreadable)?;
            return Ok(Some(value.into_owned()));
        }
    }
    Ok(None)
}

fn unreadable(error: impl std::fmt::Display) -> String {
    format!("an attribute cannot be read ({error}); correct it or download the schema again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(fields: &str) -> Result<Schema, SchemaError> {
        Schema::parse_xml(&format!(
            "<EdmSchema xmlns=\"{NAMESPACE}\">\n <DataStore name=\"S\" version=\"1\">\n{fields}</DataStore>\n</EdmSchema>"
        ))
    }

    #[test]
    fn attributes_that_are_left_out_mean_no() {
        let schema =
            schema("<Field name='A' searchable='true' ignoredDelimiters='-,/, ,#,&amp;'/><Field name='B'></Field>")
                .unwrap();
        assert_eq!(schema.store(), "S");
        assert_eq!(schema.fields()[0].ignored_delimiters, ['-', '/', ' ', '#', '&']);
        assert!(schema.fields()[0].searchable && !schema.fields()[0].case_insensitive);
        assert_eq!(schema.fields()[1], Field::named("B"));
    }

    #[test]
    fn an_error_names_the_line_and_what_to_write() {
        let error = schema("<Field name='A'/>\n<Field name='B' searchable='yes'/>\n").unwrap_err();
        assert_eq!(error.line, Some(4));
        assert!(error.to_string().contains("`B` is `yes`; write true or false"), "{error}");
    }

    #[test]
    fn a_slip_of_the_pen_is_refused_and_a_novelty_is_not() {
        assert!(schema("<Field name='A' caseinsensitive='true'/>").unwrap_err().problem.contains("`caseInsensitive`"));
        assert!(schema("<Field name='A' description='x' unique='true'/><Novel/>").is_ok());
    }

    #[test]
    fn what_is_not_a_schema_is_refused() {
        for text in ["", "<a/>", "<EdmSchema/>", "<EdmSchema xmlns='urn:other'/>", "{}", "<EdmSchema"] {
            assert!(Schema::parse_xml(text).is_err(), "{text}");
        }
        for fields in [
            "",
            "<Field/>",
            "<Field name='A' ignoredDelimiters='ab'/>",
            "<Field name='A' ignoredDelimiters='a'/>",
            "</DataStore><DataStore name='T'>",
        ] {
            assert!(schema(fields).is_err(), "{fields}");
        }
        let open = format!("<EdmSchema xmlns='{NAMESPACE}'><DataStore name='S'><Field name='A'/>");
        assert!(Schema::parse_xml(&open).unwrap_err().problem.contains("DataStore"));
    }
}
