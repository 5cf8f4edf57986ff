//! Files of which nothing can be left out.

use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Writes a file unlike itself everywhere, so that nothing of it is zeros, and syncs it.
pub fn write_noise(path: &Path, bytes: u64) {
    let mut file = File::create(path).unwrap();
    let mut chunk = vec![0_u8; 1 << 20];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..bytes >> 20 {
        for word in chunk.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        file.write_all(&chunk).unwrap();
    }
    file.sync_all().unwrap();
}
