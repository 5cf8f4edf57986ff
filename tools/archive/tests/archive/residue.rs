//! A layer that was recorded while it came in goes out as the very same bytes.

use sapwood::files::{Files, FilesOptions, FilesView};
use sapwood::{Annotations, Store, StoreOptions};
use sapwood_archive::tar::{Member, MemberKind, TarWriter};
use sapwood_archive::{ImportOptions, export_residue, import_layer_recorded};

fn tar(members: &[(&str, MemberKind, Vec<u8>)]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (name, kind, content) in members {
        let mut member = Member::new(*name, kind.clone(), 0o644);
        member.size = content.len() as u64;
        writer.begin(&member).unwrap();
        writer.write(content).unwrap();
    }
    writer.finish().unwrap()
}

fn file(name: &str, seed: u8, length: usize) -> (&str, MemberKind, Vec<u8>) {
    (name, MemberKind::File, (0..length).map(|at| (at / 3) as u8 ^ seed).collect())
}

#[test]
fn layers_go_out_as_they_came_in() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store"), &StoreOptions::default()).unwrap();
    let files = Files::open(store.create_tree("image").unwrap(), FilesOptions::default()).unwrap();
    let mut odd = tar(&[
        file("z/late", 1, 70_000),
        ("z", MemberKind::Directory, Vec::new()),
        // Replaced by what comes later in the same layer, as a file, a link and a directory.
        file("twice", 2, 100_000),
        file("twice", 3, 5_000),
        file("z/gone", 4, 20_000),
        ("hard", MemberKind::HardLink(b"z/gone".to_vec()), Vec::new()),
        ("z/gone", MemberKind::Symlink(b"late".to_vec()), Vec::new()),
        file("tree/inside", 5, 9_000),
        file("tree", 6, 300),
        file("empty", 0, 0),
        file(".wh.nothing", 7, 600),
    ]);
    odd.resize(odd.len() + 7_777, 0);
    // The owner's name is nothing that a tree holds.
    odd[265..268].copy_from_slice(b"sap");
    let sum: u32 =
        odd[..148].iter().chain(&[b' '; 8]).chain(&odd[156..512]).map(|&b| u32::from(b)).sum();
    odd[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let layers = [odd, tar(&[file("twice", 8, 40_000), file(".wh.tree", 0, 0)]), tar(&[])];
    let mut views = Vec::new();
    for layer in &layers {
        let options = ImportOptions::default();
        import_layer_recorded(&files, &mut &layer[..], &options, &mut |_| {}).unwrap();
        views.push(FilesView::open(files.snapshot(&Annotations::default()).unwrap()).unwrap());
    }
    for (layer, view) in layers.iter().zip(&views) {
        let mut output = Vec::new();
        assert!(export_residue(view, &mut output).unwrap());
        assert!(output == *layer, "{} bytes, expected {}", output.len(), layer.len());
        assert_eq!(sapwood::files::check(view).unwrap().findings, []);
    }
}

#[test]
fn a_tree_without_a_record_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store"), &StoreOptions::default()).unwrap();
    let files = Files::open(store.create_tree("image").unwrap(), FilesOptions::default()).unwrap();
    let view = FilesView::open(files.snapshot(&Annotations::default()).unwrap()).unwrap();
    assert!(!export_residue(&view, &mut Vec::new()).unwrap());
}
