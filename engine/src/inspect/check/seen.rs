//! What the look at each layer by itself leaves for the look at the whole store.

use std::collections::HashMap;

use super::layer::{Looked, Lost};
use crate::inspect::report::CheckReport;
use crate::units::LayerId;

/// By layer.
#[derive(Debug, Default)]
pub struct Seen {
    /// Of thinned layers: what does not verify.
    pub lost: HashMap<LayerId, Vec<Lost>>,
    /// Of each layer that maps blocks of others: how far into the file of each source, in blocks.
    pub reach: HashMap<LayerId, Vec<u64>>,
}

impl Seen {
    /// Takes what was seen of one layer.
    pub fn take(&mut self, id: LayerId, looked: Looked, report: &mut CheckReport) {
        report.absorb(looked.report);
        if !looked.lost.is_empty() {
            self.lost.insert(id, looked.lost);
        }
        if !looked.reach.is_empty() {
            self.reach.insert(id, looked.reach);
        }
    }
}
