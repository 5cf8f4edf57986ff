//! Reading through a view.

use super::level::Fault;
use super::view::{Found, View};
use crate::error::{Error, Result};
use crate::extent::{Span, Target};
use crate::units::{ADDRESS_END, BlockAddress, FileBlock};

/// How many requests are resolved together: enough to have their cache misses overlap.
const REQUESTS_AT_ONCE: usize = 16;
/// How many stretches of one read are, so that their misses overlap too.
const STRETCHES_AT_ONCE: usize = 16;

/// One of many reads that are given at once.
#[derive(Debug)]
pub struct ReadRequest<'a> {
    /// The block where the read begins.
    pub address: BlockAddress,
    /// The byte in that block; it may lie in a later one.
    pub offset: u64,
    /// Where the bytes go; as many as it is long.
    pub buffer: &'a mut [u8],
}

/// A whole block without a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Borrowed<'a> {
    /// The block reads as zeros.
    Zeros,
    /// Its bytes, verified.
    Block(&'a [u8]),
    /// Its file is not mapped: read it.
    Unmapped,
}

/// Bytes of whole blocks, verified, where they lie: in the map of a frozen layer, which they keep
/// mapped. They do not change as long as a lease holds the layer.
#[derive(Clone, Debug)]
pub struct SharedBytes {
    map: crate::raw::Map,
    start: usize,
    length: usize,
}

impl AsRef<[u8]> for SharedBytes {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self.map.bytes(self.start, self.length)
    }
}

impl View {
    /// Reads any number of bytes from byte `offset` of the block at `address` on.
    ///
    /// Errors: [`InvalidInput`](crate::ErrorKind::InvalidInput) past the end of the address
    /// space; [`Corrupt`](crate::ErrorKind::Corrupt) where a block does not verify: what the
    /// buffer holds then is of no meaning.
    pub fn read(&self, address: BlockAddress, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let (address, offset) = self.normalized(address, offset, buffer.len())?;
        self.ask(|view| view.read_here(address, offset, buffer))
    }

    /// Reads many places; together they cost less than one by one.
    ///
    /// Errors are those of [`read`](Self::read); some buffers may have been filled.
    pub fn read_many(&self, requests: &mut [ReadRequest<'_>]) -> Result<()> {
        for batch in requests.chunks_mut(REQUESTS_AT_ONCE) {
            for request in &mut *batch {
                let length = request.buffer.len();
                (request.address, request.offset) =
                    self.normalized(request.address, request.offset, length)?;
            }
            self.ask(|view| view.read_batch(batch))?;
        }
        Ok(())
    }

    /// The whole block at `address`, where it can be had without a copy.
    pub fn borrow(&self, address: BlockAddress) -> Result<Borrowed<'_>> {
        self.ask(|view| {
            let (Found::Data { level, slot, block }, _) = view.resolve(address)? else {
                return Ok(Borrowed::Zeros);
            };
            let of_level = &view.levels()[level as usize];
            let missing = |error| view.data_fault(level, (slot, block), (address, 1), error);
            let owner = of_level.slots().pinned_owner(slot, &**view.layers()).map_err(missing)?;
            let Some(owner) = owner else { return Ok(Borrowed::Unmapped) };
            let checksum = || view.checksum_of(level, slot, address);
            let bytes = owner.file().borrow(block, checksum).map_err(missing)?;
            Ok(bytes.map_or(Borrowed::Unmapped, Borrowed::Block))
        })
    }

    /// As [`borrow`](Self::borrow), to keep; `None` where there are no bytes that may be kept: the
    /// block is not mapped or reads as zeros, or is to be looked at again with each read.
    pub fn share(&self, address: BlockAddress) -> Result<Option<SharedBytes>> {
        self.ask(|view| {
            let (Found::Data { level, slot, block }, _) = view.resolve(address)? else {
                return Ok(None);
            };
            let of_level = &view.levels()[level as usize];
            let missing = |error| view.data_fault(level, (slot, block), (address, 1), error);
            let owner = of_level.slots().pinned_owner(slot, &**view.layers()).map_err(missing)?;
            let Some(owner) = owner else { return Ok(None) };
            let checksum = || view.checksum_of(level, slot, address);
            let shared = owner.file().share(block, checksum).map_err(missing)?;
            let length = view.block_size().bytes_usize();
            Ok(shared.map(|(map, start)| SharedBytes { map, start, length }))
        })
    }

