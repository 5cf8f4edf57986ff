//! Verbs that other tools for containers have, and what is here instead.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// What to say where one of them is typed.
const VERBS: [(&str, &str); 7] = [
    ("container", "`ps -a` lists containers, and each verb takes their names"),
    ("info", "`df` tells what the store holds"),
    ("kill", "`stop --signal KILL` ends a container at once"),
    ("login", "credentials are those that `docker login` or `podman login` left"),
    ("network", "a container has the network of the host, or none: `run --network`"),
    ("system", "`df` tells what the store holds, and `prune` gives space back"),
    (
        "volume",
        "volumes by name are not kept for containers: `run -v HOST:DIR` mounts a path of the host",
    ),
];

/// The refusal with what is here instead, where another tool's verb was typed: the most similar words
/// mean something else.
pub fn explain(mut refusal: clap::Error) -> clap::Error {
    if refusal.kind() != ErrorKind::InvalidSubcommand {
        return refusal;
    }
    let Some(ContextValue::String(typed)) = refusal.get(ContextKind::InvalidSubcommand) else {
        return refusal;
    };
    if let Some((_, instead)) = VERBS.iter().find(|(verb, _)| verb == typed) {
        refusal.remove(ContextKind::SuggestedSubcommand);
        let instead = vec![StyledStr::from(*instead)];
        refusal.insert(ContextKind::Suggested, ContextValue::StyledStrs(instead));
    }
    refusal
}
