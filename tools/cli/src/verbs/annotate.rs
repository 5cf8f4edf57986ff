//! What a verb notes in the layers that it makes.

use std::time::SystemTime;

use sapwood::format::annotations::Annotations;

/// The annotations of a layer made now by `verb`.
pub fn annotations(verb: &str, comment: Option<&str>, labels: &[(String, String)]) -> Annotations {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok();
    Annotations {
        created: now.and_then(|now| i64::try_from(now.as_nanos()).ok()),
        created_by: Some(format!("sapwood {verb}")),
        comment: comment.map(str::to_owned),
        labels: labels.iter().cloned().collect(),
    }
}
