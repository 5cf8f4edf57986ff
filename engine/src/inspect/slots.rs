//! The two header slots, each judged for itself and then against the other.

use super::file::InspectedFile;
use crate::error::{Error, Result};
use crate::format::fields::first_nonzero;
use crate::format::header::HEADER_BYTES;
use crate::format::{Header, Record};
use crate::units::{BlockSize, FileBlock, LayerId, PAGE_BYTES};

/// The least that a device writes as a whole, in bytes.
const SECTOR_BYTES: usize = 512;

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

    /// The header: what the newer slot that verifies says.
    pub fn header(&self) -> Option<&Header> {
        match self.agreement() {
            Agreement::Same | Agreement::OneOlder(1) | Agreement::OneBroken(1) => {
                self.slots[0].as_ref().ok()
            }
            Agreement::OneOlder(_) | Agreement::OneBroken(_) => self.slots[1].as_ref().ok(),
            Agreement::Contradiction | Agreement::BothBroken => None,
        }
    }

    /// Whether a file without a whole slot was made and never synced, so that nothing in it was
    /// ever acknowledged: it is too short for slots, or each slot begins with zeros or with the first
    /// generation of layer `id`, and where its first record goes there is none.
    pub fn never_synced(&self, file: &InspectedFile, id: LayerId) -> Result<bool> {
        if self.agreement() != Agreement::BothBroken {
            return Ok(false);
        }
        if file.length() < HEADER_BYTES {
            return Ok(true);
        }
        for slot in 0..2 {
            let page = file.page(slot * PAGE_BYTES)?;
            let nothing = first_nonzero(&page[..SECTOR_BYTES]).is_none();
            let first = page[8..24] == id.0 && page[24..32] == 1_u64.to_le_bytes();
            if !nothing && !first {
                return Ok(false);
            }
        }
        for log2 in 12..=16 {
            let size = BlockSize::from_bytes(1 << log2)?;
            let place = FileBlock(size.blocks_for(HEADER_BYTES));
            let offset = place.byte_offset(size);
            if offset + PAGE_BYTES <= file.length()
                && Record::decode(&*file.page(offset)?, id, place).is_ok()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The header, or the error of the first slot that has one.
    pub fn into_header(self) -> Result<Header> {
        if let Some(header) = self.header() {
            return Ok(header.clone());
        }
        match self.slots {
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
