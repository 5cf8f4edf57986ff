//! A backup that copies what changed: a disk in use, a snapshot each night, and a copy elsewhere that
//! is brought up to date with the blocks that differ, and nothing else.
//!
//! `cargo run -p sapwood --example nightly_backup`

use std::fs::File;
use std::os::unix::fs::FileExt;

use sapwood::{Annotations, GcOptions, Snapshot, Store, StoreOptions, ViewTarget};

const DISK_BYTES: u64 = 1 << 30;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let store = Store::create(folder.path().join("store"), &StoreOptions::default())?;
    let disk = store.create_volume("disk", DISK_BYTES)?;
    let copy = File::create_new(folder.path().join("copy.raw"))?;
    copy.set_len(DISK_BYTES)?;

    let mut last: Option<Snapshot> = None;
    for night in 0..5_u8 {
        // The day: whoever has the disk writes, and makes it durable.
        for place in 0..100 {
            let offset = (u64::from(night) * 7919 + place * 104_729) * 4096 % DISK_BYTES;
            disk.write_at(offset, &[night + 1; 4096])?;
        }
        disk.flush()?;

        // The night: writers go on while this is copied.
        let note = Annotations { comment: Some(format!("night {night}")), ..Default::default() };
        let tonight = disk.snapshot(&note)?;
        let copied = bring_up_to_date(&copy, last.as_ref(), &tonight)?;
        println!("night {night}: {} KiB copied", copied >> 10);
        assert_eq!(copied, 100 * 4096);

        // Last night's is needed no more: its space comes back, from the middle of the chain. What stays
        // of each is a small file in the disk's history: after some thousand nights the newest snapshot
        // can be flattened, and the disk go on from a fork of that.
        if let Some(last) = last.replace(tonight) {
            let id = last.layer_id().to_string();
            drop(last); // a snapshot that is held is not collected
            store.remove(&id)?;
            store.collect(&GcOptions::default())?;
        }
    }

    let last = last.expect("there were nights");
    expect_same(&copy, &last)?;
    Ok(())
}

/// Writes what differs between the two snapshots into the copy: all of the newer one where there is
/// no older. Gives the bytes that were copied.
fn bring_up_to_date(
    copy: &File,
    last: Option<&Snapshot>,
    tonight: &Snapshot,
) -> Result<u64, Box<dyn std::error::Error>> {
    let block_bytes = tonight.block_size().bytes();
    let mut stretches = Vec::new();
    match last {
        Some(last) => {
            for change in tonight.changes_since(last)? {
                let change = change?;
                stretches.push((change.start, change.length));
            }
        }
        None => {
            for extent in tonight.all_extents() {
                let extent = extent?;
                if extent.target != ViewTarget::Hole {
                    stretches.push((extent.start, extent.length));
                }
            }
        }
    }
    let mut copied = 0;
    let mut buffer = vec![0; 1 << 20];
    for (start, length) in stretches {
        let (mut at, end) = (start.0 * block_bytes, (start.0 + length) * block_bytes);
        while at < end.min(tonight.size_bytes()) {
            let piece = &mut buffer[..(end.min(tonight.size_bytes()) - at).min(1 << 20) as usize];
            tonight.read_at(at, piece)?;
            copy.write_all_at(piece, at)?;
            at += piece.len() as u64;
            copied += piece.len() as u64;
        }
    }
    copy.sync_data()?;
    Ok(copied)
}

fn expect_same(copy: &File, snapshot: &Snapshot) -> Result<(), Box<dyn std::error::Error>> {
    let (mut ours, mut theirs) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    for offset in (0..DISK_BYTES).step_by(1 << 20) {
        snapshot.read_at(offset, &mut ours)?;
        copy.read_exact_at(&mut theirs, offset)?;
        assert!(ours == theirs, "the copy differs at {offset}");
    }
    Ok(())
}
