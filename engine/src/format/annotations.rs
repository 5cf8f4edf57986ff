//! What people say of a layer: when and by what it was made, a comment, labels.

use std::collections::BTreeMap;

use super::fields::FieldReader;
use crate::error::{Error, Result};

/// The largest encoded size: annotations are read whole.
pub const ANNOTATIONS_BYTES_MAX: usize = 64 << 10;

/// The annotations of a layer. They are not part of its digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// When the layer was made, in nanoseconds since 1970 UTC.
    pub created: Option<i64>,
    /// What made it: a command, an instruction.
    pub created_by: Option<String>,
    /// A comment.
    pub comment: Option<String>,
    /// Labels, by key.
    pub labels: BTreeMap<String, String>,
}

impl Annotations {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        *self == Annotations::default()
    }

    /// The body; an error where it would be over [`ANNOTATIONS_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        body.push(u8::from(self.created.is_some()));
        body.extend(self.created.unwrap_or(0).to_le_bytes());
        for text in [&self.created_by, &self.comment] {
            body.push(u8::from(text.is_some()));
            put(&mut body, text.as_deref().unwrap_or(""));
        }
        body.extend((self.labels.len() as u32).to_le_bytes());
        for (key, value) in &self.labels {
            put(&mut body, key);
            put(&mut body, value);
        }
        if body.len() > ANNOTATIONS_BYTES_MAX {
            return Err(Error::invalid(
                "write annotations",
                "length",
                body.len(),
                format!("at most {ANNOTATIONS_BYTES_MAX} bytes in all"),
            ));
        }
        Ok(body)
    }

    /// What `body` says.
    pub fn decode(body: &[u8]) -> Result<Annotations> {
        let mut fields = FieldReader::new("annotations", body);
        if body.len() > ANNOTATIONS_BYTES_MAX {
            let expected = format!("at most {ANNOTATIONS_BYTES_MAX}");
            return Err(fields.bad("length", 0, body.len(), expected));
        }
        let has_created = flag(&mut fields)?;
        let created = fields.u64("created")? as i64;
        if !has_created && created != 0 {
            return Err(fields.bad("created", 8, created, "0, as it is absent"));
        }
        let mut texts = [None, None];
        for text in &mut texts {
            let present = flag(&mut fields)?;
            let value = get(&mut fields)?;
            if !present && !value.is_empty() {
                let found = format!("{} bytes", value.len());
                return Err(fields.bad("text", value.len(), found, "none, as it is absent"));
            }
            *text = present.then_some(value);
        }
        let count = fields.u32("label count")?;
        let mut labels = BTreeMap::<String, String>::new();
        for _ in 0..count {
            let key = get(&mut fields)?;
            if labels.last_key_value().is_some_and(|(last, _)| *last >= key) {
                let found = format!("{key:?}");
                return Err(fields.bad("label key", key.len(), found, "ascending keys"));
            }
            let value = get(&mut fields)?;
            labels.insert(key, value);
        }
        fields.expect("end", 0, fields.position(), body.len())?;
        let [created_by, comment] = texts;
        Ok(Annotations { created: has_created.then_some(created), created_by, comment, labels })
    }
}

fn put(body: &mut Vec<u8>, text: &str) {
    body.extend((text.len() as u32).to_le_bytes());
    body.extend(text.as_bytes());
}

fn flag(fields: &mut FieldReader<'_>) -> Result<bool> {
    match fields.u8("presence")? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(fields.bad("presence", 1, other, "0 or 1")),
    }
}

fn get(fields: &mut FieldReader<'_>) -> Result<String> {
    let length = fields.u32("text length")? as usize;
    let bytes = fields.raw("text", length)?;
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(fields.bad("text", length, error, "UTF-8")),
    }
}
