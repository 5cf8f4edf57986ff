//! A real small tree, always the same, and what can be done to its pages.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use sapwood::BlockAddress;
use sapwood::files::{
    Files, FilesOptions, Inode, NewFile, Paths, ReadFiles, SetMode, SizeChange, Time,
};
use sapwood::format::files::{Held, Page, Superblock};
use sapwood::medium::MemoryHost;
use sapwood::store::{Store, StoreOptions};
use sapwood::units::BlockSize;
use sapwood::volume::Volume;

const PAGE: usize = 4096;

/// Something done to a page. Numbers are taken modulo what there is.
#[derive(Arbitrary, Debug)]
pub enum Spoil {
    /// Bytes anywhere in it.
    Bytes { page: u8, at: u16, bytes: [u8; 4] },
    /// Bytes in the head of it or of the first page, where most fields are.
    Head { page: u8, at: u8, bytes: [u8; 4] },
    /// Bytes in the value of an item: a record, a name, a piece of content.
    Value { page: u8, slot: u8, at: u8, bytes: [u8; 4] },
    /// Another page below an inner page.
    Child { page: u8, slot: u8, child: u8 },
    /// An item taken out.
    Remove { page: u8, slot: u8 },
    /// The value of one item in place of another's.
    Copy { page: u8, from: u8, to: u8 },
    /// A page in place of another.
    Move { from: u8, to: u8 },
}

/// The pages of a tree, by number; the first is the superblock.
pub type PageImages = BTreeMap<u64, Vec<u8>>;

/// The pages of the tree: the same each time, so that an input means the same.
pub fn pages() -> &'static PageImages {
    static PAGES: OnceLock<PageImages> = OnceLock::new();
    PAGES.get_or_init(|| build().expect("a sound tree in memory"))
}

impl Spoil {
    /// Does it.
    pub fn apply(&self, pages: &mut PageImages) {
        let numbers: Vec<u64> = pages.keys().copied().collect();
        let number = |pick: u8| numbers[usize::from(pick) % numbers.len()];
        match *self {
            Spoil::Bytes { page, at, bytes } => put(pages, number(page), at.into(), bytes),
            Spoil::Head { page, at, bytes } => put(pages, number(page), (at % 128).into(), bytes),
            Spoil::Value { page, slot, at, bytes } => edit(pages, number(page), |page, slots| {
                let slot = usize::from(slot) % slots;
                let mut value = page.value(slot).to_vec();
                for (place, byte) in value.iter_mut().skip(at.into()).zip(bytes) {
                    *place = byte;
                }
                page.overwrite(slot, &value);
            }),
            Spoil::Child { page, slot, child } => {
                let child = number(child) as u32;
                edit_inner(pages, number(page), |page, slots| {
                    page.set_child(usize::from(slot) % slots, child);
                });
            }
            Spoil::Remove { page, slot } => edit(pages, number(page), |page, slots| {
                page.remove(usize::from(slot) % slots);
            }),
            Spoil::Copy { page, from, to } => edit(pages, number(page), |page, slots| {
                let (from, to) = (usize::from(from) % slots, usize::from(to) % slots);
                let (key, value) = (page.key(to), page.value(from).to_vec());
                page.remove(to);
                if page.has_room(&[key], value.len()) {
                    page.insert(to, key, Held::Value(&value));
                }
            }),
            Spoil::Move { from, to } => {
                let page = pages[&number(from)].clone();
                pages.insert(number(to), page);
            }
        }
    }
}

fn put(pages: &mut PageImages, number: u64, at: usize, bytes: [u8; 4]) {
    let at = at % (PAGE - bytes.len() + 1);
    let page = pages.get_mut(&number).expect("one of them");
    page[at..at + bytes.len()].copy_from_slice(&bytes);
}

/// Edits a leaf that is still sound in itself and has items.
fn edit(pages: &mut PageImages, number: u64, edit: impl FnOnce(&mut Page, usize)) {
    edit_sound(pages, number, |page| {
        let slots = page.len();
        if page.level() == 0 && slots > 0 {
            edit(page, slots);
        }
    });
}

fn edit_inner(pages: &mut PageImages, number: u64, edit: impl FnOnce(&mut Page, usize)) {
    edit_sound(pages, number, |page| {
        let slots = page.len();
        if page.level() > 0 && slots > 0 {
            edit(page, slots);
        }
    });
}

