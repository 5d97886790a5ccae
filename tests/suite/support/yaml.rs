//! Pages of YAML, as JSON.

use saphyr::{LoadableYamlNode, ScalarOwned, YamlOwned};
use serde_json::{Map, Value};

use super::tree;

/// Reads the documents of a YAML file.
pub(crate) fn documents(path: &str) -> Vec<Value> {
    let text = tree::read(path);
    let read = YamlOwned::load_from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    read.iter().map(json).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a page needs few of the kinds of nodes there are")]
fn json(node: &YamlOwned) -> Value {
    let key = |key: &YamlOwned| json(key).as_str().unwrap_or_else(|| panic!("a key is a text: {key:?}")).to_owned();
    match node {
        YamlOwned::Value(ScalarOwned::Null) => Value::Null,
        YamlOwned::Value(ScalarOwned::Boolean(value)) => Value::from(*value),
        YamlOwned::Value(ScalarOwned::Integer(value)) => Value::from(*value),
        YamlOwned::Value(ScalarOwned::String(value)) => Value::from(&**value),
        YamlOwned::Sequence(nodes) => nodes.iter().map(json).collect(),
        YamlOwned::Mapping(pairs) => {
            pairs.iter().map(|(name, node)| (key(name), json(node))).collect::<Map<_, _>>().into()
        }
        other => panic!("this is more than these pages need: {other:?}"),
    }
}
