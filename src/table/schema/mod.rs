//! The schema of a data store: which columns a table has, in which order their
//! digests stand in a row, and how each column's values are normalised.
//!
//! # Invariants
//!
//! A [`Schema`] can be made only by [`Schema::parse_xml`] and
//! [`Schema::from_fields`], which hold it to the service's documented limits,
//! so whoever has one need not check again.

use serde::{Deserialize, Serialize};

mod drift;
mod write;
mod xml;

/// The most columns a data store may have; a documented limit of the service.
pub const COLUMN_LIMIT: usize = 32;

/// The most columns that may be searched for; a documented limit of the service.
pub const SEARCHABLE_LIMIT: usize = 10;

/// The longest schema text that is read, in bytes. One at the service's limits has a few KiB.
pub const SCHEMA_TEXT_LIMIT: u64 = 1 << 20;

/// The columns of one data store, in the order their digests stand in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    store: String,
    fields: Vec<Field>,
}

/// One column of a data store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name, as in the table's header.
    pub name: String,
    /// Whether content is searched for its values.
    #[serde(default)]
    pub searchable: bool,
    /// Whether its values are lower-cased before they are hashed.
    #[serde(default)]
    pub case_insensitive: bool,
    /// Characters removed from its values before they are hashed.
    #[serde(default)]
    pub ignored_delimiters: Vec<char>,
}

impl Schema {
    /// Reads a schema out of EdmSchema XML.
    ///
    /// # Errors
    ///
    /// Says the line, the element and what is accepted there.
    pub fn parse_xml(text: &str) -> Result<Self, SchemaError> {
        xml::parse(text)
    }

    /// Makes a schema of columns learnt elsewhere, for example from the service.
    ///
    /// # Errors
    ///
    /// Says which of the service's limits the columns break.
    pub fn from_fields(store: impl Into<String>, fields: Vec<Field>) -> Result<Self, SchemaError> {
        let store = store.into();
        check(&store, &fields).map_err(SchemaError::anywhere)?;
        Ok(Self { store, fields })
    }

    /// Returns the schema as EdmSchema XML.
    pub fn to_xml(&self) -> String {
        write::to_xml(self)
    }

    /// Returns the name of the data store.
    pub fn store(&self) -> &str {
        &self.store
    }

    /// Returns the columns, in the order their digests stand in a row.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Returns the names of the columns, in the order of [`Schema::fields`].
    pub fn names(&self) -> Vec<String> {
        self.fields.iter().map(|field| field.name.clone()).collect()
    }
}

impl Field {
    /// Makes a column that is neither searched nor normalised beyond the rule for all.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

/// Why a schema is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read the schema{}: {problem}", .line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct SchemaError {
    /// The line of the text, from 1, if the schema is a text.
    pub line: Option<usize>,
    /// What is wrong, and what would be accepted.
    pub problem: String,
}

impl SchemaError {
    const fn anywhere(problem: String) -> Self {
        Self { line: None, problem }
    }
}

fn check(store: &str, fields: &[Field]) -> Result<(), String> {
    if store.trim().is_empty() {
        return Err("the data store has no name; give it the name it has at the service".to_owned());
    }
    if store.contains(char::is_control) {
        return Err(
            "the name of the data store holds a control character; give it the name it has at the service".to_owned()
        );
    }
    if fields.is_empty() {
        return Err(format!("data store `{store}` has no field; add one <Field> for each column of the table"));
    }
    if fields.len() > COLUMN_LIMIT {
        let found = fields.len();
        return Err(format!("data store `{store}` has {found} fields; the service takes at most {COLUMN_LIMIT}"));
    }
    let searchable = fields.iter().filter(|field| field.searchable).count();
    if searchable > SEARCHABLE_LIMIT {
        return Err(format!(
            "data store `{store}` has {searchable} searchable fields; the service takes at most {SEARCHABLE_LIMIT}"
        ));
    }
    for (at, field) in fields.iter().enumerate() {
        check_field(field)?;
        if fields[..at].iter().any(|other| other.name.to_lowercase() == field.name.to_lowercase()) {
            return Err(format!("field `{}` stands twice; each column needs a name of its own", field.name));
        }
    }
    Ok(())
}

fn check_field(field: &Field) -> Result<(), String> {
    let name = &field.name;
    if name.is_empty() {
        return Err("a field has no name; give it the name of its column in the table's header".to_owned());
    }
    if name.contains(|character: char| character.is_whitespace() || character.is_control() || character == '_') {
        return Err(format!("field `{name}` has a space or an underscore in its name; the service takes neither"));
    }
    let refused =
        |character: &&char| character.is_alphanumeric() || matches!(character, '"' | ',') || **character == '\0';
    if let Some(character) = field.ignored_delimiters.iter().find(refused) {
        return Err(format!(
            "field `{name}` ignores {character:?}; letters, digits, double quotes and commas cannot be ignored"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(count: usize) -> Vec<Field> {
        (0..count).map(|number| Field { searchable: number < 10, ..Field::named(&format!("F{number}")) }).collect()
    }

    #[test]
    fn the_limits_of_the_service_are_allowed_and_nothing_beyond() {
        assert!(Schema::from_fields("Store", fields(COLUMN_LIMIT)).is_ok());
        assert!(Schema::from_fields("Store", fields(COLUMN_LIMIT + 1)).is_err());
        let mut searchable = fields(COLUMN_LIMIT);
        searchable[SEARCHABLE_LIMIT].searchable = true;
        assert!(Schema::from_fields("Store", searchable).is_err());
    }

    #[test]
    fn names_the_service_refuses_are_refused() {
        for name in ["", "Patient ID", "Patient_ID", "Patient\u{a0}ID", "F1\n"] {
            assert!(Schema::from_fields("Store", vec![Field::named(name)]).is_err(), "{name:?}");
        }
        assert!(Schema::from_fields("Store", vec![Field::named("Id"), Field::named("ID")]).is_err());
        assert!(Schema::from_fields("Store", vec![]).is_err());
        for store in [" ", "S\0", "S\n"] {
            assert!(Schema::from_fields(store, vec![Field::named("Id")]).is_err(), "{store:?}");
        }
    }
}
