//! Bytes seen as columns of little-endian integers, without copying.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use super::Map;
use crate::memory::filled;

#[cfg(target_endian = "big")]
compile_error!("columns are used from the map as they lie: a little-endian machine is needed");

/// An integer, or an array of them, that a column may hold: no padding, every bit pattern valid.
pub trait Item: sealed::Sealed + Copy + Send + Sync + 'static {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for u32 {}
    impl Sealed for u64 {}
    impl Sealed for [u32; 16] {}
    impl Sealed for [u64; 16] {}
}

impl Item for u32 {}
impl Item for u64 {}
impl Item for [u32; 16] {}
impl Item for [u64; 16] {}

/// The bytes as items; `None` where they are not aligned or not whole.
pub fn as_items<T: Item>(bytes: &[u8]) -> Option<&[T]> {
    // SAFETY: every bit pattern is a valid item; `align_to` splits at alignment.
    let (before, middle, after) = unsafe { bytes.align_to::<T>() };
    (before.is_empty() && after.is_empty()).then_some(middle)
}

/// The items as the bytes they are made of.
pub fn as_bytes<T: Item>(items: &[T]) -> &[u8] {
    // SAFETY: an item has no padding, and a byte no alignment.
    unsafe { std::slice::from_raw_parts(items.as_ptr().cast(), size_of_val(items)) }
}

/// Bytes on the heap that begin at a cache line.
pub struct AlignedBytes {
    lines: Vec<Line>,
    len: usize,
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl AlignedBytes {
    /// `len` bytes of zero.
    ///
    /// Errors: [`io::ErrorKind::OutOfMemory`].
    pub fn zeroed(len: usize) -> io::Result<AlignedBytes> {
        Ok(AlignedBytes { lines: filled(len.div_ceil(64), Line([0; 64]))?, len })
    }

    /// A copy of `bytes`.
    ///
    /// Errors: as [`AlignedBytes::zeroed`].
    pub fn copy_of(bytes: &[u8]) -> io::Result<AlignedBytes> {
        let mut copy = AlignedBytes::zeroed(bytes.len())?;
        copy.copy_from_slice(bytes);
        Ok(copy)
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the lines are initialised, hold at least `len` bytes, and have no padding.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`; any byte may be written.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

impl fmt::Debug for AlignedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBytes({} bytes)", self.len)
    }
}

/// The bytes of a piece of metadata: a range of a map, or a copy on the heap.
/// Clones share them.
#[derive(Clone, Debug)]
pub enum PieceBytes {
    /// A range of a map, from a multiple of 4 KiB on. Its bytes must not change.
    Mapped {
        /// The map.
        map: Map,
        /// The first byte of the piece in it.
        offset: usize,
        /// The length of the piece in bytes.
        length: usize,
    },
    /// A private copy.
    Heap(Arc<AlignedBytes>),
}

impl PieceBytes {
    /// All of the bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            PieceBytes::Mapped { map, offset, length } => map.bytes(*offset, *length),
            PieceBytes::Heap(bytes) => bytes,
        }
    }

    /// Has the host begin reading a range of them into memory, where it is not there.
    pub fn will_need(&self, range: Range<usize>) {
        if let PieceBytes::Mapped { map, offset, .. } = self {
            map.will_need(offset + range.start, range.len());
        }
    }

    /// Whether the signal guard had to stand in for a page of the map.
    #[inline]
    pub fn faulted(&self) -> bool {
        match self {
            PieceBytes::Mapped { map, .. } => map.faulted(),
            PieceBytes::Heap(_) => false,
        }
    }

    /// The heap they take, in bytes; 0 for a map.
    pub fn heap_bytes(&self) -> usize {
        match self {
            PieceBytes::Mapped { .. } => 0,
            PieceBytes::Heap(bytes) => bytes.len(),
        }
    }
}

impl From<AlignedBytes> for PieceBytes {
    fn from(bytes: AlignedBytes) -> PieceBytes {
        PieceBytes::Heap(Arc::new(bytes))
    }
}

/// A part of a piece, seen as items, that keeps the piece alive: what a search
/// would otherwise have to cut out and check again each time.
pub struct Column<T> {
    items: *const T,
    len: usize,
    /// Holds the bytes that `items` points into.
    _owner: PieceBytes,
}

// SAFETY: a column only hands out shared slices of `T`, which is `Sync`, and its
// owner can be sent and shared.
unsafe impl<T: Item> Send for Column<T> {}
// SAFETY: as above.
unsafe impl<T: Item> Sync for Column<T> {}

impl<T: Item> Column<T> {
    /// The bytes `range` of `owner`; `None` where they are not there, not aligned or not whole.
    pub fn of(owner: &PieceBytes, range: Range<usize>) -> Option<Column<T>> {
        let items = as_items::<T>(owner.bytes().get(range)?)?;
        Some(Column { items: items.as_ptr(), len: items.len(), _owner: owner.clone() })
    }
}

impl<T: Item> Deref for Column<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: pointer and length come from a slice of bytes that `_owner` keeps
        // alive and in place: a map or a shared allocation does not move, and neither
        // is ever handed out for writing.
        unsafe { std::slice::from_raw_parts(self.items, self.len) }
    }
}

impl<T> fmt::Debug for Column<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Column({} items)", self.len)
    }
}
