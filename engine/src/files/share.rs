//! Content of another tree of the store, shared.

use super::blocks::first_block;
use super::live::Files;
use super::read::expect_regular;
use super::types::{Inode, is_inline};
use super::view::FilesView;
use crate::error::Result;
use crate::format::files::InodeFlags;
use crate::units::BlockAddress;
use crate::volume::CloneSource;

impl Files {
    /// Makes `to` hold what the file `from` of another tree of the same store does, and nothing
    /// else, by sharing its blocks; how many bytes. What stands in the metadata is copied. Attributes
    /// stay as they are; after an error the content does, too.
    ///
    /// Errors: [`InvalidInput`](crate::ErrorKind::InvalidInput) for a view of a volume that is
    /// looked into, and for a tree of another store;
    /// [`IsADirectory`](crate::ErrorKind::IsADirectory).
    pub fn share_content(&self, source: &FilesView, from: Inode, to: Inode) -> Result<u64> {
        self.core.operate("share the content of a file", |operation| {
            let record = source.record(from)?;
            expect_regular(operation.name, &record)?;
            let blocks = source.snapshot().block_size().blocks_for(record.size);
            let lent_end = BlockAddress(first_block(from.0).0 + blocks);
            let snapshot = self.core.volume.lender(source.snapshot(), lent_end)?;
            let _content = self.core.content(to).write();
            let target = operation.record(to)?;
            if is_inline(&record) {
                let content = source.reader().content(from, record.size)?;
                operation.replace(to, &content)?;
                return Ok(record.size);
            }
            let target = operation.in_blocks(to, target)?;
            // The last that may lack room, but for the clone itself, which is whole or not at all.
            operation.make_room()?;
            let recount = operation.recount(to, target.size, 0..record.size.max(target.size));
            operation.batch.clone_blocks(
                CloneSource::Snapshot(&snapshot),
                first_block(from.0),
                first_block(to.0),
                blocks,
            )?;
            let sparse = record.flags.has(InodeFlags::SPARSE);
            operation.change_further(|editor| editor.note_written(to, record.size, sparse))?;
            operation.give_up_past(to, record.size, target.size)?;
            recount.done(blocks);
            Ok(record.size)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::files::{Files, FilesOptions, FilesView, Inode, NewFile, ReadFiles};
    use crate::medium::MemoryHost;
    use crate::{Annotations, ErrorKind, Store, StoreOptions};

    fn content(files: &dyn ReadFiles, inode: Inode) -> Vec<u8> {
        let mut bytes = vec![0; files.attributes(inode).unwrap().size as usize];
        let read = files.read(inode, 0, &mut bytes).unwrap();
        assert_eq!(read, bytes.len());
        bytes
    }

    #[test]
    fn content_of_another_tree_is_shared_whole_and_outlives_it() {
        let host = Arc::new(MemoryHost::new());
        let store = Store::create_on(host, &StoreOptions::default()).unwrap();
        let open = |name: &str| {
            Files::open(store.create_tree(name).unwrap(), FilesOptions::default()).unwrap()
        };
        let new = NewFile::regular(0o644);
        let source = open("source");
        let sizes = [0_usize, 5, 1998, 4096, 300_001];
        for size in sizes {
            let name = size.to_string();
            let inode = source.create(Inode::ROOT, name.as_bytes(), &new).unwrap().inode;
            source.write(inode, 0, &vec![size as u8 + 1; size]).unwrap();
        }
        let sparse = source.create(Inode::ROOT, b"sparse", &new).unwrap().inode;
        source.write(sparse, 1 << 20, b"end").unwrap();
        let view = FilesView::open(source.snapshot(&Annotations::default()).unwrap()).unwrap();

        let target = open("target");
        // Over nothing, over a little, and over more than comes.
        for old in [0, 3, 500_000] {
            for size in sizes {
                let from = view.lookup(Inode::ROOT, size.to_string().as_bytes()).unwrap();
                let name = format!("{old} {size}");
                let to = target.create(Inode::ROOT, name.as_bytes(), &new).unwrap().inode;
                target.write(to, 0, &vec![0xee; old]).unwrap();
                assert_eq!(target.share_content(&view, from, to).unwrap(), size as u64);
                assert_eq!(content(&target, to), content(&view, from), "{name}");
                // What comes behind the end afterwards is zeros, and not what was there before.
                target.write(to, size as u64 + 9, b"x").unwrap();
                assert_eq!(content(&target, to)[size..], *b"\0\0\0\0\0\0\0\0\0x", "{name}");
            }
        }
        let before = target.volume().counters().bytes_allocated;
        let to = target.create(Inode::ROOT, b"sparse", &new).unwrap().inode;
        target.share_content(&view, sparse, to).unwrap();
        assert_eq!(content(&target, to), content(&view, sparse));
        assert_eq!(target.volume().counters().bytes_allocated, before);
        let refused = target.share_content(&view, Inode::ROOT, to).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::IsADirectory);

        // The source goes, and the blocks that are shared stay.
        let kept = content(&view, sparse);
        target.flush().unwrap();
        drop(view);
        source.close().unwrap();
        store.remove("source").unwrap();
        store.collect(&Default::default()).unwrap();
        assert_eq!(content(&target, to), kept);
    }

    /// The target was emptied before it was asked whether the source may be shared.
    #[test]
    fn a_file_whose_share_is_refused_stays_as_it_was() {
        let new_store =
            || Store::create_on(Arc::new(MemoryHost::new()), &StoreOptions::default()).unwrap();
        let open = |store: &Store, name: &str| {
            Files::open(store.create_tree(name).unwrap(), FilesOptions::default()).unwrap()
        };
        let make = |files: &Files, name: &str, size: usize| {
            let new = NewFile::regular(0o644);
            let inode = files.create(Inode::ROOT, name.as_bytes(), &new).unwrap().inode;
            files.write(inode, 0, &vec![7; size]).unwrap();
            inode
        };
        let (store, other_store) = (new_store(), new_store());
        let (live, elsewhere) = (open(&store, "live"), open(&other_store, "elsewhere"));
        let target = open(&store, "target");
        for size in [5, 50_000] {
            let name = size.to_string();
            let from = make(&live, &name, size);
            assert_eq!(make(&elsewhere, &name, size), from);
            live.flush().unwrap();
            let looked_into = FilesView::open(store.snapshot_of("live").unwrap()).unwrap();
            let foreign = elsewhere.snapshot(&Annotations::default()).unwrap();
            let foreign = FilesView::open(foreign).unwrap();
            for old in [3, 60_000] {
                let to = make(&target, &format!("{size} {old}"), old);
                for source in [&looked_into, &foreign] {
                    let refused = target.share_content(source, from, to).unwrap_err();
                    assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
                    assert_eq!(content(&target, to), vec![7; old]);
                }
            }
        }
    }
}