    /// The `count` whole blocks from `address` on, to be used at once, where they lie beside each
    /// other in the map of a frozen layer. As long as whoever asks has the view.
    pub fn lend(&self, address: BlockAddress, count: u64) -> Result<Option<SharedBytes>> {
        self.ask(|view| {
            let (Found::Data { level, slot, block }, end) = view.resolve(address)? else {
                return Ok(None);
            };
            if end.0 - address.0 < count {
                return Ok(None);
            }
            let of_level = &view.levels()[level as usize];
            let missing = |error| view.data_fault(level, (slot, block), (address, count), error);
            let owner = of_level.slots().owner(slot, &**view.layers()).map_err(missing)?;
            let checksums = || view.checksums_of(level, slot, address, count);
            let lent = owner.file().lend(block, count, checksums).map_err(missing)?;
            let length = count as usize * view.block_size().bytes_usize();
            Ok(lent.map(|(map, start)| SharedBytes { map, start, length }))
        })
    }

    fn normalized(
        &self,
        address: BlockAddress,
        offset: u64,
        length: usize,
    ) -> Result<(BlockAddress, u64)> {
        let log2 = self.block_size().log2();
        let in_block = offset & (self.block_size().bytes() - 1);
        let blocks = (u128::from(in_block) + length as u128).div_ceil(1 << log2);
        let end = u128::from(address.0) + u128::from(offset >> log2) + blocks;
        if end > u128::from(ADDRESS_END) {
            let expected = format!("at most {ADDRESS_END}");
            return Err(Error::invalid("read blocks", "end address", end, expected));
        }
        Ok((BlockAddress(address.0 + (offset >> log2)), in_block))
    }

    /// The range was checked; `offset` lies in the first block.
    #[inline]
    fn read_here(
        &self,
        address: BlockAddress,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), Fault> {
        if buffer.is_empty() {
            return Ok(());
        }
        let (found, end) = self.resolve(address)?;
        let length = self.length_of(address, offset, end, buffer.len());
        let (now, rest) = buffer.split_at_mut(length);
        self.copy(found, address, offset, now)?;
        if rest.is_empty() { Ok(()) } else { self.read_on(end, rest) }
    }

    /// The same from the start of a block on, over stretches that may be many and short:
    /// some are resolved, their memory is asked for, and then they are copied.
    fn read_on(&self, mut address: BlockAddress, mut buffer: &mut [u8]) -> Result<(), Fault> {
        while !buffer.is_empty() {
            let mut stretches = [(Found::Hole, address, 0); STRETCHES_AT_ONCE];
            let (mut count, mut bytes) = (0, 0);
            while count < stretches.len() && bytes < buffer.len() {
                let (found, end) = self.resolve(address)?;
                let length = self.length_of(address, 0, end, buffer.len() - bytes);
                stretches[count] = (found, address, length);
                (address, count, bytes) = (end, count + 1, bytes + length);
            }
            let stretches = &stretches[..count];
            for &(found, _, length) in &stretches[1..] {
                self.prefetch(found, 0, length);
            }
            for &(found, start, length) in stretches {
                let (now, rest) = buffer.split_at_mut(length);
                self.copy(found, start, 0, now)?;
                buffer = rest;
            }
        }
        Ok(())
    }

    /// Asks for the memory of what was found, if it is there.
    #[inline]
    fn prefetch(&self, found: Found, offset: u64, length: usize) {
        if let Found::Data { level, slot, block } = found
            && let Some(owner) = self.levels()[level as usize].slots().held_owner(slot)
        {
            owner.file().prefetch(block, offset as usize, length);
        }
    }

    /// How many bytes from `offset` on belong to the stretch that ends at `end`.
    #[inline]
    fn length_of(
        &self,
        address: BlockAddress,
        offset: u64,
        end: BlockAddress,
        wanted: usize,
    ) -> usize {
        let blocks_wanted = (offset + wanted as u64) >> self.block_size().log2();
        let blocks = end.0 - address.0;
        if blocks > blocks_wanted {
            return wanted;
        }
        wanted.min(((blocks << self.block_size().log2()) - offset) as usize)
    }

