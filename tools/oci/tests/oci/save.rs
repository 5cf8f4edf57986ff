//! Images on their way out: the same bytes again for what came from elsewhere, bytes that follow
//! from the trees for what was made here.

use std::io::Read;

use sapwood::files::{FileKind, Files, FilesOptions, FilesView, Inode, NewFile, Paths, Time};
use sapwood::{Annotations, ErrorKind, Replace, Store};
use sapwood_archive::tar::{Member, MemberKind, TarWriter};
use sapwood_archive::{ImportOptions, import_layer_recorded};
use sapwood_oci::{
    CHAIN_ID_LABEL, Compression, Configuration, DIFF_ID_LABEL, Image, OutgoingImage, Sha256,
    WrittenLayer, publish, squash,
};
use serde_json::json;

use crate::support::*;

const ALL: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

/// A layer's tar with what no tree holds: an order, a name for the owner, padding at its end.
fn tar(members: &[(&str, MemberKind, &[u8])]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (name, kind, content) in members {
        let mut member = Member::new(*name, kind.clone(), 0o755);
        member.size = content.len() as u64;
        writer.begin(&member).unwrap();
        writer.write(content).unwrap();
    }
    let mut tar = writer.finish().unwrap();
    tar.resize(tar.len() + 7 * 512, 0);
    tar
}

/// An image whose layers came as these tars.
fn came_as(store: &Store, tag: &str, tars: &[Vec<u8>]) -> Vec<Sha256> {
    let name = format!("{}-coming", tag.replace(':', "-"));
    let files = Files::open(store.create_tree(&name).unwrap(), FilesOptions::default()).unwrap();
    let (mut diff_ids, mut chain_id) = (Vec::new(), None);
    for tar in tars {
        let options = ImportOptions::default();
        import_layer_recorded(&files, &mut &tar[..], &options, &mut |_| {}).unwrap();
        let diff_id = Sha256::of(tar);
        let chain = Sha256::chained(chain_id, diff_id);
        let labels = [(DIFF_ID_LABEL, diff_id), (CHAIN_ID_LABEL, chain)];
        let labels = labels.map(|(label, digest)| (label.to_owned(), digest.to_string())).into();
        files.snapshot(&Annotations { labels, ..Annotations::default() }).unwrap();
        diff_ids.push(diff_id);
        chain_id = Some(chain);
    }
    let configuration = json!({
        "architecture": "amd64", "os": "linux", "unknown": {"z": 1, "a": 2},
        "history": vec![json!({"created_by": "ADD"}); tars.len()],
        "rootfs": {"type": "layers",
            "diff_ids": diff_ids.iter().map(ToString::to_string).collect::<Vec<_>>()},
    });
    // Bytes as nobody here writes them.
    let json = serde_json::to_string_pretty(&configuration).unwrap();
    let configuration = Configuration::read(json.as_bytes()).unwrap();
    publish(store, Some(&format!("{name}@1")), &configuration, tag, Replace::Refuse).unwrap();
    files.close().unwrap();
    store.remove(&name).unwrap();
    diff_ids
}

fn two_tars() -> [Vec<u8>; 2] {
    let large = noise(3 << 20, 1);
    [
        tar(&[
            ("z/late", MemberKind::File, b"late"),
            ("large", MemberKind::File, &large),
            ("z/", MemberKind::Directory, b""),
            ("hard", MemberKind::HardLink(b"z/late".to_vec()), b""),
        ]),
        tar(&[("new", MemberKind::File, b"new"), (".wh.large", MemberKind::File, b"")]),
    ]
}

fn written(image: &OutgoingImage, compression: Compression) -> Vec<(WrittenLayer, Vec<u8>)> {
    let write = |layer: &sapwood_oci::OutgoingLayer| {
        let mut blob = Vec::new();
        (layer.write(&mut blob, compression, &|_| {}).unwrap(), blob)
    };
    image.layers().iter().map(write).collect()
}

fn decompressed(blob: &[u8], compression: Compression) -> Vec<u8> {
    let mut tar = Vec::new();
    match compression {
        Compression::None => tar.extend(blob),
        Compression::Gzip => {
            flate2::read::MultiGzDecoder::new(blob).read_to_end(&mut tar).map(drop).unwrap()
        }
        Compression::Zstd => zstd::stream::copy_decode(blob, &mut tar).unwrap(),
    }
    tar
}

#[test]
fn what_came_from_archives_goes_out_as_it_came() {
    let (_folder, store) = store();
    let tars = two_tars();
    let diff_ids = came_as(&store, "image:1", &tars);
    let image = Image::open(&store, "image:1").unwrap();
    let outgoing = OutgoingImage::new(&store, &image).unwrap();
    for compression in ALL {
        for ((layer, blob), tar) in written(&outgoing, compression).iter().zip(&tars) {
            assert_eq!(layer.diff_id, Sha256::of(tar));
            assert_eq!(layer.descriptor.digest().to_string(), Sha256::of(blob).to_string());
            assert_eq!(layer.descriptor.size(), blob.len() as u64);
            assert_eq!(*layer.descriptor.media_type(), compression.media_type());
            assert!(decompressed(blob, compression) == *tar);
        }
    }
    let configuration = outgoing.configuration(&diff_ids).unwrap();
    assert_eq!(configuration.json(), image.configuration().json());
}

