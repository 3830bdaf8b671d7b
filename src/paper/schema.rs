//! The JSON schema of a paper's file, made from the types that read it.

use schemars::SchemaGenerator;

use super::File;
use crate::experiment::schema::written;

/// Returns the schema, as it is committed.
pub fn text() -> String {
    written(SchemaGenerator::default().into_root_schema_for::<File>())
}
