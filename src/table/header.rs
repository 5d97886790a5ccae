//! The header of a table, matched to the columns of its schema.
//!
//! The order of the columns is free. *Invariant:* no text of the header reaches
//! a message: what was taken for a header may be a row of clear values.

use super::schema::Schema;

/// Where the columns of a schema stand in the rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    places: Vec<usize>,
}

impl Columns {
    /// Matches the names of a header to a schema: as they are written, else
    /// whatever their case. White space around a name is passed over.
    ///
    /// # Errors
    ///
    /// Says which names are missing and which columns are not wanted.
    pub fn of(header: &[&[u8]], count: usize, schema: &Schema) -> Result<Self, HeaderError> {
        let names = names(header);
        let mut taken = vec![false; names.len()];
        let mut places = Vec::with_capacity(schema.fields().len());
        let mut missing = Vec::new();
        for field in schema.fields() {
            match find(&names, &field.name).map_err(|_| HeaderError::Twice { name: field.name.clone() })? {
                Some(place) => {
                    taken[place] = true;
                    places.push(place);
                }
                None => missing.push(field.name.clone()),
            }
        }
        if places.is_empty() {
            return Err(HeaderError::None { expected: schema.names() });
        }
        if !missing.is_empty() {
            return Err(HeaderError::Missing { names: missing });
        }
        let unknown: Vec<usize> = (0..taken.len()).filter(|place| !taken[*place]).map(|place| place + 1).collect();
        if !unknown.is_empty() || count != places.len() {
            return Err(HeaderError::Unknown { places: unknown, expected: places.len(), found: count });
        }
        Ok(Self { places })
    }

    /// Returns, for each column of the schema, its place in a row.
    pub fn places(&self) -> &[usize] {
        &self.places
    }
}

/// How a header and a schema differ, all of it at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Columns of the header.
    pub count: usize,
    /// Names of the schema that the header lacks.
    pub missing: Vec<String>,
    /// Places of the columns, from 1, that the schema lacks, as far as they were looked at.
    pub unknown: Vec<usize>,
    /// Names of the schema that the header has more than once.
    pub twice: Vec<String>,
    /// Whether the columns stand in the schema's order.
    pub is_in_order: bool,
}

impl Comparison {
    /// Compares the names of a header with a schema, as [`Columns::of`] matches them.
    pub fn of(header: &[&[u8]], count: usize, schema: &Schema) -> Self {
        let names = names(header);
        let mut comparison = Self { count, is_in_order: true, ..Self::default() };
        let mut taken = vec![false; names.len()];
        let mut last = None;
        for field in schema.fields() {
            let name = || field.name.clone();
            match find(&names, &field.name) {
                Ok(Some(place)) => {
                    taken[place] = true;
                    comparison.is_in_order &= last.is_none_or(|last| last < place);
                    last = Some(place);
                }
                Ok(None) => comparison.missing.push(name()),
                Err(places) => {
                    places.into_iter().for_each(|place| taken[place] = true);
                    comparison.twice.push(name());
                }
            }
        }
        comparison.unknown = (0..taken.len()).filter(|place| !taken[*place]).map(|place| place + 1).collect();
        comparison
    }

    /// Returns whether the header has the schema's columns and no other.
    pub fn fits(&self, schema: &Schema) -> bool {
        self.missing.is_empty()
            && self.unknown.is_empty()
            && self.twice.is_empty()
            && self.count == schema.fields().len()
    }
}

fn names<'a>(header: &[&'a [u8]]) -> Vec<&'a str> {
    header.iter().map(|name| std::str::from_utf8(name).unwrap_or_default().trim()).collect()
}

/// Finds the place of a name; fails with all of them where it has several.
fn find(names: &[&str], wanted: &str) -> Result<Option<usize>, Vec<usize>> {
    let lower = wanted.to_lowercase();
    let exact = |name: &&str| **name == *wanted;
    let alike = |name: &&str| name.to_lowercase() == lower;
    let only = |matches: &dyn Fn(&&str) -> bool| {
        let places: Vec<usize> = (0..names.len()).filter(|place| matches(&names[*place])).collect();
        if places.len() > 1 { Err(places) } else { Ok(places.first().copied()) }
    };
    Ok(only(&exact)?.or(only(&alike)?))
}

