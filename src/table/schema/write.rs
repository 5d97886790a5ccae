//! Writes a schema as EdmSchema XML, as the service's own tools read it.

use std::fmt::Write as _;

use quick_xml::escape::escape;

use super::Schema;

/// Returns the schema as EdmSchema XML that reads back as the same schema.
pub(super) fn to_xml(schema: &Schema) -> String {
    let mut xml = String::from("<EdmSchema xmlns=\"http://schemas.microsoft.com/office/2018/edm\">\n");
    let mut line = |text: String| writeln!(xml, "{text}").expect("a String takes whatever is written to it");
    line(format!("  <DataStore name=\"{}\" description=\"\" version=\"1\">", escaped(schema.store())));
    for field in schema.fields() {
        let mut written = format!("    <Field name=\"{}\"", escaped(&field.name));
        if field.searchable {
            written.push_str(" searchable=\"true\"");
        }
        if field.case_insensitive {
            written.push_str(" caseInsensitive=\"true\"");
        }
        if !field.ignored_delimiters.is_empty() {
            let delimiters: Vec<String> = field.ignored_delimiters.iter().map(char::to_string).collect();
            let delimiters = delimiters.join(",");
            written.push_str(&format!(" ignoredDelimiters=\"{}\"", escaped(&delimiters)));
        }
        line(format!("{written} />"));
    }
    line("  </DataStore>".to_owned());
    line("</EdmSchema>".to_owned());
    xml
}

/// Escapes the value of an attribute. White space too: as it is, every reader of
/// XML takes it for a space.
fn escaped(text: &str) -> String {
    escape(text).replace('\t', "&#9;").replace('\n', "&#10;").replace('\r', "&#13;")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Field, Schema};

    fn field() -> impl Strategy<Value = Field> {
        let name = "[A-Za-z][A-Za-z0-9]{0,20}";
        let delimiters = proptest::collection::btree_set(
            proptest::sample::select(vec!['-', '/', '*', '#', '^', '&', '<', '\'', ' ', '\t', '\n', '\r']),
            0..5,
        );
        (name, any::<bool>(), any::<bool>(), delimiters).prop_map(|(name, searchable, case_insensitive, delimiters)| {
            Field { name, searchable, case_insensitive, ignored_delimiters: delimiters.into_iter().collect() }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_the_same(fields in proptest::collection::vec(field(), 1..8), store in "[A-Za-z&<>\"]{1,20}") {
            let Ok(schema) = Schema::from_fields(store, fields) else { return Ok(()) };
            prop_assert_eq!(Schema::parse_xml(&schema.to_xml()), Ok(schema));
        }
    }

    #[test]
    fn white_space_that_is_ignored_is_escaped() {
        let field = Field { ignored_delimiters: vec!['-', '\t', '\n', '\r', ' '], ..Field::named("A") };
        let schema = Schema::from_fields("Store", vec![field]).unwrap();
        assert!(schema.to_xml().contains("ignoredDelimiters=\"-,&#9;,&#10;,&#13;, \""), "{}", schema.to_xml());
        assert_eq!(Schema::parse_xml(&schema.to_xml()), Ok(schema));
    }
}