#[test]
fn a_layer_that_is_not_what_it_came_as_is_damaged() {
    let (_folder, store) = store();
    let name = "box";
    let files = Files::open(store.create_tree(name).unwrap(), FilesOptions::default()).unwrap();
    let [tar, other] = two_tars();
    import_layer_recorded(&files, &mut &tar[..], &ImportOptions::default(), &mut |_| {}).unwrap();
    let wrong = Sha256::of(&other).to_string();
    let labels = [DIFF_ID_LABEL, CHAIN_ID_LABEL].map(|label| (label.to_owned(), wrong.clone()));
    let layer = files
        .snapshot(&Annotations { labels: labels.into(), ..Annotations::default() })
        .unwrap()
        .layer_id();
    let configuration = json!({"architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [wrong]}});
    let configuration = Configuration::from_value(&configuration).unwrap();
    let image = publish(&store, Some("box@1"), &configuration, "image", Replace::Refuse).unwrap();
    let outgoing = OutgoingImage::new(&store, &image).unwrap();
    let error = outgoing.layers()[0].write(&mut Vec::new(), Compression::Gzip, &|_| {});
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let text = error.to_string();
    assert!(text.contains(&layer.to_string()) && text.contains(&wrong), "{text}");
}

/// A layer under which the tree is another one says no digest that it does not have any more.
#[test]
fn layers_over_others_than_they_came_on_go_out_as_what_they_are() {
    let (_folder, store) = store();
    let diff_ids = came_as(&store, "image:1", &two_tars());
    let tree = |tag: &str| FilesView::open(store.snapshot_of(tag).unwrap()).unwrap();
    let before = tree("image:1");
    let image = Image::open(&store, "image:1").unwrap();
    let [lower, _] = &image.layers(&store).unwrap()[..] else { panic!() };

    squash(&store, &image, None, "squashed", Replace::Refuse).unwrap();
    store.flatten("image:1", "flat", &mut |_| {}).unwrap();
    let top = image.top_layer(&store).unwrap().unwrap().to_string();
    store.flatten(&top, "flat-layer", &mut |_| {}).unwrap();
    let own = Image::open(&store, "image:1").unwrap();
    publish(&store, Some("flat-layer"), own.configuration(), "on-flat", Replace::Refuse).unwrap();
    store.remove(&lower.id.to_string()).unwrap();

    for tag in ["image:1", "squashed", "flat", "on-flat"] {
        let outgoing = OutgoingImage::new(&store, &Image::open(&store, tag).unwrap()).unwrap();
        let [layer] = &outgoing.layers() else {
            panic!("{tag}: {} layers", outgoing.layers().len())
        };
        // Of those that were made an image so, it is known; of the others nobody asked yet.
        let is_known = ["squashed", "on-flat"].contains(&tag);
        assert_eq!(layer.diff_id().is_some(), is_known, "{tag}");
        let mut blob = Vec::new();
        let told = layer.write(&mut blob, Compression::None, &|_| {}).unwrap();
        assert!(!diff_ids.contains(&told.diff_id), "{tag}");
        assert_eq!(told.diff_id, layer.compute_diff_id().unwrap());
        let configuration = outgoing.configuration(&[told.diff_id]).unwrap();
        let made = configuration.get().history().as_deref().unwrap();
        assert_eq!(made.iter().filter(|step| step.empty_layer() != Some(true)).count(), 1, "{tag}");

        came_as(&store, &format!("{tag}-again"), &[blob]);
        let again = tree(&format!("{tag}-again"));
        assert_eq!(sapwood::files::compare(&before, &again).unwrap(), [], "{tag}");
    }
}

/// Two ways to one tree: what is equal goes out equal.
#[test]
fn what_was_made_here_follows_from_the_trees_alone() {
    let clock = || Time { seconds: 1_700_000_000, nanoseconds: 5 };
    let options = || FilesOptions { clock, ..FilesOptions::default() };
    let one_way = |files: &Files| {
        for at in 0..300 {
            write(files, &format!("d/{at}"), &noise(3_000 + at, at as u8));
        }
        write(files, "kept", b"kept");
        write(files, "same", b"same");
        files.snapshot(&Annotations::default()).unwrap();
        write(files, "d/7", b"seven");
        write(files, "new/file", b"x");
        Paths::new(files).remove_file("d/9").unwrap();
        let kept = Paths::new(files).resolve("kept").unwrap();
        files.link(kept, Inode::ROOT, b"alias").unwrap();
    };
    let other_way = |files: &Files| {
        write(files, "same", b"not yet");
        write(files, "gone", &noise(100_000, 9));
        write(files, "kept", b"kept");
        write(files, "same", b"same");
        Paths::new(files).remove_file("gone").unwrap();
        for at in (0..300).rev() {
            let (half, whole) = (1_000, noise(3_000 + at, at as u8));
            write(files, &format!("d/{at}"), &whole[..half]);
            let file = Paths::new(files).resolve(format!("d/{at}")).unwrap();
            files.write(file, half as u64, &whole[half..]).unwrap();
        }
        files.snapshot(&Annotations::default()).unwrap();
        // Written over with the same bytes, made anew, moved away and back.
        let kept = Paths::new(files).resolve("kept").unwrap();
        files.link(kept, Inode::ROOT, b"alias").unwrap();
        write(files, "same", b"same");
        Paths::new(files).remove_file("d/11").unwrap();
        write(files, "d/11", &noise(3_011, 11));
        Paths::new(files).rename("d", "e").unwrap();
        Paths::new(files).create_dir_all("d").unwrap();
        Paths::new(files).remove_dir_all("d").unwrap();
        Paths::new(files).rename("e", "d").unwrap();
        write(files, "new/file", b"x");
        Paths::new(files).remove_file("d/9").unwrap();
        write(files, "d/7", b"seven");
    };
    let ways: [&dyn Fn(&Files); 2] = [&one_way, &other_way];
    let digests = ways.map(|way| {
        let (_folder, store) = store();
        let files = Files::open(store.create_tree("t").unwrap(), options()).unwrap();
        way(&files);
        files.snapshot(&Annotations::default()).unwrap();
        let configuration = json!({"architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": []}});
        let configuration = Configuration::from_value(&configuration).unwrap();
        let image = publish(&store, Some("t@1"), &configuration, "i", Replace::Refuse).unwrap();
        let outgoing = OutgoingImage::new(&store, &image).unwrap();
        ALL.map(|compression| {
            let layers = written(&outgoing, compression);
            layers.into_iter().map(|(layer, _)| layer).collect::<Vec<_>>()
        })
    });
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0][0].len(), 2);
}

