//! The digest of a layer, computed as `docs/FORMAT.md` says, of nothing but what was written.

use super::{BLOCK, DISK, fill, freeze, memory};
use crate::store::Replace;
use crate::units::Digest;

const ZEROS: u8 = 1;
const DATA: u8 = 2;

/// What the layer holds itself.
struct Content<'a> {
    kind: u8,
    volume_bytes: u64,
    parent: Option<Digest>,
    /// State, first block and how many.
    states: &'a [(u8, u64, u64)],
    /// Of each window of 64 KiB the bytes that fill its blocks of data.
    windows: &'a [(u64, &'a [u8])],
}

impl Content<'_> {
    fn digest(&self) -> Digest {
        let mut states = Vec::new();
        for (state, start, length) in self.states {
            states.push(*state);
            states.extend(start.to_le_bytes());
            states.extend(length.to_le_bytes());
        }
        let mut data = Vec::new();
        for (window, blocks) in self.windows {
            let bytes: Vec<u8> = blocks.iter().flat_map(|byte| [*byte; BLOCK]).collect();
            data.extend(window.to_le_bytes());
            data.extend(blake3::hash(&bytes).as_bytes());
        }
        let mut all = b"sapwood layer content 1".to_vec();
        all.push(self.kind);
        all.extend((BLOCK as u64).to_le_bytes());
        all.extend(self.volume_bytes.to_le_bytes());
        all.push(u8::from(self.parent.is_some()));
        all.extend(self.parent.map_or([0; 32], |digest| digest.0));
        all.extend(blake3::hash(&states).as_bytes());
        all.extend(blake3::hash(&data).as_bytes());
        Digest(*blake3::hash(&all).as_bytes())
    }
}

#[test]
fn the_digest_of_a_layer_is_what_the_format_says() {
    let (_, store) = memory();
    let disk = store.create_volume("disk", DISK).unwrap();
    fill(&disk, 31, 2, 9);
    fill(&disk, 1, 3, 7);
    // Blocks of zeros are zeros, however they came there.
    fill(&disk, 5, 1, 0);
    freeze(&disk);
    disk.write_zeroes(2 * BLOCK as u64, BLOCK as u64).unwrap();
    fill(&disk, 40, 1, 3);
    freeze(&disk);
    disk.close().unwrap();
    let below = Content {
        kind: 1,
        volume_bytes: DISK,
        parent: None,
        states: &[(DATA, 1, 3), (ZEROS, 5, 1), (DATA, 31, 2)],
        windows: &[(0, &[7; 3]), (1, &[9]), (2, &[9])],
    };
    let above = Content {
        parent: Some(below.digest()),
        states: &[(ZEROS, 2, 1), (DATA, 40, 1)],
        windows: &[(2, &[3])],
        ..below
    };
    assert_eq!(store.seal("disk@2").unwrap(), below.digest());
    assert_eq!(store.seal("disk@1").unwrap(), above.digest());

    let tree = store.create_tree("tree").unwrap();
    fill(&tree, 1 << 20, 1, 5);
    store.tag(&freeze(&tree).layer_id().to_string(), "tree:1", Replace::Refuse).unwrap();
    let (states, windows) = (&[(DATA, 1 << 20, 1)][..], &[(1 << 16, &[5][..])][..]);
    let tree = Content { kind: 2, volume_bytes: 0, parent: None, states, windows };
    assert_eq!(store.seal("tree:1").unwrap(), tree.digest());
}
