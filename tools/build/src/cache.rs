//! Layers that were made before, found by what they stand on and what made them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use sapwood::files::{Files, FilesView, attachment};
use sapwood::{Error, ErrorKind, KeptSnapshot, LayerId, Result, Store};
use sapwood_oci::{CACHE_KEY_LABEL, KnownLayers};
use serde::{Deserialize, Serialize};

use crate::base::Image;

/// The names of the inputs that say what is done, and what a program is called with.
const INSTRUCTION: &str = "instruction";
const ARGUMENTS: &str = "arguments";
/// The attachment that says what went into the layer.
const INPUTS: &[u8] = b"build-inputs";
/// How much of a digest is kept to tell what differed.
const SHOWN_DIGITS: usize = 16;
/// How many differences are told.
const DIFFERENCES_MAX: usize = 3;
/// The largest list of inputs that is read back.
const INPUTS_BYTES_MAX: u64 = 1 << 30;

/// What goes into a step: names and values, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    values: Vec<(String, String)>,
}

/// The digest of what goes into a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(String);

/// A name or path as an input: another one for each.
pub fn shown_name(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        Ok(name) => name.into(),
        // No name, and no path in a context, begins so.
        Err(_) => format!("//{}", name.escape_ascii()).into(),
    }
}

impl Inputs {
    /// Adds an input.
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.values.push((name.into(), value.into()));
    }

    /// Adds the digest of a file.
    pub fn add_file(&mut self, path: &[u8], digest: &[u8; 32]) {
        self.add(
            format!("file {}", shown_name(path)),
            blake3::Hash::from_bytes(*digest).to_hex().to_string(),
        );
    }

    /// The digest of all of them.
    pub fn key(&self) -> Key {
        let mut hasher = blake3::Hasher::new_derive_key("sapwood build step 1");
        for (name, value) in &self.values {
            for text in [name, value] {
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            }
        }
        Key(hasher.finalize().to_hex().to_string())
    }

    /// Keeps them with the layer that they make.
    pub fn attach_to(&self, files: &Files) -> Result<()> {
        let mut kept = self.clone();
        for (name, value) in &mut kept.values {
            if name.starts_with("file ") {
                value.truncate(SHOWN_DIGITS);
            }
        }
        let failed = |error: std::io::Error| Error::io("write the inputs of a step", error);
        let json = serde_json::to_vec(&kept).map_err(|error| failed(error.into()))?;
        files.attach(INPUTS, &zstd::encode_all(&json[..], 0).map_err(failed)?)
    }

    fn of(view: &FilesView) -> Result<Option<Inputs>> {
        let Some(bytes) = attachment(view, INPUTS)? else { return Ok(None) };
        let failed = |error: std::io::Error| Error::io("read the inputs of a step", error);
        let mut json = Vec::new();
        let decoder = zstd::Decoder::new(&bytes[..]).map_err(failed)?;
        std::io::Read::read_to_end(&mut std::io::Read::take(decoder, INPUTS_BYTES_MAX), &mut json)
            .map_err(failed)?;
        let inputs = serde_json::from_slice(&json);
        inputs.map(Some).map_err(|error| {
            Error::corrupt("read the inputs of a step", "attachment", error, "a list of inputs")
        })
    }

    fn instruction(&self) -> &str {
        let found = self.values.iter().find(|(name, _)| name == INSTRUCTION);
        found.map_or("", |(_, value)| value)
    }

    /// The values of each name, in order.
    fn by_name(&self) -> HashMap<&str, Vec<&str>> {
        let mut by_name: HashMap<&str, Vec<&str>> = HashMap::new();
        for (name, value) in &self.values {
            by_name.entry(name).or_default().push(match name.starts_with("file ") {
                true => &value[..value.len().min(SHOWN_DIGITS)],
                false => value,
            });
        }
        by_name
    }

    /// In what these differ from what went into an earlier layer.
    fn differences(&self, before: &Inputs) -> Vec<String> {
        let shown = |value: &str| -> String { value.chars().take(60).collect() };
        let (now_by_name, before_by_name) = (self.by_name(), before.by_name());
        let is_other_call = self.instruction() != before.instruction();
        let mut differences = Vec::new();
        let mut told = HashSet::new();
        for (name, _) in self.values.iter().chain(&before.values) {
            // What is called follows from the instruction, most often.
            if !told.insert(name) || is_other_call && name == ARGUMENTS {
                continue;
            }
            let mut now = now_by_name.get(&name[..]).cloned().unwrap_or_default();
            let mut gone = before_by_name.get(&name[..]).cloned().unwrap_or_default();
            let is_list = now.len() > 1 || gone.len() > 1;
            // What both have is none, wherever it stands.
            now.retain(|value| match gone.iter().position(|there| there == value) {
                Some(place) => {
                    gone.remove(place);
                    false
                }
                None => true,
            });
            let is_file = name.starts_with("file ");
            let mut gone = gone.into_iter();
            for value in now {
                differences.push(match (gone.next(), is_file) {
                    (Some(_), true) => format!("{name} changed"),
                    (Some(gone), false) => {
                        format!("{name} was {:?}, is {:?}", shown(gone), shown(value))
                    }
                    (None, true) => format!("{name} is new"),
                    (None, false) => format!("{name} is new: {:?}", shown(value)),
                });
            }
            differences.extend(gone.map(|value| match is_list && !is_file {
                true => format!("{name} {:?} is gone", shown(value)),
                false => format!("{name} is gone"),
            }));
        }
        differences.dedup();
        differences
    }
}

