//! EdmSchema files: what is taken stays within the service's limits, and means
//! the same when it is written down again.

use std::fmt::Write;

use edm_agent::table::schema::{COLUMN_LIMIT, SEARCHABLE_LIMIT, Schema};

/// Takes the bytes as an EdmSchema file.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(schema) = Schema::parse_xml(text) else { return };
    let fields = schema.fields();
    assert!((1..=COLUMN_LIMIT).contains(&fields.len()));
    assert!(fields.iter().filter(|field| field.searchable).count() <= SEARCHABLE_LIMIT);
    for field in fields {
        assert!(!field.name.is_empty() && !field.name.contains(['_', ' ']), "{:?}", field.name);
        assert!(!field.ignored_delimiters.iter().any(|character| character.is_alphanumeric()));
    }
    let again = Schema::parse_xml(&written(&schema)).expect("what was taken is taken again");
    assert_eq!(again, schema);
}

fn written(schema: &Schema) -> String {
    let mut text = format!(
        "<EdmSchema xmlns=\"http://schemas.microsoft.com/office/2018/edm\"><DataStore name=\"{}\">",
        escaped(schema.store())
    );
    for field in schema.fields() {
        let ignored: Vec<String> = field.ignored_delimiters.iter().map(|it| escaped(&it.to_string())).collect();
        let (name, searchable, lower) = (escaped(&field.name), field.searchable, field.case_insensitive);
        write!(text, "<Field name=\"{name}\" searchable=\"{searchable}\" caseInsensitive=\"{lower}\" ")
            .expect("a text");
        write!(text, "ignoredDelimiters=\"{}\"/>", ignored.join(",")).expect("a text");
    }
    text + "</DataStore></EdmSchema>"
}

/// Writes every character that is not plain as a reference, so that no reading
/// of white space changes it.
fn escaped(text: &str) -> String {
    let escape = |character: char| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' => character.to_string(),
        _ => format!("&#{};", u32::from(character)),
    };
    text.chars().map(escape).collect()
}