fn edit_sound(pages: &mut PageImages, number: u64, edit: impl FnOnce(&mut Page)) {
    let image = pages[&number].clone().into_boxed_slice();
    if let Ok(mut page) = Page::decode(image, number as u32) {
        edit(&mut page);
        pages.insert(number, page.encode().to_vec());
    }
}

/// A tree in a fresh store whose pages are `pages`.
pub fn tree_of(pages: &PageImages) -> sapwood::Result<(Store, Volume)> {
    let store = Store::create_on(Arc::new(MemoryHost::new()), &StoreOptions::default())?;
    let volume = store.create_tree("tree")?;
    write(&volume, pages)?;
    Ok((store, volume))
}

/// Writes pages over those of a tree; block checksums are right.
pub fn write(volume: &Volume, pages: &PageImages) -> sapwood::Result<()> {
    for (&number, page) in pages {
        volume.write_blocks(BlockAddress(number), 0, page)?;
    }
    Ok(())
}

/// A clock that stands still.
pub fn files_options() -> FilesOptions {
    let clock = || Time { seconds: 1_700_000_000, nanoseconds: 0 };
    FilesOptions { clock, ..FilesOptions::default() }
}

/// Makes the tree, and takes its pages.
fn build() -> sapwood::Result<PageImages> {
    let (store, volume) = tree_of(&PageImages::new())?;
    // The key of the names is random, which would put them elsewhere each time.
    Files::open(volume, files_options())?.close()?;
    let volume = store.open_volume("tree")?;
    let mut first = vec![0; PAGE];
    volume.read_blocks(BlockAddress(0), 0, &mut first)?;
    let mut superblock = Superblock::decode(&first, BlockSize::DEFAULT)?;
    superblock.name_key = [7; 32];
    volume.write_blocks(BlockAddress(0), 0, &superblock.encode(BlockSize::DEFAULT))?;

    let files = Files::open(volume, files_options())?;
    fill(&files)?;
    files.flush()?;
    let mut pages = PageImages::new();
    for number in 0..files.statistics()?.metadata_bytes / PAGE as u64 + 8 {
        let mut page = vec![0; PAGE];
        files.volume().read_blocks(BlockAddress(number), 0, &mut page)?;
        if page.iter().any(|&byte| byte != 0) {
            pages.insert(number, page);
        }
    }
    // The layer's id is random; nothing depends on it but which numbers are given again.
    let mut superblock = Superblock::decode(&pages[&0], BlockSize::DEFAULT)?;
    superblock.layer = sapwood::units::LayerId([9; 16]);
    pages.insert(0, superblock.encode(BlockSize::DEFAULT));
    Ok(pages)
}

/// Files of each kind: in the metadata and in blocks, with links, holes, attributes, and one
/// without a name.
fn fill(files: &Files) -> sapwood::Result<()> {
    let paths = Paths::new(files);
    paths.create_dir_all("a/b/c")?;
    paths.create_dir("empty")?;
    for number in 0..40 {
        paths.write(format!("a/small-{number}"), &[number; 90])?;
    }
    for number in 0..6 {
        paths.write(format!("a/b/pieces-{number}"), &[number; 1900])?;
    }
    paths.write("a/b/c/large", &[5; 3 * PAGE])?;
    let large = paths.resolve("a/b/c/large")?;
    files.write(large, 1 << 20, &[6; 100])?;
    files.zero(large, 4096, 4096, SizeChange::Keep)?;
    paths.hard_link("a/small-3", "a/b/link")?;
    paths.hard_link("a/small-3", "link")?;
    paths.symlink("b/c/large", "a/way")?;
    paths.symlink("x".repeat(3000), "a/long-way")?;
    files.set_extended_attribute(large, b"user.note", &[8; 300], SetMode::Any)?;
    files.set_extended_attribute(Inode::ROOT, b"user.long", &[9; 4000], SetMode::Any)?;
    files.attach(b"small", &[10; 200])?;
    files.attach(b"large", &[11; 2 * PAGE])?;
    files.create_unnamed(&NewFile::regular(0o600))?;
    paths.remove_file("a/small-9")?;
    Ok(())
}
