//! How two schemas of one data store disagree, in words.
//!
//! A table that is hashed by another schema than the data store has matches
//! nothing, or the wrong thing, and nobody sees it until content goes by
//! unrecognised. The order of columns is no disagreement: names decide.

use super::{Field, Schema};

impl Schema {
    /// Returns what `theirs`, the schema of the data store itself, has otherwise;
    /// nothing if they agree.
    pub fn drift(&self, theirs: &Self) -> Vec<String> {
        let find = |fields: &[Field], name: &str| fields.iter().find(|field| field.name == name).cloned();
        let mut drift = Vec::new();
        for ours in self.fields() {
            match find(theirs.fields(), &ours.name) {
                None => drift.push(format!("column {} is not in the data store", ours.name)),
                Some(theirs) => differences(ours, &theirs, &mut drift),
            }
        }
        for field in theirs.fields().iter().filter(|field| find(self.fields(), &field.name).is_none()) {
            drift.push(format!("column {} of the data store is not in the schema", field.name));
        }
        drift
    }
}

fn differences(ours: &Field, theirs: &Field, drift: &mut Vec<String>) {
    let name = &ours.name;
    for (attribute, ours, theirs) in [
        ("searchable", ours.searchable, theirs.searchable),
        ("caseInsensitive", ours.case_insensitive, theirs.case_insensitive),
    ] {
        if ours != theirs {
            drift.push(format!("column {name} has {attribute}=\"{ours}\", in the data store \"{theirs}\""));
        }
    }
    let sorted = |field: &Field| {
        let mut delimiters = field.ignored_delimiters.clone();
        delimiters.sort_unstable();
        delimiters.dedup();
        delimiters.into_iter().map(String::from).collect::<Vec<_>>().join(",")
    };
    let (ours, theirs) = (sorted(ours), sorted(theirs));
    if ours != theirs {
        drift.push(format!("column {name} has ignoredDelimiters=\"{ours}\", in the data store \"{theirs}\""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(fields: &[Field]) -> Schema {
        Schema::from_fields("Patients", fields.to_vec()).unwrap()
    }

    #[test]
    fn order_and_repetition_are_no_drift_and_everything_else_is_named() {
        let id = Field { searchable: true, ignored_delimiters: vec!['-', '/'], ..Field::named("Id") };
        let other = Field { ignored_delimiters: vec!['/', '-'], ..id.clone() };
        let ours = schema(&[id.clone(), Field::named("Name")]);
        assert_eq!(ours.drift(&schema(&[Field::named("Name"), other])), Vec::<String>::new());

        let theirs = Field { searchable: false, case_insensitive: true, ignored_delimiters: vec!['-'], ..id };
        let drift = ours.drift(&schema(&[theirs, Field::named("Phone")]));
        for (part, count) in [
            ("column Id", 3),
            ("searchable=\"true\", in the data store \"false\"", 1),
            ("caseInsensitive", 1),
            ("ignoredDelimiters=\"-,/\", in the data store \"-\"", 1),
            ("column Name is not in the data store", 1),
            ("column Phone of the data store is not in the schema", 1),
        ] {
            assert_eq!(drift.iter().filter(|line| line.contains(part)).count(), count, "{part}: {drift:?}");
        }
    }
}