/// Why a header does not fit its schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The table has no line at all.
    #[error("read the header: the table is empty; export it again, its first line naming the columns")]
    Empty,
    /// The first line cannot be read as a record.
    #[error("read the header: its line cannot be read ({0}); correct the first line of the table")]
    Unreadable(super::rejects::Fault),
    /// No name fits, so the first line is probably no header.
    #[error(
        "read the header: the first line names none of the schema's columns ({}); check that the table begins with a \
         header, and its separator", expected.join(", ")
    )]
    None {
        /// The names the schema has.
        expected: Vec<String>,
    },
    /// Names of the schema that the header lacks.
    #[error("read the header: columns of the schema are missing ({}); add them to the table, or correct the schema", names.join(", "))]
    Missing {
        /// Their names.
        names: Vec<String>,
    },
    /// Columns that the schema lacks.
    #[error(
        "read the header: it has {found} columns and the schema {expected}; remove the columns the schema does not \
         name (number {}), or add them to it",
        list(places)
    )]
    Unknown {
        /// Their places, from 1, as far as they were looked at.
        places: Vec<usize>,
        /// Columns of the schema.
        expected: usize,
        /// Columns of the header.
        found: usize,
    },
    /// Two columns of one name.
    #[error("read the header: it names the column `{name}` twice; give each column a name of its own")]
    Twice {
        /// The schema's name for it.
        name: String,
    },
}

fn list(places: &[usize]) -> String {
    places.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::schema::Field;

    fn columns(header: &[&str]) -> Result<Vec<usize>, HeaderError> {
        let fields = ["Id", "Name", "Born"].map(Field::named).to_vec();
        let schema = Schema::from_fields("S", fields).unwrap();
        let header: Vec<&[u8]> = header.iter().map(|name| name.as_bytes()).collect();
        Ok(Columns::of(&header, header.len(), &schema)?.places().to_vec())
    }

    #[test]
    fn columns_are_found_in_any_order_and_case() {
        assert_eq!(columns(&["Born", " NAME ", "Id"]), Ok(vec![2, 1, 0]));
    }

    #[test]
    fn a_comparison_tells_every_difference_and_fits_where_the_columns_do() {
        let schema = Schema::from_fields("S", ["Id", "Name", "Born"].map(Field::named).to_vec()).unwrap();
        let compare = |header: &[&str]| {
            let names: Vec<&[u8]> = header.iter().map(|name| name.as_bytes()).collect();
            let comparison = Comparison::of(&names, names.len(), &schema);
            assert_eq!(comparison.fits(&schema), columns(header).is_ok(), "{header:?}");
            comparison
        };
        assert!(compare(&["Id", "name", "Born"]).is_in_order);
        assert!(!compare(&["Born", "Id", "Name"]).is_in_order);
        let comparison = compare(&["Canary", "Born", "x", "id", "ID", "y"]);
        assert_eq!((comparison.missing, comparison.twice), (vec!["Name".to_owned()], vec!["Id".to_owned()]));
        assert_eq!(comparison.unknown, [1, 3, 6], "what stands twice is not unknown");
    }

    #[test]
    fn a_header_that_does_not_fit_is_refused_without_quoting_it() {
        assert!(matches!(columns(&["Id", "Name"]), Err(HeaderError::Missing { names }) if names == ["Born"]));
        assert!(
            matches!(columns(&["Id", "Canary", "Name", "Born"]), Err(HeaderError::Unknown { places, .. }) if places == [2])
        );
        assert!(matches!(columns(&["Id", "Name", "Born", "Id"]), Err(HeaderError::Twice { .. })));
        assert!(matches!(columns(&["ID", "id", "Name", "Born"]), Err(HeaderError::Twice { .. })));
        assert!(!columns(&["Canary", "1", "2"]).unwrap_err().to_string().contains("Canary"));
    }
}
