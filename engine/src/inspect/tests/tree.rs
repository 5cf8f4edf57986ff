//! A dump of layers of trees shows their pages and what stands in them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::files::{Files, FilesOptions, Inode, NewFile, Paths, SetMode};
use crate::inspect::{DumpItem, DumpOptions, Verdict, dump};
use crate::medium::{Host, MemoryHost, OpenMode};
use crate::{Annotations, LayerId, Store, StoreOptions};

fn items(host: &Arc<dyn Host>, path: &Path) -> Vec<DumpItem> {
    let mut items = Vec::new();
    dump(host, path, &DumpOptions::default(), &mut |item| {
        items.push(item.clone());
        Ok(())
    })
    .unwrap();
    items
}

fn path_of(host: &dyn Host, id: LayerId) -> PathBuf {
    let names = host.list(Path::new("layers")).unwrap();
    let name = names.into_iter().find(|name| {
        let name = name.to_string_lossy();
        name.starts_with(&id.to_string())
    });
    Path::new("layers").join(name.expect("the file of the layer"))
}

#[test]
fn a_dump_shows_the_pages_of_a_tree_and_what_stands_in_them() {
    let host: Arc<dyn Host> = Arc::new(MemoryHost::new());
    let store = Store::create_on(Arc::clone(&host), &StoreOptions::default()).unwrap();
    let files = Files::open(store.create_tree("tree").unwrap(), FilesOptions::default()).unwrap();
    let paths = Paths::new(&files);
    for number in 0..300 {
        paths.write(format!("file-{number}"), b"content").unwrap();
    }
    paths.hard_link("file-7", "second").unwrap();
    paths.remove_file("file-9").unwrap();
    let seven = paths.resolve("file-7").unwrap();
    files.set_extended_attribute(seven, b"user.note", &[1; 2000], SetMode::Any).unwrap();
    files.create_unnamed(&NewFile::regular(0o600)).unwrap();
    let frozen = files.snapshot(&Annotations::default()).unwrap().layer_id();
    files.create(Inode::ROOT, b"later", &NewFile::directory(0o755)).unwrap();
    files.flush().unwrap();
    let open = files.volume().layer_id();
    for (id, name) in [(frozen, "\"file-123\""), (open, "\"later\"")] {
        let items = items(&host, &path_of(&*host, id));
        let broken: Vec<_> =
            items.iter().filter(|item| matches!(item.verdict, Verdict::Broken(_))).collect();
        assert!(broken.is_empty(), "{broken:?}");
        assert!(items.iter().any(|item| item.what == "first page of a tree"));
        assert!(items.iter().any(|item| item.to_string().contains(name)), "{name}");
        let kinds: BTreeSet<&str> = items.iter().map(|item| &*item.what).collect();
        let all = ["inode", "entry", "attribute", "content", "link", "orphan", "page below"];
        let wanted = if id == frozen { &all[..] } else { &all[..2] };
        assert!(wanted.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    }
    let path = path_of(&*host, frozen);
    let page = items(&host, &path)
        .into_iter()
        .find(|item| item.what.starts_with("tree page"))
        .expect("a page");
    let medium = host.open(&path, OpenMode::ReadWrite).unwrap();
    medium.write_at(page.offset + page.bytes - 1, &[0x77]).unwrap();
    let spoiled = items(&host, &path).into_iter().find(|item| item.offset == page.offset).unwrap();
    assert!(matches!(spoiled.verdict, Verdict::Broken(_)));
}
