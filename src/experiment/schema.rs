//! The JSON schema of an experiment file, made from the types that read it: editors explain keys by it and
//! mark what is wrong. It says what one file can say by itself; what keys mean together, `Experiment::parse`
//! checks.

use std::collections::BTreeMap;

use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::readings::{DesignTable, ReadingTable};
use super::{Choice, Controls, Papers, ProtocolSpec, TrainingSpec};
use crate::dataset::DatasetSpec;
use crate::model::ModelSpec;

/// An experiment of seedbed: data, a method, how it is judged, and the published figures that it is compared
/// with.
#[derive(JsonSchema)]
#[schemars(title = "Experiment")]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "its fields are read by the schema alone")]
struct File {
    /// The file's name without `.toml`; may be left out.
    name: Option<String>,
    /// A line for people.
    title: String,
    /// Papers whose files name this experiment in their figures; `compare` chooses figures otherwise.
    paper: Option<Papers>,
    /// The published figures that it is compared with: those that agree with all that is given.
    compare: Option<Choices>,
    /// How many seeds: 1, 2, … `runs`.
    #[schemars(range(min = 1, max = 100_000))]
    runs: u64,
    dataset: DatasetSpec,
    protocol: ProtocolSpec,
    model: ModelSpec,
    /// Of a network that seedbed trains; other methods have none.
    training: Option<TrainingSpec>,
    /// The grid: `"table.key" = [value, …]`. Each combination of values is a cell.
    axes: Option<BTreeMap<String, Value>>,
    /// What the source leaves open, a key each: further axes, with reasons.
    readings: Option<Vec<ReadingTable>>,
    /// Which combinations of the readings are run; all of them without it.
    design: Option<DesignTable>,
    controls: Option<Controls>,
    /// What `--quick` overrides: `runs` and `"table.key"`.
    quick: Option<BTreeMap<String, Value>>,
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "its fields are read by the schema alone")]
enum Choices {
    One(Choice),
    Several(Vec<Choice>),
}

/// Tables whose keys `[axes]` may give instead of the table.
const TABLES: [&str; 5] = ["DatasetSpec", "ModelSpec", "ProtocolSpec", "SplitSpec", "TrainingSpec"];

/// Returns the schema, as it is committed.
pub fn text() -> String {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<File>();
    relax(&mut schema);
    written(schema)
}

/// Returns a schema in the form in which it is committed.
pub(crate) fn written(mut schema: Schema) -> String {
    RecursiveTransform(plain).transform(&mut schema);
    let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text + "\n"
}

/// Leaves out what is about Rust's types and JSON and says nothing to the writer of a TOML file.
fn plain(schema: &mut Schema) {
    for key in ["format", "default"] {
        schema.remove(key);
    }
    let null = json!("null");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| *kind != null);
        if let [one] = &types[..] {
            let one = one.clone();
            schema.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(kinds)) = schema.get_mut("anyOf") {
        kinds.retain(|kind| kind.get("type") != Some(&null));
        if let [Value::Object(one)] = &kinds[..] {
            let one = one.clone();
            schema.remove("anyOf");
            schema.ensure_object().extend(one);
        }
    }
}

/// Lets keys of a table be missing that an axis can give.
fn relax(schema: &mut Schema) {
    let Some(Value::Object(definitions)) = schema.get_mut("$defs") else { return };
    for name in TABLES {
        let Some(definition) = definitions.get_mut(name) else { continue };
        require_kind_alone(definition);
    }
}

fn require_kind_alone(table: &mut Value) {
    let Value::Object(table) = table else { return };
    if let Some(Value::Array(required)) = table.get_mut("required") {
        required.retain(|key| key == "name" || key == "kind");
        if required.is_empty() {
            table.remove("required");
        }
    }
    if let Some(Value::Array(kinds)) = table.get_mut("oneOf") {
        kinds.iter_mut().for_each(require_kind_alone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of a schema that nothing explains, neither where they stand nor by their type.
    fn unexplained(text: &str) -> Vec<String> {
        let schema: Value = serde_json::from_str(text).expect("JSON");
        let definitions = schema["$defs"].as_object().expect("definitions");
        let explains = |key: &Value| {
            let of_type = key["$ref"].as_str().and_then(|name| name.rsplit('/').next());
            let of_type = of_type.is_some_and(|name| definitions[name]["description"].is_string());
            key["description"].is_string() || key["const"].is_string() || of_type
        };
        let mut found = Vec::new();
        let mut open = vec![&schema];
        while let Some(value) = open.pop() {
            if let Some(properties) = value["properties"].as_object() {
                let bare = properties.iter().filter(|(_, key)| !explains(key));
                found.extend(bare.map(|(name, _)| name.clone()));
            }
            match value {
                Value::Object(all) => open.extend(all.values()),
                Value::Array(all) => open.extend(all),
                _ => {}
            }
        }
        found
    }

    #[test]
    fn every_key_of_a_file_is_explained() {
        assert_eq!(unexplained(&text()), Vec::<String>::new());
        assert_eq!(unexplained(&crate::paper::schema::text()), Vec::<String>::new());
    }
}