#[test]
fn what_a_layer_cannot_say_is_an_error_that_names_the_path() {
    let (_folder, store) = store();
    let configuration = json!({"architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": []}});
    let configuration = Configuration::from_value(&configuration).unwrap();
    let refused = |name: &str, change: &dyn Fn(&Files)| {
        let files = Files::open(store.create_tree(name).unwrap(), FilesOptions::default()).unwrap();
        change(&files);
        files.snapshot(&Annotations::default()).unwrap();
        let top = format!("{name}@1");
        let made = publish(&store, Some(&top), &configuration, "image", Replace::Refuse);
        let error = made.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(store.tags().unwrap().is_empty());
        error.to_string()
    };
    let text = refused("mark", &|files| write(files, "d/.wh.passwd", b""));
    assert!(text.contains("d/.wh.passwd"), "{text}");
    let text = refused("device", &|files| {
        let device = NewFile { kind: FileKind::CharDevice, ..NewFile::regular(0o600) };
        files.create(Inode::ROOT, b"hides", &device).unwrap();
    });
    assert!(text.contains("hides") && text.contains("0:0"), "{text}");
}

#[test]
fn sockets_are_left_out_and_told() {
    let (_folder, store) = store();
    let socket = NewFile { kind: FileKind::Socket, ..NewFile::regular(0o600) };
    let listen: &dyn Fn(&Files) = &|files| {
        write(files, "kept", b"kept");
        files.create(Inode::ROOT, b"listening", &socket).unwrap();
    };
    build(&store, None, "app:1", &[("RUN serve", listen), ("RUN no more", &|_| {})]);
    let image = Image::open(&store, "app:1").unwrap();
    let outgoing = OutgoingImage::new(&store, &image).unwrap();
    let layers = written(&outgoing, Compression::None);
    let told: Vec<u64> = layers.iter().map(|(layer, _)| layer.sockets_left_out).collect();
    assert_eq!(told, [1, 0]);
    came_as(&store, "again:1", &layers.into_iter().map(|(_, tar)| tar).collect::<Vec<_>>());
    let names = listing(Image::open(&store, "again:1").unwrap().view());
    assert_eq!(names, [(String::new(), 0), ("kept".to_owned(), 4)]);
}

#[test]
fn a_container_is_no_image_until_it_is_committed() {
    let (_folder, store) = store();
    build(&store, None, "base", &[("ADD", &|files| write(files, "a", b"a"))]);
    store.fork("base", "box").unwrap();
    let error = OutgoingImage::new(&store, &Image::open(&store, "box").unwrap()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("commit"), "{error}");
}
