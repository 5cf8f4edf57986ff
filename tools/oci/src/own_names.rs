//! Names that builds and pulls make for themselves: a word, and digits of a layer's id. One that somebody
//! has given to something of his own begins so as well, but is none of them.

use sapwood::{LayerId, NameEntry, NameKind};

/// The names of one purpose.
#[derive(Clone, Copy, Debug)]
pub struct OwnNames {
    word: &'static str,
    kind: NameKind,
    digits: usize,
}

impl OwnNames {
    /// Tags that keep the layers of build steps.
    pub const BUILD_CACHE: OwnNames =
        OwnNames { word: "build-cache:", kind: NameKind::Tag, digits: 16 };
    /// Volumes that builds make layers in.
    pub const BUILD_VOLUMES: OwnNames =
        OwnNames { word: "building:", kind: NameKind::Volume, digits: 32 };
    /// Tags that keep what was verified of an image that is not whole yet.
    pub const PARTIAL: OwnNames = OwnNames { word: "partial:", kind: NameKind::Tag, digits: 32 };

    /// The name for this id.
    pub fn name(self, id: LayerId) -> String {
        format!("{}{}", self.word, &id.to_string()[..self.digits])
    }

    /// The digits in a name, if it is one of these.
    pub fn digits_of(self, entry: &NameEntry) -> Option<&str> {
        self.digits_in(&entry.name).filter(|_| entry.kind == self.kind)
    }

    fn digits_in(self, name: &str) -> Option<&str> {
        let digits = name.strip_prefix(self.word)?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (digits.len() == self.digits && digits.bytes().all(is_digit)).then_some(digits)
    }

    /// Whether a name is one of these.
    pub fn hold(self, entry: &NameEntry) -> bool {
        self.digits_of(entry).is_some()
    }

    /// Whether something of this name would be taken for one of any purpose.
    pub fn any_looks_like(name: &str) -> bool {
        let all = [OwnNames::BUILD_CACHE, OwnNames::BUILD_VOLUMES, OwnNames::PARTIAL];
        all.into_iter().any(|own| own.digits_in(name).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_named_is_told_apart() {
        let id = LayerId([0xab; 16]);
        let entry =
            |name: &str, kind| NameEntry { name: name.to_owned(), kind, top: id, parent: None };
        for (names, other) in [
            (OwnNames::BUILD_CACHE, NameKind::Volume),
            (OwnNames::BUILD_VOLUMES, NameKind::Tag),
            (OwnNames::PARTIAL, NameKind::Volume),
        ] {
            let own = names.name(id);
            let digits = "ab".repeat(16)[..names.digits].to_owned();
            assert_eq!(names.digits_of(&entry(&own, names.kind)), Some(&*digits));
            assert!(!names.hold(&entry(&own, other)));
            let given = ["latest", "test", "", &digits[1..], &digits.to_uppercase()];
            for name in given.map(|given| format!("{}{given}", names.word)) {
                assert!(!names.hold(&entry(&name, names.kind)), "{name}");
            }
        }
    }
}
