//! Trees in and out of sapwood: directories of the host, tar streams, layers of images.
//!
//! All goes through the file view of the engine ([`sapwood::files`]), without a mount and without
//! root. Nothing in an archive reaches outside the tree it is put into, and nothing in a tree
//! reaches outside the directory it is exported to (`INV-11`). What could be done only in part is
//! an error, unless the options ask for it by name (`INV-12`).
//!
//! # Put a tar stream into a tree and get it out again
//!
//! ```
//! use sapwood::files::{Files, FilesOptions, Inode, ReadFiles};
//! use sapwood_archive::tar::{Member, MemberKind, TarWriter};
//! use sapwood_archive::{ExportOptions, ImportOptions, export_tar, import_tar};
//! # use sapwood::{Store, StoreOptions};
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("store"), &StoreOptions::default())?;
//!
//! let files = Files::open(store.create_tree("web")?, FilesOptions::default())?;
//! let mut writer = TarWriter::new(Vec::new());
//! let mut member = Member::new("etc/hostname", MemberKind::File, 0o644);
//! member.size = 8;
//! writer.begin(&member)?;
//! writer.write(b"sapwood\n")?;
//! let stream = writer.finish()?;
//!
//! let options = ImportOptions::default();
//! import_tar(&files, Inode::ROOT, &mut &stream[..], &options, &mut |_| {})?;
//! let etc = files.lookup(Inode::ROOT, b"etc")?;
//! let mut content = [0; 8];
//! files.read(files.lookup(etc, b"hostname")?, 0, &mut content)?;
//! assert_eq!(&content, b"sapwood\n");
//!
//! let options = ExportOptions::default();
//! let (report, _) = export_tar(&files, Inode::ROOT, Vec::new(), &options, &mut |_| {})?;
//! assert_eq!(report.entries, 3); // the root, etc, and the file in it
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Stack the layers of an image
//!
//! ```
//! use sapwood::files::{Files, FilesOptions, Inode, ReadFiles};
//! use sapwood_archive::tar::{Member, MemberKind, TarWriter};
//! use sapwood_archive::{ImportOptions, import_layer};
//! # use sapwood::{Store, StoreOptions};
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("store"), &StoreOptions::default())?;
//!
//! let files = Files::open(store.create_tree("image")?, FilesOptions::default())?;
//! for layer in [["a", "b"], [".wh.a", "c"]] {
//!     let mut writer = TarWriter::new(Vec::new());
//!     for name in layer {
//!         writer.begin(&Member::new(name, MemberKind::File, 0o644))?;
//!     }
//!     let stream = writer.finish()?;
//!     import_layer(&files, &mut &stream[..], &ImportOptions::default(), &mut |_| {})?;
//!     files.snapshot(&Default::default())?; // one for each layer
//! }
//! assert!(files.lookup(Inode::ROOT, b"a").is_err());
//! assert!(files.lookup(Inode::ROOT, b"b").is_ok());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod compressed;
mod device;
mod export;
mod import;
mod listing;
mod options;
mod report;
mod residue;
pub mod tar;

pub use compressed::{decompressed, is_archive};
pub use device::pack as pack_device;
pub use export::{export_directory, export_file, export_layer, export_tar, member_of};
pub use import::{HostDirectory, HostFile, Identity};
pub use import::{
    TreeSource, copy_file, copy_tree, import_directory, import_file, import_layer,
    import_layer_recorded, import_tar, transfer_layer,
};
pub use listing::attributes_at;
pub use options::{ArchiveEnd, ExportOptions, ExtendedAttributes, Holes, ImportOptions};
pub use options::{Ownership, Replacement, SpecialFiles};
pub use report::{Progress, Report};
pub use residue::export_residue;
