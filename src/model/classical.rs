//! The tables of methods that fit and score without a network.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Table, WIDTH, is_width};

/// Principal component analysis; a row's score is its squared distance from the principal subspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PcaSpec {
    /// Dimensions of the subspace; no more than columns.
    pub components: usize,
}

impl Table for PcaSpec {
    fn protocol_version(&self) -> u32 {
        1
    }

    fn checks(&self) -> Vec<(&'static str, bool, &'static str)> {
        vec![("components", is_width(self.components), WIDTH)]
    }

    fn is_trained(&self) -> bool {
        false
    }
}