impl Key {
    /// The key in hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The layers of a store that steps made.
#[derive(Debug, Default)]
pub struct Cache {
    known: KnownLayers,
}

impl Cache {
    /// Looks at all layers of the store, once. Removed ones, and those that lost blocks, are none.
    pub fn scan(store: &Store) -> Result<Cache> {
        Ok(Cache { known: KnownLayers::of(store)? })
    }

    /// Adds the layers of an image that was built elsewhere: it says what made them. That counts of the layers
    /// that are still those of which it speaks, one on the other.
    pub fn add_image(&mut self, store: &Store, reference: &str) -> Result<()> {
        let image = Image::open(store, reference)?;
        let keys = image.configuration.cache_keys();
        if keys.is_empty() {
            return Ok(());
        }
        let layers = sapwood_oci::Image::open(store, reference)?.layers(store)?;
        let spoken_of = image.configuration.rootfs.diff_ids;
        for ((layer, key), diff_id) in layers.iter().zip(keys).zip(spoken_of) {
            if layer.diff_id.is_none_or(|found| found.to_string() != diff_id) {
                break;
            }
            if let Some(key) = key {
                self.known.add_cache_key_of_others(layer.below, &key, layer.id);
            }
        }
        Ok(())
    }

    /// The layer that a step with this key made on `parent`.
    pub fn find(&self, parent: Option<LayerId>, key: &Key) -> Option<LayerId> {
        self.known.by_cache_key(parent, key.as_str())
    }

