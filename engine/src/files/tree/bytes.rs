//! The bytes of pages: own ones, or those of a frozen layer where they lie.

use crate::chain::SharedBytes;
use crate::format::files::PageBytes;

/// The bytes of a page in memory.
#[derive(Clone, Debug)]
pub enum TreeBytes {
    /// On the heap.
    Own(Box<[u8]>),
    /// In the map of a layer; they are copied before they are changed.
    Shared(SharedBytes),
}

impl TreeBytes {
    /// The heap that they take.
    pub fn heap_bytes(&self) -> usize {
        match self {
            TreeBytes::Own(bytes) => bytes.len(),
            TreeBytes::Shared(_) => 0,
        }
    }
}

impl AsRef<[u8]> for TreeBytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            TreeBytes::Own(bytes) => bytes,
            TreeBytes::Shared(block) => block.as_ref(),
        }
    }
}

impl From<Box<[u8]>> for TreeBytes {
    fn from(bytes: Box<[u8]>) -> TreeBytes {
        TreeBytes::Own(bytes)
    }
}

impl PageBytes for TreeBytes {
    fn own(&mut self) -> &mut [u8] {
        if let TreeBytes::Shared(block) = self {
            *self = TreeBytes::Own(block.as_ref().into());
        }
        match self {
            TreeBytes::Own(bytes) => bytes,
            TreeBytes::Shared(_) => unreachable!("copied above"),
        }
    }
}
