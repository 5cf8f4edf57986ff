//! What files are, in a few bytes: names, contents and all that counts of them but times.

use std::collections::HashMap;

use rayon::prelude::*;
use sapwood::Result;
use sapwood_archive::tar::{Attribute, Member, MemberKind};

use crate::origin::{Found, Group, Item, Origin};

/// The digests of files that an instruction copies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Paths in the origin, and digests of what is there, in the order in which they are copied.
    pub files: Vec<(Vec<u8>, [u8; 32])>,
    /// Of regular files the digests of their contents: of each group, by the places of its items.
    pub contents: Vec<Vec<Option<[u8; 32]>>>,
}

/// Reads all files, on all cores.
///
/// Owners count where the origin's are kept: nobody asks whose a context is.
pub fn digest(origin: &Origin, groups: &[Group]) -> Result<Looked> {
    let mut all = Looked::default();
    for group in groups {
        let looked: Result<Vec<Look>> =
            group.items.par_iter().map(|item| look(origin, item)).collect();
        let looked = looked?;
        // Names of one file are one file in what comes out.
        let mut first_names = HashMap::new();
        for item in group.parents.iter().flatten() {
            all.files.push((item.file.path.clone(), look(origin, item)?.0));
        }
        let mut contents = Vec::with_capacity(looked.len());
        for (place, (item, (digest, content))) in group.items.iter().zip(looked).enumerate() {
            let first = first_name(&item.file, place, &mut first_names);
            let mut hasher = blake3::Hasher::new();
            hasher.update(&digest);
            put(&mut hasher, &item.name);
            put_number(&mut hasher, item.above.map_or(0, |above| above as u64 + 1));
            put_number(&mut hasher, first as u64);
            all.files.push((item.file.path.clone(), *hasher.finalize().as_bytes()));
            contents.push(content);
        }
        all.contents.push(contents);
    }
    Ok(all)
}

/// The place of the first name of the same file.
pub fn first_name(
    file: &Found,
    place: usize,
    first_names: &mut HashMap<(u64, u64), usize>,
) -> usize {
    match (&file.member.kind, file.identity) {
        (MemberKind::Directory, _) | (_, None) => place,
        (_, Some(identity)) => *first_names.entry(identity).or_insert(place),
    }
}

/// The digest of a file, and of its content where it has one.
type Look = ([u8; 32], Option<[u8; 32]>);

fn look(origin: &Origin, item: &Item) -> Result<Look> {
    let member = &item.file.member;
    let mut hasher = blake3::Hasher::new();
    put(&mut hasher, member.kind.as_str().as_bytes());
    put_number(&mut hasher, member.permissions.into());
    if origin.keeps_owners() {
        put_number(&mut hasher, member.owner.into());
        put_number(&mut hasher, member.group.into());
    }
    match &member.kind {
        MemberKind::Symlink(target) => put(&mut hasher, target),
        MemberKind::CharDevice(major, minor) | MemberKind::BlockDevice(major, minor) => {
            put_number(&mut hasher, (*major).into());
            put_number(&mut hasher, (*minor).into());
        }
        MemberKind::File => {
            let mut content = blake3::Hasher::new();
            origin.read(
                &item.file,
                &mut |attributes| {
                    put_attributes(&mut hasher, attributes);
                    Ok(())
                },
                &mut |bytes| {
                    content.update(bytes);
                    Ok(())
                },
            )?;
            let content = *content.finalize().as_bytes();
            hasher.update(&content);
            return Ok((*hasher.finalize().as_bytes(), Some(content)));
        }
        _ => {}
    }
    put_attributes(&mut hasher, &attributes_of(member));
    Ok((*hasher.finalize().as_bytes(), None))
}

fn attributes_of(member: &Member) -> Vec<Attribute> {
    member.attributes.clone()
}

fn put_attributes(hasher: &mut blake3::Hasher, attributes: &[Attribute]) {
    put_number(hasher, attributes.len() as u64);
    for (name, value) in attributes {
        put(hasher, name);
        put(hasher, value);
    }
}

/// Adds bytes with their length, so that what follows cannot be taken for a part of them.
fn put(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    put_number(hasher, bytes.len() as u64);
    hasher.update(bytes);
}

fn put_number(hasher: &mut blake3::Hasher, number: u64) {
    hasher.update(&number.to_le_bytes());
}

impl Looked {
    /// The digests of the contents of a group's items.
    pub fn contents_of(&self, group: usize) -> &[Option<[u8; 32]>] {
        self.contents.get(group).map_or(&[], Vec::as_slice)
    }
}
