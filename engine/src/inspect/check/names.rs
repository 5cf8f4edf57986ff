//! Where the files of a store lie, read back from their names.

use std::fmt::Write;

use crate::units::{Digest, LayerId};

/// The longest escaped name in bytes: longer ones are hashed.
const ESCAPED_BYTES_MAX: usize = 220;

/// The id of the layer whose file is called so.
pub fn layer_of(file: &str) -> Option<LayerId> {
    file.strip_suffix(".layer")?.parse().ok()
}

/// The layer that a file marks as one that is being made.
pub fn making_of(file: &str) -> Option<LayerId> {
    file.strip_suffix(".making")?.parse().ok()
}

/// The snapshot that a file marks as released.
pub fn released_of(file: &str) -> Option<LayerId> {
    file.strip_suffix(".released")?.parse().ok()
}

/// The tip of the index whose file is called so.
pub fn index_of(file: &str) -> Option<LayerId> {
    file.strip_suffix(".index")?.parse().ok()
}

/// The digest and the layer that a file of the folder of digests tells.
pub fn digest_of(file: &str) -> Option<(Digest, LayerId)> {
    let (digest, id) = file.split_once('-')?;
    Some((digest.parse().ok()?, id.parse().ok()?))
}

/// Whether a file was written aside, or marks a layer that is being made: what an interrupted
/// operation leaves, and the next one of its kind removes.
pub fn is_unfinished(file: &str) -> bool {
    file.ends_with(".tmp") || file.ends_with(".making")
}

/// The name that is escaped so; `None` where that is not a name's, or only its hash.
pub fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut name = parts.next()?.as_bytes().to_vec();
    for part in parts {
        name.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        name.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(name).ok()
}

/// A name as part of a file name: letters, digits and `._:+=,~-` stand for themselves, other
/// bytes are `%xx`; what would be longer than 220 bytes is `%%` and the BLAKE3 hash of the name.
pub fn escaped(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"._:+=,~-".contains(&byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02x}").expect("writing to a string");
        }
    }
    match text.len() > ESCAPED_BYTES_MAX {
        true => format!("%%{}", blake3::hash(name.as_bytes()).to_hex()),
        false => text,
    }
}
