//! Whether a record agrees with itself. A right checksum says that nobody changed a file since it was
//! written, not that who wrote it told the truth: what follows from other fields is computed again, and what
//! cannot be is held to its range.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::key_of;
use super::record::{Record, State};

/// Names what is wrong with a record that contradicts itself: a field and why.
pub fn fault(record: &Record) -> Option<String> {
    let Record { state, counts, metrics, digests, wall_seconds, .. } = record;
    if key_of(record) != record.key {
        return Some("key: it is not that of the cell, seed and data".to_owned());
    }
    if let Some(axis) = record.cell.false_axis() {
        return Some(format!("cell.axes: '{axis}' is not what the cell says"));
    }
    if !(0.0..=1e12).contains(wall_seconds) {
        return Some(format!("wall_seconds: {wall_seconds} is no number of seconds"));
    }
    if let Some(metrics) = metrics
        && let Some(what) = metrics.fault(counts.as_ref())
    {
        return Some(format!("metrics.{what}"));
    }
    if *state != State::Ok {
        return None;
    }
    let blank = [
        ("counts", counts.is_none()),
        ("metrics", metrics.is_none()),
        ("threshold", record.threshold.is_none()),
        ("digests.data", digests.data.is_empty()),
        ("digests.split", digests.split.is_empty()),
        ("digests.scores", digests.scores.is_empty()),
    ];
    let missing = blank.into_iter().find(|(_, blank)| *blank);
    missing.map(|(name, _)| format!("{name}: a run that ended well has it"))
}

/// JSON in which no object has a key twice: readers differ in which of the two they take.
///
/// # Errors
/// What is no JSON, and the first key that is there twice.
pub fn json(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str::<Unique>(text).map(|Unique(value)| value)
}

struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values).map(Self)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Unique(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Unique(value))) = entries.next_entry::<String, Unique>()? {
            if object.contains_key(&key) {
                let what = format!("the key `{}` is there twice", key.escape_debug());
                return Err(serde::de::Error::custom(what));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}