    /// Copies what was found at `address`; all of `buffer` lies in its stretch.
    #[inline]
    fn copy(
        &self,
        found: Found,
        address: BlockAddress,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), Fault> {
        let Found::Data { level, slot, block } = found else {
            buffer.fill(0);
            return Ok(());
        };
        let of_level = &self.levels()[level as usize];
        let buffer_bytes = buffer.len();
        let size = self.block_size().bytes_usize();
        let missing = |error| {
            let blocks = (offset as usize + buffer_bytes).div_ceil(size) as u64;
            self.data_fault(level, (slot, block), (address, blocks), error)
        };
        let owner = of_level.slots().owner(slot, &**self.layers()).map_err(missing)?;
        let file = owner.file();
        if offset as usize + buffer.len() <= size {
            let checksum = || self.checksum_of(level, slot, address);
            return file.read(block, offset as usize, buffer, checksum).map_err(missing);
        }
        let into_first = if offset == 0 { 0 } else { size - offset as usize };
        let (first, rest) = buffer.split_at_mut(into_first);
        let skipped = u64::from(!first.is_empty());
        let (whole, last) = rest.split_at_mut(rest.len() / size * size);
        let past = skipped + (whole.len() / size) as u64;
        let at = |into: u64| FileBlock(block.0 + into);
        let checksum = |into: u64| self.checksum_of(level, slot, BlockAddress(address.0 + into));
        let mut of_whole = None;
        if !first.is_empty() {
            file.read(block, offset as usize, first, || checksum(0)).map_err(missing)?;
        }
        if !whole.is_empty() {
            let count = (whole.len() / size) as u64;
            let read = file.read_run(at(skipped), whole, |into| {
                if of_whole.is_none() {
                    let first = BlockAddress(address.0 + skipped);
                    of_whole = Some(self.checksums_of(level, slot, first, count)?);
                }
                Ok(of_whole.as_ref().expect("put there above")[into as usize])
            });
            read.map_err(missing)?;
        }
        if !last.is_empty() {
            file.read(at(past), 0, last, || checksum(past)).map_err(missing)?;
        }
        Ok(())
    }

    /// Resolves all requests side by side, asks for the memory of their blocks, then copies.
    fn read_batch(&self, requests: &mut [ReadRequest<'_>]) -> Result<(), Fault> {
        let silent = Span { target: None, end: BlockAddress(ADDRESS_END) };
        let mut found = [(Found::Hole, BlockAddress(ADDRESS_END)); REQUESTS_AT_ONCE];
        // The requests that no level has answered yet: their addresses and numbers.
        let mut addresses = [BlockAddress(0); REQUESTS_AT_ONCE];
        let mut numbers = [0; REQUESTS_AT_ONCE];
        let mut open = requests.len();
        for (number, request) in requests.iter().enumerate() {
            (addresses[number], numbers[number]) = (request.address, number);
        }
        for (number, level) in self.levels().iter().enumerate() {
            let mut spans = [silent; REQUESTS_AT_ONCE];
            level
                .find_many(&addresses[..open], &mut spans[..open])
                .map_err(|error| level.search_fault(number, error))?;
            let mut still_open = 0;
            for at in 0..open {
                let answer = &mut found[numbers[at]];
                answer.1 = answer.1.min(spans[at].end);
                answer.0 = match spans[at].target {
                    None | Some(Target::Hole) => {
                        (addresses[still_open], numbers[still_open]) = (addresses[at], numbers[at]);
                        still_open += 1;
                        continue;
                    }
                    Some(Target::Zero) => Found::Zero,
                    Some(Target::Data { source, block }) => {
                        Found::Data { level: number as u32, slot: source.0, block }
                    }
                };
            }
            open = still_open;
            if open == 0 {
                break;
            }
        }
        for (request, &(found, _)) in requests.iter().zip(&found) {
            self.prefetch(found, request.offset, request.buffer.len());
        }
        for (request, (found, end)) in requests.iter_mut().zip(found) {
            let wanted = request.buffer.len();
            let length = self.length_of(request.address, request.offset, end, wanted);
            let (now, rest) = request.buffer.split_at_mut(length);
            self.copy(found, request.address, request.offset, now)?;
            if !rest.is_empty() {
                self.read_on(end, rest)?;
            }
        }
        Ok(())
    }
}
