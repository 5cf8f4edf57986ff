//! The table of sources: the layers whose blocks a layer refers to besides its own.

use super::fields::{FieldReader, FieldWriter};
use super::identity::{LAYER_REF_BYTES, LayerRef};
use crate::error::Result;

/// The body of the table.
pub fn encode(sources: &[LayerRef]) -> Vec<u8> {
    let mut body = vec![0; sources.len() * LAYER_REF_BYTES];
    let mut fields = FieldWriter::new(&mut body);
    for source in sources {
        source.write(&mut fields);
    }
    body
}

/// The table that `body` holds.
pub fn decode(body: &[u8]) -> Result<Vec<LayerRef>> {
    let mut fields = FieldReader::new("table of sources", body);
    if !body.len().is_multiple_of(LAYER_REF_BYTES) {
        let expected = format!("a multiple of {LAYER_REF_BYTES}");
        return Err(fields.bad("length", 0, body.len(), expected));
    }
    (0..body.len() / LAYER_REF_BYTES).map(|_| LayerRef::read(&mut fields)).collect()
}
