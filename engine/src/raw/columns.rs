//! Bytes seen as columns of little-endian integers, without copying.

#[cfg(target_endian = "big")]
compile_error!("columns are used from the map as they lie: a little-endian machine is needed");

/// The bytes as 32-bit integers; `None` where they are not aligned or not whole.
pub fn as_u32s(bytes: &[u8]) -> Option<&[u32]> {
    // SAFETY: every bit pattern is a valid u32; `align_to` splits at alignment.
    let (before, middle, after) = unsafe { bytes.align_to::<u32>() };
    (before.is_empty() && after.is_empty()).then_some(middle)
}

/// The bytes as 64-bit integers; `None` where they are not aligned or not whole.
pub fn as_u64s(bytes: &[u8]) -> Option<&[u64]> {
    // SAFETY: every bit pattern is a valid u64; `align_to` splits at alignment.
    let (before, middle, after) = unsafe { bytes.align_to::<u64>() };
    (before.is_empty() && after.is_empty()).then_some(middle)
}
