//! What is kept of a layer's tar, damaged: the right bytes, or an error.

use std::collections::BTreeSet;

use sapwood::files::{Files, FilesOptions, ReadFiles, find_attachment};
use sapwood::{Annotations, ErrorKind, Replace};
use sapwood_oci::{CHAIN_ID_LABEL, Compression, Image, OutgoingImage, Sha256, publish};

use crate::crafted::*;
use crate::load::{load_all, stream};
use crate::support::{noise, store};

#[test]
fn a_damaged_record_of_a_layer_never_gives_other_bytes() {
    let (_folder, store) = store();
    let tar = tar(&[
        directory("etc/"),
        file("etc/passwd", b"root"),
        file("etc/passwd", b"replaced within the layer"),
        file("large", &noise(70_000, 2)),
        hard_link("again", "large"),
    ]);
    let crafted = Crafted::image("good:1", &[Layer::new(&tar, Compression::Gzip)]);
    load_all(&store, stream(crafted.to_tar())).unwrap();
    let good = Image::open(&store, "good:1").unwrap();
    let layer = good.layers(&store).unwrap().remove(0);
    // The damaged one stands on it, as if its tar had come there.
    let mut labels = store.layer(layer.id).unwrap().annotations.labels;
    let chain_id = Sha256::chained(layer.chain_id, layer.diff_id.unwrap());
    labels.insert(CHAIN_ID_LABEL.to_owned(), chain_id.to_string());
    let write = |image: &Image| {
        let outgoing = OutgoingImage::new(&store, image).unwrap();
        let mut bytes = Vec::new();
        let last = outgoing.layers().last().unwrap();
        last.write(&mut bytes, Compression::None, &|_| {}).map(|_| bytes)
    };
    assert!(write(&good).unwrap() == tar);

    let mut kinds = BTreeSet::new();
    for attachment in ["tar-residue", "tar-residue-contents", "tar-residue-replaced-0"] {
        let fork = store.fork(&layer.id.to_string(), "length").unwrap();
        let files = Files::open(fork, FilesOptions::default()).unwrap();
        let inode = find_attachment(&files, attachment.as_bytes()).unwrap();
        let length = files.attributes(inode.expect(attachment)).unwrap().size;
        drop(files);
        store.remove("length").unwrap();
        for at in (0..length).step_by((length / 40).max(1) as usize) {
            let fork = store.fork(&layer.id.to_string(), "work").unwrap();
            let files = Files::open(fork, FilesOptions::default()).unwrap();
            let inode = find_attachment(&files, attachment.as_bytes()).unwrap().unwrap();
            let mut byte = [0];
            files.read(inode, at, &mut byte).unwrap();
            files.write(inode, at, &[byte[0] ^ 1 << (at % 8)]).unwrap();
            let annotations = Annotations { labels: labels.clone(), ..Annotations::default() };
            let damaged = files.snapshot(&annotations).unwrap().layer_id().to_string();
            files.close().unwrap();
            let configuration = good.configuration();
            publish(&store, Some(&damaged), configuration, "bad:1", Replace::Move).unwrap();
            match write(&Image::open(&store, "bad:1").unwrap()) {
                Ok(bytes) => assert!(bytes == tar, "{attachment} at {at}"),
                Err(error) => drop(kinds.insert(format!("{:?}", error.kind()))),
            }
            store.remove("work").unwrap();
        }
    }
    let corrupt = format!("{:?}", ErrorKind::Corrupt);
    assert!(kinds.contains(&corrupt), "{kinds:?}");
}
