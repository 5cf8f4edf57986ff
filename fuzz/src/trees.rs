//! Trees of files: the model and the play of the whole-system tests, with steps drawn from bytes,
//! and a real small tree whose pages can be spoiled.

use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};

#[path = "../../tests/trees/model.rs"]
pub mod model;
pub mod pages;
#[path = "../../tests/trees/play.rs"]
pub mod play;
#[path = "../../tests/trees/step.rs"]
pub mod step;
#[path = "../../tests/trees/subject.rs"]
pub mod subject;

use crate::world::options;
use step::{SIZE_MAX, Step};

/// How many steps of an input are played.
const STEPS_MAX: usize = 64;

/// What is done to a tree.
#[derive(Debug)]
pub struct Steps(pub Vec<Step>);

impl<'a> Arbitrary<'a> for Steps {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Steps> {
        let mut steps = Vec::new();
        while !bytes.is_empty() && steps.len() < STEPS_MAX {
            steps.push(step(bytes)?);
        }
        Ok(Steps(steps))
    }
}

fn step(bytes: &mut Unstructured<'_>) -> Result<Step> {
    let at = |bytes: &mut Unstructured<'_>| u8::arbitrary(bytes).map(usize::from);
    let name = |bytes: &mut Unstructured<'_>| bytes.int_in_range(0..=11_u8);
    let size = |bytes: &mut Unstructured<'_>| bytes.int_in_range(0..=SIZE_MAX - 1);
    Ok(match bytes.int_in_range(0..=15_u8)? {
        0 | 1 => {
            Step::Make { at: at(bytes)?, name: name(bytes)?, kind: bytes.int_in_range(0..=5)? }
        }
        2 | 3 => Step::Write {
            at: at(bytes)?,
            offset: size(bytes)?,
            length: size(bytes)?,
            value: u8::arbitrary(bytes)?,
        },
        4 => Step::Truncate { at: at(bytes)?, size: size(bytes)? },
        5 => Step::Zero { at: at(bytes)?, offset: size(bytes)?, length: size(bytes)? },
        6 => {
            // Blocks are shared only where both sides begin at the same place in one.
            let unit = if bool::arbitrary(bytes)? { 4096 } else { 1000 };
            Step::Copy {
                at: at(bytes)?,
                from: bytes.int_in_range(0..=7)? * unit,
                to_file: at(bytes)?,
                to: bytes.int_in_range(0..=7)? * unit,
                length: size(bytes)?,
            }
        }
        7 => Step::Link { at: at(bytes)?, to: at(bytes)?, name: name(bytes)? },
        8 => Step::Remove { at: at(bytes)? },
        9 => Step::Rename {
            at: at(bytes)?,
            to: at(bytes)?,
            name: name(bytes)?,
            exchange: bool::arbitrary(bytes)?,
        },
        10 => Step::Attributes {
            at: at(bytes)?,
            // Without set-group-id, which directories give on.
            permissions: bytes.int_in_range(0..=0o1777)?,
            owner: bytes.int_in_range(0..=4)?,
        },
        11 => Step::SetExtended {
            at: at(bytes)?,
            name: bytes.int_in_range(0..=2)?,
            length: bytes.int_in_range(0..=4999)?,
            value: u8::arbitrary(bytes)?,
        },
        12 => Step::RemoveExtended { at: at(bytes)?, name: bytes.int_in_range(0..=2)? },
        13 => Step::Flush,
        14 => match bool::arbitrary(bytes)? {
            true => Step::Snapshot,
            false => Step::Reopen,
        },
        _ => Step::Crash,
    })
}
