//! What of the operations that a disk recorded is durable, and what is not.

use super::image::{Change, FileNumber, Image, Operation, Written};
use crate::medium::sparse::SparseBytes;

/// What is surely there after the whole log, and what may be there as well.
pub(super) fn settle(base: &Image, log: &[Operation]) -> (Image, Vec<Pending>) {
    let mut durable = base.clone();
    let mut pending: Vec<Pending> = Vec::new();
    for (index, operation) in log.iter().enumerate() {
        match operation {
            Operation::Change(..) | Operation::Naming(_) => {
                pending.push(Pending { index, operation: operation.clone() });
            }
            Operation::Sync(file) => {
                for arrived in pending.extract_if(.., |pending| pending.is_change_of(*file)) {
                    apply(&mut durable, &arrived.operation);
                }
            }
            Operation::LoseUnsynced(file) => pending.retain(|pending| !pending.is_change_of(*file)),
            Operation::SyncFolder(path) => {
                let named_there = |pending: &mut Pending| matches!(&pending.operation, Operation::Naming(naming) if naming.folder() == path);
                for arrived in pending.extract_if(.., named_there) {
                    apply(&mut durable, &arrived.operation);
                }
            }
            Operation::DropCache(_) => {}
        }
    }
    (durable, pending)
}

/// What the device surely holds of one file after the whole log.
pub(super) fn durable_content(base: &Image, log: &[Operation], file: FileNumber) -> SparseBytes {
    settle(base, log).0.view(file).clone()
}

/// An operation that is not durable, and where it stands in the log.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) index: usize,
    pub(super) operation: Operation,
}

impl Pending {
    /// What it writes, and into which file.
    pub(super) fn write(&self) -> Option<(FileNumber, &Written)> {
        match &self.operation {
            Operation::Change(file, Change::Write(written)) => Some((*file, written)),
            _ => None,
        }
    }

    pub(super) fn is_change_of(&self, file: FileNumber) -> bool {
        matches!(&self.operation, Operation::Change(other, _) if *other == file)
    }
}

/// Does an operation that was recorded.
pub(super) fn apply(image: &mut Image, operation: &Operation) {
    match operation {
        Operation::Change(file, change) => {
            change.apply(image.content(*file)).expect("a recorded change was possible before");
        }
        Operation::Naming(naming) => image.name(naming),
        Operation::Sync(_)
        | Operation::LoseUnsynced(_)
        | Operation::SyncFolder(_)
        | Operation::DropCache(_) => {}
    }
}
