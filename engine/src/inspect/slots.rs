//! The two header slots, each judged for itself and then against the other.

use super::file::InspectedFile;
use crate::error::{Error, Result};
use crate::format::Header;
use crate::units::PAGE_BYTES;

/// What the two slots say.
#[derive(Debug)]
pub struct Slots {
    /// Each slot, or why it does not verify.
    pub slots: [Result<Header>; 2],
}

/// How the slots stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Both say the same: as it is at rest.
    Same,
    /// The slot of this number does not verify, the other one does.
    OneBroken(usize),
    /// The slot of this number is of an older generation.
    OneOlder(usize),
    /// Both verify and cannot be of one file's history.
    Contradiction,
    /// Neither verifies.
    BothBroken,
}

impl Slots {
    /// Reads both slots.
    pub fn read(file: &InspectedFile) -> Slots {
        let slot = |number: u64| {
            let offset = number * PAGE_BYTES;
            Header::decode(&*file.page(offset)?, number).map_err(file.located(offset))
        };
        Slots { slots: [slot(0), slot(1)] }
    }

    /// How they stand to each other.
    pub fn agreement(&self) -> Agreement {
        match &self.slots {
            [Ok(first), Ok(second)] if first == second => Agreement::Same,
            [Ok(first), Ok(second)] if first.layer != second.layer => Agreement::Contradiction,
            [Ok(first), Ok(second)] => match first.generation.cmp(&second.generation) {
                std::cmp::Ordering::Less => Agreement::OneOlder(0),
                std::cmp::Ordering::Equal => Agreement::Contradiction,
                std::cmp::Ordering::Greater => Agreement::OneOlder(1),
            },
            [Err(_), Ok(_)] => Agreement::OneBroken(0),
            [Ok(_), Err(_)] => Agreement::OneBroken(1),
            [Err(_), Err(_)] => Agreement::BothBroken,
        }
    }

    /// That one of them is of a newer version, which an older slot must not speak for.
    pub fn newer(&self) -> Option<&Error> {
        self.slots.iter().filter_map(|slot| slot.as_ref().err()).find(|error| error.is_newer())
    }

    /// The header: what the newer slot that verifies says.
    pub fn header(&self) -> Option<&Header> {
        if self.newer().is_some() {
            return None;
        }
        match self.agreement() {
            Agreement::Same | Agreement::OneOlder(1) | Agreement::OneBroken(1) => {
                self.slots[0].as_ref().ok()
            }
            Agreement::OneOlder(_) | Agreement::OneBroken(_) => self.slots[1].as_ref().ok(),
            Agreement::Contradiction | Agreement::BothBroken => None,
        }
    }

    /// The header, or the error of the first slot that has one.
    pub fn into_header(self) -> Result<Header> {
        if let Some(header) = self.header() {
            return Ok(header.clone());
        }
        match self.slots {
            [Err(error), _] | [_, Err(error)] if error.is_newer() => Err(error),
            [Err(error), _] | [_, Err(error)] => Err(error),
            [Ok(first), Ok(second)] => {
                let text = |header: &Header| {
                    format!("layer {} in generation {}", header.layer, header.generation)
                };
                Err(Error::corrupt("compare header slots", "slot 1", text(&second), text(&first))
                    .at_offset(PAGE_BYTES))
            }
        }
    }
}
