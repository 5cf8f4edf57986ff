//! The picture of a volume: one row of cells, each showing the layer that owns most of it.
//!
//! A cell that holds any data shows data, one that holds zeros but no data shows zeros: a small
//! extent in a large volume stays visible.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use sapwood::units::LayerId;

use crate::output::Text;
use crate::output::colour::LAYER_COLOURS;

const HOLE: &str = "·";
const ZERO: &str = "0";
const OTHERS: &str = "*";
const LETTERS: &str = "ABCDEFGHIJKL";
const OTHERS_COLOUR: u8 = 250;

/// What a range holds, and who owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing anywhere in the chain.
    Hole,
    /// Reads as zeros, from this layer.
    Zero,
    /// Data of this layer.
    Data(Owner),
}

/// A layer of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// How far below the top it lies; 0 is the top.
    pub depth: u64,
    /// Its id.
    pub layer: LayerId,
}

/// A picture under construction: extents go in, in the order of their addresses.
pub struct MapPicture {
    blocks: u64,
    cells: Vec<Content>,
    current: Cell,
    totals: BTreeMap<Owner, u64>,
}

/// The cell that the latest extent ends in.
#[derive(Default)]
struct Cell {
    index: usize,
    data: HashMap<Owner, u64>,
    has_zeros: bool,
}

impl Cell {
    fn content(&self) -> Content {
        // Of owners with equal shares the one nearest to the top is shown.
        let most =
            self.data.iter().max_by_key(|(owner, blocks)| (**blocks, u64::MAX - owner.depth));
        match most {
            Some((owner, _)) => Content::Data(*owner),
            None if self.has_zeros => Content::Zero,
            None => Content::Hole,
        }
    }
}

impl MapPicture {
    /// A picture of `blocks` blocks in at most `width` cells.
    pub fn new(blocks: u64, width: u16) -> MapPicture {
        let cells = usize::from(width).min(usize::try_from(blocks).unwrap_or(usize::MAX));
        MapPicture {
            blocks,
            cells: vec![Content::Hole; cells],
            current: Cell::default(),
            totals: BTreeMap::new(),
        }
    }

    /// Adds the extent of `length` blocks at `start`; extents come in order.
    pub fn add(&mut self, start: u64, length: u64, content: Content) {
        if let Content::Data(owner) = content {
            *self.totals.entry(owner).or_default() += length;
        }
        let end = start.saturating_add(length).min(self.blocks);
        let mut at = start;
        while at < end {
            let index = self.cell_of(at);
            if index != self.current.index {
                self.close_cell();
                self.current.index = index;
            }
            let cell_end = self.cell_start(index + 1).min(end);
            match content {
                Content::Hole => {}
                Content::Zero => self.current.has_zeros = true,
                Content::Data(owner) => {
                    *self.current.data.entry(owner).or_default() += cell_end - at;
                }
            }
            at = cell_end;
        }
    }

    /// Writes the row and its legend; `name` tells how people call a layer.
    pub fn write(
        mut self,
        text: &mut Text<'_>,
        block_bytes: u64,
        name: impl Fn(&Owner) -> String,
    ) -> io::Result<()> {
        self.close_cell();
        let shown = self.shown_owners();
        for content in &self.cells {
            let glyph = glyph(text, &shown, content);
            write!(text, "{glyph}")?;
        }
        writeln!(text)?;
        for owner in &shown {
            let size = text.units.size(self.totals[owner].saturating_mul(block_bytes));
            let glyph = glyph(text, &shown, &Content::Data(*owner));
            writeln!(text, "  {glyph}  {}  {size}", name(owner))?;
        }
        let others = self.totals.len() - shown.len();
        if others > 0 {
            let blocks: u64 =
                self.totals.iter().filter(|(o, _)| !shown.contains(o)).map(|(_, b)| b).sum();
            let size = text.units.size(blocks.saturating_mul(block_bytes));
            let glyph = text.palette.paint(OTHERS_COLOUR, OTHERS);
            writeln!(text, "  {glyph}  {others} other layers  {size}")?;
        }
        for (content, what) in [(Content::Zero, "zeros"), (Content::Hole, "nothing there")] {
            if self.cells.contains(&content) {
                let glyph = glyph(text, &shown, &content);
                writeln!(text, "  {glyph}  {what}")?;
            }
        }
        Ok(())
    }

