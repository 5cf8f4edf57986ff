//! The protocol's methods: unpack, ask a role, reply. Long, as there are many; one thing, as
//! each does just that.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, Generation, INodeNo,
    IoctlFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use super::attributes::Change;
use super::links::Wanted;
use super::{Answer, Server, Told};
use crate::attributes::of_nothing;
use crate::kernel::{self, KEPT, NOT_KEPT, Wishes};

/// The longest name that a tree takes.
const NAME_BYTES_MAX: u32 = 255;
/// From here on what a message carries takes longer than waking who carries it: workers sleep
/// after it, and leave the CPU to who uses the bytes.
const LARGE_BYTES: u32 = 64 << 10;

impl Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let wishes = Wishes {
            write_back: self.tree.writer().is_ok() && self.options.quota_bytes.is_none(),
            access_control_lists: self.options.access_control_lists,
        };
        kernel::agree(config, wishes)
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let _message = self.awake.message();
        if let Some(attributes) = self.barrier.lookup(name.as_bytes()) {
            return reply.entry_with_ttls(&KEPT, &NOT_KEPT, &attributes, Generation(0));
        }
        if let Some(number) = self.held_back.lookup(name.as_bytes()) {
            return match self.inode(number).and_then(|found| self.tell_and_hold(found)) {
                Ok(Told { attributes, generation }) => {
                    reply.entry_with_ttls(&KEPT, &NOT_KEPT, &attributes, generation)
                }
                Err(error) => reply.error(error),
            };
        }
        match self.lookup(parent, name.as_bytes()) {
            Ok(Some(told)) => reply.entry(&KEPT, &told.attributes, told.generation),
            // Inode 0: the kernel keeps that the name is not there.
            Ok(None) => reply.entry(&KEPT, &of_nothing(), Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn forget(&self, _: &Request, number: INodeNo, count: u64) {
        self.barrier.forget(number);
        self.forget(number, count);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let _message = self.awake.message();
        if let Some(attributes) = self.barrier.attributes(number) {
            return reply.attr(&KEPT, &attributes);
        }
        reply_attributes(reply, self.attributes(number));
    }

    fn setattr(
        &self,
        request: &Request,
        number: INodeNo,
        mode: Option<u32>,
        user: Option<u32>,
        group: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        changed: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let _message = self.awake.message();
        if let Some(attributes) = self.barrier.attributes(number) {
            // The times of a mark.
            return reply.attr(&KEPT, &attributes);
        }
        let change = Change { mode, user, group, size, accessed, modified, changed };
        reply_attributes(reply, self.set_attributes(request, number, &change));
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        let _message = self.awake.message();
        match self.read_link(number) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(error),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        directory: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        let _message = self.awake.message();
        let wanted = Wanted { directory, name: name.as_bytes(), mode, umask, device };
        reply_entry(reply, self.make(request, &wanted));
    }

    fn mkdir(
        &self,
        request: &Request,
        directory: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let _message = self.awake.message();
        // The protocol leaves the kind out, and that only.
        let mode = 0o040_000 | mode & 0o7777;
        let wanted = Wanted { directory, name: name.as_bytes(), mode, umask, device: 0 };
        reply_entry(reply, self.make(request, &wanted));
    }

    fn symlink(
        &self,
        request: &Request,
        directory: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let _message = self.awake.message();
        let target = target.as_os_str().as_bytes();
        reply_entry(reply, self.make_symlink(request, directory, name.as_bytes(), target));
    }

    fn link(
        &self,
        _: &Request,
        file: INodeNo,
        directory: INodeNo,
        name: &OsStr,
        reply: ReplyEntry,
    ) {
        let _message = self.awake.message();
        reply_entry(reply, self.link(file, directory, name.as_bytes()));
    }

    fn unlink(&self, _: &Request, directory: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let _message = self.awake.message();
        reply_empty(reply, self.unlink(directory, name.as_bytes()));
    }

    fn rmdir(&self, _: &Request, directory: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let _message = self.awake.message();
        reply_empty(reply, self.remove_directory(directory, name.as_bytes()));
    }

    fn rename(
        &self,
        _: &Request,
        from: INodeNo,
        from_name: &OsStr,
        to: INodeNo,
        to_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let _message = self.awake.message();
        let (from, to) = ((from, from_name.as_bytes()), (to, to_name.as_bytes()));
        reply_empty(reply, self.rename(from, to, flags));
    }

    /// No message is needed to open: the kernel stops asking, and keeps what it has cached.
    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    /// The kernel makes files by `mknod` from then on: one message, where this one brings a
    /// second with each close.
    fn create(
        &self,
        _: &Request,
        _: INodeNo,
        _: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// Nothing is left to do when a file is closed; the kernel stops telling.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let _message = (size < LARGE_BYTES).then(|| self.awake.message());
        if self.barrier.attributes(number).is_some() {
            return reply.data(&self.barrier.page(size as usize));
        }
        self.read(number, offset, size, flags, |answer| match answer {
            Ok(data) => reply.data(data),
            Err(error) => reply.error(error),
        });
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let _message = (data.len() < LARGE_BYTES as usize).then(|| self.awake.message());
        if self.barrier.mark(number) {
            return reply.written(data.len() as u32);
        }
        // The kernel notes itself what it does not hold back.
        let is_held_back = flags.contains(WriteFlags::FUSE_WRITE_CACHE);
        let before = is_held_back.then(|| self.room_of(number));
        reply_written(reply, self.write(number, offset, data, flags));
        // Once it is answered, as the kernel may wait for that.
        if before.is_some_and(|before| before != self.room_of(number)) {
            self.held_back.has_other_room(number);
        }
    }

    fn fsync(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let _message = self.awake.message();
        self.held_back.is_synced(number);
        reply_synced(self, reply);
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let _message = self.awake.message();
        reply_synced(self, reply);
    }

    fn readdir(
        &self,
        _: &Request,
        directory: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let _message = self.awake.message();
        match self.list(directory, offset, &mut reply) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn readdirplus(
        &self,
        _: &Request,
        directory: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let _message = self.awake.message();
        match self.list_with_attributes(directory, offset, &mut reply) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        match self.statistics() {
            Ok(shown) => {
                let block_bytes = self.block_bytes;
                let (blocks, free) = (shown.blocks, shown.blocks_free);
                let (files, files_free) = (shown.files, shown.files_free);
                let name_bytes = NAME_BYTES_MAX;
                reply.statfs(
                    blocks,
                    free,
                    free,
                    files,
                    files_free,
                    block_bytes,
                    name_bytes,
                    block_bytes,
                );
            }
            Err(error) => reply.error(error),
        }
    }

    fn setxattr(
        &self,
        _: &Request,
        number: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        let _message = self.awake.message();
        reply_empty(reply, self.set_extended_attribute(number, name.as_bytes(), value, flags));
    }

    fn getxattr(&self, _: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let _message = self.awake.message();
        // Where access lists count, the kernel asks for that of what somebody else opens.
        if self.barrier.attributes(number).is_some() {
            return reply.error(Errno::ENODATA);
        }
        reply_extended(reply, size, self.extended_attribute(number, name.as_bytes()));
    }

    fn listxattr(&self, _: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        let _message = self.awake.message();
        reply_extended(reply, size, self.extended_attribute_names(number));
    }

    fn removexattr(&self, _: &Request, number: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let _message = self.awake.message();
        reply_empty(reply, self.remove_extended_attribute(number, name.as_bytes()));
    }

    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    fn fallocate(
        &self,
        request: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        reply_empty(reply, self.allocate(request, number, offset, length, mode));
    }

    fn lseek(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        self.seek(number, offset, whence, reply);
    }

    fn copy_file_range(
        &self,
        request: &Request,
        from: INodeNo,
        _: FileHandle,
        from_offset: u64,
        to: INodeNo,
        _: FileHandle,
        to_offset: u64,
        length: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let (from, to) = ((from, from_offset), (to, to_offset));
        reply_written(reply, self.copy_range(request, from, to, length));
    }
}

fn reply_entry(reply: ReplyEntry, answer: Answer<Told>) {
    match answer {
        Ok(told) => reply.entry(&KEPT, &told.attributes, told.generation),
        Err(error) => reply.error(error),
    }
}

fn reply_attributes(reply: ReplyAttr, answer: Answer<Told>) {
    match answer {
        Ok(told) => reply.attr(&KEPT, &told.attributes),
        Err(error) => reply.error(error),
    }
}

fn reply_empty(reply: ReplyEmpty, answer: Answer<()>) {
    match answer {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn reply_written(reply: ReplyWrite, answer: Answer<u32>) {
    match answer {
        Ok(length) => reply.written(length),
        Err(error) => reply.error(error),
    }
}

fn reply_synced(server: &Server, reply: ReplyEmpty) {
    if server.commits_on_sync() {
        reply_empty(reply, server.sync());
    } else {
        // The kernel stops asking, and tells its callers that all is well.
        reply.error(Errno::ENOSYS);
    }
}

fn reply_extended(reply: ReplyXattr, size: u32, answer: Answer<Vec<u8>>) {
    match answer {
        Err(error) => reply.error(error),
        Ok(value) if size == 0 => reply.size(value.len() as u32),
        Ok(value) if value.len() > size as usize => reply.error(Errno::ERANGE),
        Ok(value) => reply.data(&value),
    }
}