    /// Why nothing was found: in what the inputs differ from those of the step that this one was, as far as can
    /// be told: of all that an instruction of the same kind made on `parent` it is the one that is most alike.
    pub fn explain(store: &Store, parent: Option<LayerId>, inputs: &Inputs) -> Result<String> {
        let mut made = store.kept_snapshots()?;
        made.retain(|layer| layer.annotations.labels.contains_key(CACHE_KEY_LABEL));
        made.sort_by_key(|layer| std::cmp::Reverse(layer.annotations.created));
        let kind_of = |inputs: &Inputs| {
            let instruction = inputs.instruction();
            instruction.split(' ').next().unwrap_or_default().to_owned()
        };
        let below = |layer: &KeptSnapshot| layer.parent.map(|parent| parent.id);
        let mut closest: Option<(Likeness, Vec<String>)> = None;
        for layer in made.iter().filter(|layer| below(layer) == parent) {
            let snapshot = match store.snapshot_of(&layer.id.to_string()) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                snapshot => snapshot?,
            };
            let Some(before) = Inputs::of(&FilesView::open(snapshot)?)? else { continue };
            if kind_of(&before) != kind_of(inputs) {
                continue;
            }
            let differences = inputs.differences(&before);
            let likeness = Likeness::of(inputs, &before, differences.len());
            // Of those that are as much alike it is the last one.
            if closest.as_ref().is_none_or(|(there, _)| likeness > *there) {
                closest = Some((likeness, differences));
            }
        }
        let Some((_, differences)) = closest else {
            let key = inputs.key();
            let is_it = |layer: &&KeptSnapshot| {
                layer.annotations.labels.get(CACHE_KEY_LABEL).is_some_and(|there| *there == key.0)
            };
            return Ok(match made.iter().find(is_it) {
                Some(_) => "it was made before, on another base".to_owned(),
                None => "nothing was made here before by such an instruction".to_owned(),
            });
        };
        let more = differences.len().saturating_sub(DIFFERENCES_MAX);
        let mut told = differences[..differences.len() - more].join("; ");
        if more > 0 {
            told += &format!("; and {more} more");
        }
        if told.is_empty() {
            told = "the order of what is copied differs".to_owned();
        }
        Ok(told)
    }
}

/// How much what went into two steps is alike, the greater the more.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Likeness {
    is_same_instruction: bool,
    /// In how many inputs they differ.
    differences: std::cmp::Reverse<usize>,
    /// How much of the beginnings and the ends of the instructions is equal, in bytes.
    text: usize,
}

impl Likeness {
    fn of(now: &Inputs, before: &Inputs, differences: usize) -> Likeness {
        let (now, before) = (now.instruction().as_bytes(), before.instruction().as_bytes());
        let equal = |pair: &(&u8, &u8)| pair.0 == pair.1;
        let begin = now.iter().zip(before).take_while(equal).count();
        let end = now[begin..].iter().rev().zip(before[begin..].iter().rev());
        let text = begin + end.take_while(equal).count();
        let differences = std::cmp::Reverse(differences);
        Likeness { is_same_instruction: now == before, differences, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(values: &[(&str, &str)]) -> Inputs {
        let mut inputs = Inputs::default();
        for (name, value) in values {
            inputs.add(*name, *value);
        }
        inputs
    }

    #[test]
    fn keys_tell_where_one_text_ends() {
        assert_ne!(inputs(&[("a", "bc")]).key(), inputs(&[("ab", "c")]).key());
        assert_eq!(inputs(&[("a", "b")]).key(), inputs(&[("a", "b")]).key());
    }

    #[test]
    fn differences_are_told_by_name() {
        let before =
            inputs(&[("instruction", "COPY a b"), ("file a", "0123456789abcdef"), ("x", "1")]);
        let mut now = inputs(&[("instruction", "COPY a b"), ("variable V", "2")]);
        now.add_file(b"a", &[7; 32]);
        let told = now.differences(&before);
        assert_eq!(told, ["variable V is new: \"2\"", "file a changed", "x is gone"]);
        // Several of one name are a list.
        let before = inputs(&[("source", "f"), ("source", "l"), ("source", "m"), ("source", "n")]);
        let now = inputs(&[("source", "n"), ("source", "l"), ("source", "o")]);
        assert_eq!(
            now.differences(&before),
            ["source was \"f\", is \"o\"", "source \"m\" is gone"]
        );
        let file = |digit| {
            let mut now = inputs(&[("source", "f"), ("source", "l")]);
            now.add_file(b"f", &[digit; 32]);
            now.add_file(b"f", &[digit; 32]);
            now
        };
        assert_eq!(file(1).differences(&file(2)), ["file f changed"]);
    }
}
