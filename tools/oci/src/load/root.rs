//! Tars of a whole root filesystem: an image of one layer, with a configuration that says no more
//! than has to be said.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use oci_spec::image::{Descriptor, ImageManifest, ImageManifestBuilder, MediaType};
use sapwood::{Error, Result};
use serde_json::json;

use super::archive::Range;
use super::platform::Platform;
use super::source::{ImageSource, digest_of};
use super::{ImageArchive, Listed};
use crate::Sha256;
use crate::blob::{Compression, Digesting};

/// A tar of a root filesystem.
pub struct RootTar {
    file: File,
    bytes: u64,
    diff_id: Sha256,
    configuration: Vec<u8>,
}

impl RootTar {
    /// Takes a tar, which is not compressed, for a root filesystem of this platform.
    pub fn open(file: File, path: &Path, platform: Option<&Platform>) -> Result<RootTar> {
        let failed = |error| Error::io("read a root filesystem", error).in_file(path);
        let bytes = file.metadata().map_err(failed)?.len();
        let mut digesting = Digesting::new(io::sink());
        let mut input = Range { file: &file, at: 0, end: bytes };
        io::copy(&mut input, &mut digesting).map_err(failed)?;
        let (diff_id, bytes) = digesting.finish();
        let machine = Platform::of_the_machine();
        let platform = platform.unwrap_or(&machine);
        // No time: the same tar makes the same image.
        let mut configuration = json!({
            "architecture": platform.architecture,
            "os": platform.os,
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [diff_id.to_string()] },
            "history": [{ "created_by": "load", "comment": "a root filesystem" }],
        });
        if let Some(variant) = &platform.variant {
            configuration["variant"] = variant.as_str().into();
        }
        let configuration = configuration.to_string().into_bytes();
        Ok(RootTar { file, bytes, diff_id, configuration })
    }
}

impl ImageSource for RootTar {
    fn open_blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        match digest_of(descriptor)? == self.diff_id {
            true => Ok(Box::new(Range { file: &self.file, at: 0, end: self.bytes })),
            false => Ok(Box::new(&self.configuration[..])),
        }
    }

    fn knows_digests(&self) -> bool {
        false
    }
}

impl ImageArchive for RootTar {
    fn images(&self) -> Vec<Listed> {
        vec![Listed { names: Vec::new() }]
    }

    fn manifest(&self, _at: usize, _wanted: Option<&Platform>) -> Result<ImageManifest> {
        let digest = Sha256::of(&self.configuration);
        let layer = self.diff_id.descriptor(Compression::None.media_type(), self.bytes);
        let manifest = ImageManifestBuilder::default()
            .schema_version(2_u32)
            .config(digest.descriptor(MediaType::ImageConfig, self.configuration.len() as u64))
            .layers([layer])
            .build();
        Ok(manifest.expect("all fields that have to be are there"))
    }
}
