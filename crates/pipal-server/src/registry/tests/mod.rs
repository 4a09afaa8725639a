//! Tests of the registry over a store and a storage in memory.

mod bindings;
mod changes;
mod deletion;
mod memory;
mod model;

use super::testing::*;
use super::*;
use crate::api::common::{Catalog, Metadata};
use crate::api::database::{Entity, FieldType, IndexRule, IndexRuleBinding, Measure};
use std::collections::BTreeMap;
