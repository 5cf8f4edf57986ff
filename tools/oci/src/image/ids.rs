//! Images by their ids.

use std::collections::BTreeMap;

use sapwood::{Error, ErrorKind, LayerId, Result, Store};

use super::IMAGE_LABEL;

/// So many digits of an id mean an image: as many as listings show.
const DIGITS_MIN: usize = 12;
/// Those of a whole one.
const DIGITS: usize = 64;

/// What a reference means, where it may be the id of an image: `sha256:` and the digits, the digits alone,
/// or at least twelve of them. What means something without that does so still; what is no id either is
/// given back as it is.
///
/// Errors: [`Ambiguous`](ErrorKind::Ambiguous) for a beginning that several have.
pub fn by_id(store: &Store, reference: &str) -> Result<String> {
    let digits = reference.strip_prefix("sha256:").unwrap_or(reference);
    let is_id = (DIGITS_MIN..=DIGITS).contains(&digits.len())
        && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_id || !is_absent(store.resolve(reference))? {
        return Ok(reference.to_owned());
    }
    let mut found: BTreeMap<String, LayerId> = BTreeMap::new();
    for mut snapshot in store.kept_snapshots()? {
        let id = snapshot.annotations.labels.remove(IMAGE_LABEL);
        let is_it =
            |id: &String| id.strip_prefix("sha256:").is_some_and(|id| id.starts_with(digits));
        // Several may hold one image: which of them is meant makes no difference.
        found.extend(id.filter(is_it).map(|id| (id, snapshot.id)));
    }
    match found.len() {
        0 => Ok(reference.to_owned()),
        1 => Ok(found.into_values().next().expect("one").to_string()),
        count => {
            let two: Vec<&str> = found.keys().take(2).map(String::as_str).collect();
            let found = format!("{count} that begin so, among them {}", two.join(" and "));
            let operation = format!("look up {reference}");
            Err(Error::new(ErrorKind::Ambiguous, operation).about("images", found, "one"))
        }
    }
}

fn is_absent<T>(resolved: Result<T>) -> Result<bool> {
    match resolved {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        resolved => resolved.map(|_| false),
    }
}
