//! Workloads, what they must leave behind, and the ways to interrupt them.
//!
//! A [`Workload`](step::Step) is a list of steps. [`expect`] says, from the plain model, what
//! may be found after each of them; [`power_cut`] and [`faults`] run it, interrupt it
//! everywhere, and compare. What is run is a [`Subject`]: the engine's store, or a toy
//! that shows that the harness itself finds what it should.

pub mod action;
pub mod expect;
pub mod faults;
pub mod play;
pub mod power_cut;
pub mod step;
pub mod store;
pub mod toy;
pub mod workloads;

use std::collections::BTreeMap;
use std::sync::Arc;

use expect::Allowed;
use sapwood::medium::Host;
use step::Step;

/// The size of a block in all workloads.
pub const BLOCK_BYTES: u64 = 4096;

/// What can be read of a store: volumes, tags and `NAME@N`, each with all its bytes. In
/// workloads a name with a colon is a tag, any other one a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    pub contents: BTreeMap<String, Arc<Vec<u8>>>,
}

impl Observed {
    /// Where `self` and `other` differ first, for people.
    pub fn difference(&self, other: &Observed) -> String {
        for (name, found) in &self.contents {
            let Some(expected) = other.contents.get(name) else {
                return format!("{name} should not be there");
            };
            if found.len() != expected.len() {
                return format!("{name} has {} bytes, not {}", found.len(), expected.len());
            }
            if let Some(at) = found.iter().zip(&**expected).position(|(a, b)| a != b) {
                let (block, found, expected) = (at as u64 / BLOCK_BYTES, found[at], expected[at]);
                return format!("block {block} of {name} holds {found:#04x}, not {expected:#04x}");
            }
        }
        match other.contents.keys().find(|name| !self.contents.contains_key(*name)) {
            Some(name) => format!("{name} is missing"),
            None => "no difference".to_owned(),
        }
    }
}

/// That what was found is one of the states that are allowed.
pub fn compare<'a>(
    found: &'a Result<Observed, String>,
    allowed: &[Allowed],
) -> Result<&'a Observed, String> {
    let found = found.as_ref().map_err(|error| format!("it does not open: {error}"))?;
    if allowed.iter().any(|state| state.admits(found)) {
        return Ok(found);
    }
    let differences: Vec<String> =
        allowed.iter().map(|state| found.difference(&state.observed)).collect();
    Err(format!("it opens to a state that is not allowed: {}", differences.join("; or: ")))
}

/// A store under test, with all its volumes open for writing.
pub trait Subject: Sized {
    /// Makes an empty store on a host that holds nothing.
    fn create(host: Arc<dyn Host>) -> Result<Self, String>;

    /// Opens the store and every volume in it for writing, recovering what there is to recover.
    fn open(host: Arc<dyn Host>) -> Result<Self, String>;

    /// Does one step; on an error nothing of it is acknowledged.
    fn perform(&mut self, step: &Step) -> Result<(), String>;

    /// Reads everything from outside, without opening anything for writing.
    fn look(host: Arc<dyn Host>) -> Result<Observed, String>;

    /// Reads everything.
    fn observe(&self) -> Result<Observed, String>;
}
