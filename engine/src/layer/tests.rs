//! Single files of layers.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::error::ErrorKind;
use crate::format::{Features, Header, checksum};
use crate::medium::{FileHost, Host, Medium, MemoryHost, Network, OpenMode};
use crate::testing::LayerBuilder;
use crate::units::{BlockSize, FileBlock, LayerId};

const ID: LayerId = LayerId([1; 16]);

/// A frozen layer in memory, and its header.
fn layer() -> (Arc<dyn Medium>, Header) {
    let (host, path) = (MemoryHost::new(), Path::new("a.layer"));
    let geometry = (BlockSize::DEFAULT, 1 << 20);
    LayerBuilder::create(&host, path, ID, geometry, None).unwrap().finish().unwrap();
    let medium = host.open(path, OpenMode::ReadWrite).unwrap();
    let header = read_header(&*medium, path).unwrap().header;
    (medium, header)
}

fn read(medium: &dyn Medium) -> crate::Result<HeaderSlots> {
    read_header(medium, Path::new("a.layer"))
}

#[test]
fn two_slots_of_one_generation_say_the_same_or_are_damage() {
    let (medium, header) = layer();
    let other = Header { removed: true, ..header.clone() };
    medium.write_at(4096, &other.encode(1)).unwrap();
    assert_eq!(read(&*medium).unwrap_err().kind(), ErrorKind::Corrupt);
    let newer = Header { generation: header.generation + 1, ..other };
    medium.write_at(4096, &newer.encode(1)).unwrap();
    let found = read(&*medium).unwrap();
    assert_eq!((found.header, found.slots_agree), (newer, false));
    let of_another = Header { layer: LayerId([2; 16]), ..header };
    medium.write_at(4096, &of_another.encode(1)).unwrap();
    assert_eq!(read(&*medium).unwrap_err().kind(), ErrorKind::Corrupt);
}

/// The other slot may be older than what a later version has made of the layer.
#[test]
fn a_slot_with_features_unknown_here_is_not_passed_over_for_the_other() {
    let (medium, header) = layer();
    for slot in [0, 1] {
        let features = Features { incompatible: 1 << 40, ..header.features };
        let newer = Header { features, generation: header.generation + 1, ..header.clone() };
        medium.write_at(slot * 4096, &newer.encode(slot)).unwrap();
        assert_eq!(read(&*medium).unwrap_err().kind(), ErrorKind::Unsupported);
        medium.write_at(slot * 4096, &header.encode(slot)).unwrap();
    }
    read(&*medium).unwrap();
}

#[test]
fn a_frozen_layer_has_exactly_the_length_that_its_header_says() {
    let host: Arc<dyn Host> = Arc::new(MemoryHost::new());
    let path = Path::new("a.layer");
    let geometry = (BlockSize::DEFAULT, 1 << 20);
    LayerBuilder::create(&*host, path, ID, geometry, None).unwrap().finish().unwrap();
    let descriptors = Arc::new(Descriptors::new(Arc::clone(&host), 4));
    let medium = host.open(path, OpenMode::ReadWrite).unwrap();
    let length = medium.facts().unwrap().length;
    for (other, is_right) in [(length, true), (length + 1, false), (length - 1, false)] {
        medium.set_length(other).unwrap();
        let opened = Layer::open(&descriptors, path, ReadPolicy::default());
        assert_eq!(opened.as_ref().err().map(|error| error.kind()).is_none(), is_right, "{other}");
        medium.set_length(length).unwrap();
    }
}

#[test]
fn every_read_is_verified_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let host = FileHost::open_root(folder.path(), Network::Refuse).unwrap();
    let (first, path) = (FileBlock(2), Path::new("a.layer"));
    for map in [MapPolicy::Map, MapPolicy::Guarded, MapPolicy::Read] {
        for verify in [VerifyPolicy::FirstTouch, VerifyPolicy::EveryRead] {
            let medium = host.open(path, OpenMode::OpenOrCreate).unwrap();
            medium.write_at(0, &[7; 4 << 12]).unwrap();
            let file = || {
                let source = FileSource::Held(Arc::clone(&medium));
                let (size, policy) = (BlockSize::DEFAULT, ReadPolicy { map, verify });
                LayerFile::new(source, path, ID, size, policy, Some(4 << 12))
            };
            let sum = |index| Ok(checksum::of_block(ID, FileBlock(first.0 + index), &[7; 4096]));
            let read = |file: &LayerFile, way: usize| match way {
                0 => file.read(first, 8, &mut [0; 16], || sum(0)),
                1 => file.read_run(first, &mut [0; 2 << 12], sum),
                _ => file.borrow(first, || sum(0)).map(drop),
            };
            for way in 0..3 {
                let file = file();
                read(&file, way).unwrap();
                medium.write_at(2 << 12, &[8]).unwrap();
                let again = read(&file, way);
                medium.write_at(2 << 12, &[7]).unwrap();
                // What is not mapped has nothing to borrow.
                let looks =
                    verify == VerifyPolicy::EveryRead && !(way == 2 && map == MapPolicy::Read);
                assert_eq!(again.is_err(), looks, "{map:?}, {verify:?}, way {way}");
            }
        }
    }
}
