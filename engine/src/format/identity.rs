//! How a layer names another: its parent, or a source of shared blocks.

use super::fields::{FieldReader, FieldWriter};
use crate::error::{Error, ErrorKind, Result};
use crate::units::{Digest, LayerId};

/// The size of a reference in bytes.
pub const LAYER_REF_BYTES: usize = 72;

/// The fields of a reference: offset and name.
pub const FIELDS: &[(usize, &str)] = &[
    (0, "layer id"),
    (16, "layer size"),
    (24, "layer freeze generation"),
    (32, "layer map checksum"),
    (40, "layer digest"),
];

/// The identity of a frozen layer as another layer recorded it (INV-04).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LayerRef {
    /// Its id.
    pub id: LayerId,
    /// Its size as a disk in bytes; 0 for a tree.
    pub volume_bytes: u64,
    /// The generation of the header that froze it.
    pub freeze_generation: u64,
    /// The checksum over its whole map.
    pub map_checksum: u64,
    /// Its digest, where it was sealed when it was recorded.
    pub digest: Option<Digest>,
}

impl LayerRef {
    /// Appends the reference.
    pub fn write(&self, fields: &mut FieldWriter<'_>) {
        fields
            .layer_id(self.id)
            .u64(self.volume_bytes)
            .u64(self.freeze_generation)
            .u64(self.map_checksum)
            .digest(self.digest);
    }

    /// Reads a reference.
    pub fn read(fields: &mut FieldReader<'_>) -> Result<LayerRef> {
        Ok(LayerRef {
            id: fields.layer_id("layer id")?,
            volume_bytes: fields.u64("layer size")?,
            freeze_generation: fields.u64("layer freeze generation")?,
            map_checksum: fields.u64("layer map checksum")?,
            digest: fields.digest("layer digest")?,
        })
    }

    /// Appends a reference, or zeros where there is none.
    pub fn write_optional(layer: Option<&LayerRef>, fields: &mut FieldWriter<'_>) {
        match layer {
            Some(layer) => layer.write(fields),
            None => {
                fields.raw(&[0; LAYER_REF_BYTES]);
            }
        }
    }

    /// Reads what [`LayerRef::write_optional`] wrote.
    pub fn read_optional(fields: &mut FieldReader<'_>) -> Result<Option<LayerRef>> {
        let start = fields.position();
        if fields.raw("layer reference", LAYER_REF_BYTES)?.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        LayerRef::read(fields.seek(start)).map(Some)
    }

    /// That `found` is the layer that was recorded: the same digest where one was recorded,
    /// whatever the id; else the same id, size, freeze generation and map checksum.
    pub fn verify(&self, found: &LayerRef) -> Result<()> {
        let wrong = |field, found: String, expected: String| {
            Err(Error::new(ErrorKind::WrongParent, "compare a layer with what was recorded of it")
                .about(field, found, expected))
        };
        if let Some(expected) = self.digest {
            return match found.digest {
                Some(digest) if digest == expected => Ok(()),
                Some(digest) => wrong("digest", digest.to_string(), expected.to_string()),
                None => wrong("digest", "none".into(), expected.to_string()),
            };
        }
        if found.id != self.id {
            return wrong("layer id", found.id.to_string(), self.id.to_string());
        }
        if found.volume_bytes != self.volume_bytes {
            let (found, expected) = (found.volume_bytes, self.volume_bytes);
            return wrong("size", found.to_string(), expected.to_string());
        }
        if found.freeze_generation != self.freeze_generation {
            let (found, expected) = (found.freeze_generation, self.freeze_generation);
            return wrong("freeze generation", found.to_string(), expected.to_string());
        }
        if found.map_checksum != self.map_checksum {
            let (found, expected) = (found.map_checksum, self.map_checksum);
            return wrong("map checksum", format!("{found:#018x}"), format!("{expected:#018x}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_told_from_another_by_each_field_and_by_its_digest_alone_once_it_has_one() {
        let recorded = LayerRef {
            id: LayerId([1; 16]),
            volume_bytes: 2,
            freeze_generation: 3,
            map_checksum: 4,
            digest: None,
        };
        recorded.verify(&recorded).unwrap();
        let others = [
            LayerRef { id: LayerId([9; 16]), ..recorded },
            LayerRef { volume_bytes: 9, ..recorded },
            LayerRef { freeze_generation: 9, ..recorded },
            LayerRef { map_checksum: 9, ..recorded },
        ];
        let sealed = Some(Digest([5; 32]));
        recorded.verify(&LayerRef { digest: sealed, ..recorded }).unwrap();
        for other in others {
            assert_eq!(recorded.verify(&other).unwrap_err().kind(), ErrorKind::WrongParent);
            let (recorded, other) =
                (LayerRef { digest: sealed, ..recorded }, LayerRef { digest: sealed, ..other });
            recorded.verify(&other).unwrap();
        }
        for digest in [None, Some(Digest([6; 32]))] {
            let wanted = LayerRef { digest: sealed, ..recorded };
            let found = LayerRef { digest, ..recorded };
            assert_eq!(wanted.verify(&found).unwrap_err().kind(), ErrorKind::WrongParent);
        }
    }
}