    fn cell_of(&self, block: u64) -> usize {
        (u128::from(block) * self.cells.len() as u128 / u128::from(self.blocks)) as usize
    }

    /// The first block whose cell is `index`: the inverse of [`MapPicture::cell_of`].
    fn cell_start(&self, index: usize) -> u64 {
        (index as u128 * u128::from(self.blocks)).div_ceil(self.cells.len() as u128) as u64
    }

    fn close_cell(&mut self) {
        if let Some(cell) = self.cells.get_mut(self.current.index) {
            *cell = self.current.content();
        }
        self.current = Cell { index: self.current.index, ..Cell::default() };
    }

    /// The owners with a glyph of their own, from the top down: as many as there are colours,
    /// those that own most.
    pub fn shown_owners(&self) -> Vec<Owner> {
        let mut owners: Vec<_> = self.totals.iter().collect();
        owners.sort_by_key(|(owner, blocks)| (u64::MAX - **blocks, **owner));
        let mut shown: Vec<_> =
            owners.into_iter().take(LAYER_COLOURS.len()).map(|(owner, _)| *owner).collect();
        shown.sort();
        shown
    }
}

fn glyph(text: &Text<'_>, shown: &[Owner], content: &Content) -> String {
    match content {
        Content::Hole => text.palette.faint(HOLE),
        Content::Zero => text.palette.faint(ZERO),
        Content::Data(owner) => match shown.iter().position(|candidate| candidate == owner) {
            Some(index) => text.palette.paint(LAYER_COLOURS[index], &LETTERS[index..=index]),
            None => text.palette.paint(OTHERS_COLOUR, OTHERS),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::colour::Palette;
    use crate::output::size::Units;

    fn owner(depth: u64) -> Owner {
        Owner { depth, layer: LayerId([depth as u8; 16]) }
    }

    fn draw(blocks: u64, width: u16, extents: &[(u64, u64, Content)]) -> String {
        let mut picture = MapPicture::new(blocks, width);
        for &(start, length, content) in extents {
            picture.add(start, length, content);
        }
        let mut bytes = Vec::new();
        let mut text = Text::new(&mut bytes, Units::Iec, Palette::Plain);
        picture.write(&mut text, 4096, |owner| format!("layer {}", owner.depth)).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_row_shows_who_owns_most_of_each_cell() {
        let picture = draw(
            80,
            8,
            &[
                (0, 14, Content::Data(owner(0))),
                (14, 26, Content::Data(owner(2))),
                (40, 10, Content::Zero),
                (55, 1, Content::Data(owner(1))),
            ],
        );
        assert_eq!(
            picture,
            "ACCC0B··\n  A  layer 0  56 KiB\n  B  layer 1  4 KiB\n  C  layer 2  104 KiB\n  \
             0  zeros\n  ·  nothing there\n"
        );
    }

    #[test]
    fn volumes_smaller_and_larger_than_the_row() {
        assert!(draw(3, 8, &[(1, 1, Content::Data(owner(0)))]).starts_with("·A·\n"));
        assert_eq!(draw(0, 8, &[]), "\n");
        let whole = [(0, u64::MAX, Content::Data(owner(0)))];
        assert!(draw(u64::MAX, 5, &whole).starts_with("AAAAA\n"));
        let last = [(u64::MAX - 1, 1, Content::Zero)];
        assert!(draw(u64::MAX, 5, &last).starts_with("····0\n"));
    }

    #[test]
    fn every_block_lies_in_the_cell_whose_bounds_hold_it() {
        for (blocks, width) in [(7, 3), (100, 7), (64, 64), (1_000_003, 77)] {
            let picture = MapPicture::new(blocks, width);
            for block in (0..blocks).step_by(1 + blocks as usize / 1000) {
                let cell = picture.cell_of(block);
                assert!(picture.cell_start(cell) <= block && block < picture.cell_start(cell + 1));
            }
        }
    }

    #[test]
    fn more_owners_than_colours_share_the_last_glyph() {
        let extents: Vec<_> = (0..20).map(|i| (i, 1, Content::Data(owner(i)))).collect();
        let picture = draw(20, 20, &extents);
        assert!(picture.starts_with("ABCDEFGHIJKL********\n"), "{picture}");
        assert!(picture.contains("*  8 other layers  32 KiB"), "{picture}");
    }
}
