//! How people refer to layers: pure parsing, no store needed.

use super::name::Name;
use crate::error::{Error, Result};

/// The fewest hexadecimal digits of an id or digest that are taken for one.
pub const PREFIX_DIGITS_MIN: usize = 4;

/// What the text of a reference can mean, before a store is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The text as it was given.
    pub text: String,
    /// The name to look up; where there is none, [`Reference::latest`] comes after it.
    pub name: Name,
    /// `N` of `NAME@N`: how many snapshots back; `None` where no `@` was given.
    pub back: Option<u64>,
    /// The text as the beginning of a layer id or a digest.
    pub prefix: Option<String>,
}

impl Reference {
    /// Reads `NAME`, `NAME@N`, a layer id, a digest, or at least four hexadecimal digits of one.
    pub fn parse(text: &str) -> Result<Reference> {
        let (name, back) = match text.rsplit_once('@') {
            None => (text, None),
            Some((name, back)) => {
                let digits = !back.is_empty() && back.bytes().all(|byte| byte.is_ascii_digit());
                let Some(back) = back.parse::<u64>().ok().filter(|_| digits) else {
                    let found = format!("{text:?}");
                    let expected = "NAME@N with a number N";
                    return Err(Error::invalid("read a reference", "reference", found, expected));
                };
                (name, Some(back))
            }
        };
        let name = Name::new(name)?;
        let is_prefix = back.is_none()
            && (PREFIX_DIGITS_MIN..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let prefix = is_prefix.then(|| text.to_ascii_lowercase());
        Ok(Reference { text: text.to_owned(), name, back, prefix })
    }

    /// `NAME:latest`, where the name has no tag part of its own.
    pub fn latest(name: &Name) -> Option<Name> {
        let last = name.as_str().rsplit('/').next().unwrap_or_default();
        if last.contains(':') {
            return None;
        }
        Name::new(format!("{name}:latest")).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_name_a_step_back_or_a_prefix() {
        let name = |text| Name::new(text).unwrap();
        let plain = Reference::parse("debian:12").unwrap();
        assert_eq!((plain.name, plain.back, plain.prefix), (name("debian:12"), None, None));
        let back = Reference::parse("web@3").unwrap();
        assert_eq!((back.name, back.back, back.prefix), (name("web"), Some(3), None));
        let prefix = Reference::parse("BEEF").unwrap();
        assert_eq!((prefix.name, prefix.prefix), (name("BEEF"), Some("beef".into())));
        assert_eq!(Reference::parse("bee").unwrap().prefix, None);
        assert_eq!(Reference::parse("beef@1").unwrap().prefix, None);
        for bad in [
            "",
            "@",
            "@1",
            "web@",
            "web@x",
            "web@-1",
            "web@+1",
            "a@1@2",
            "web@99999999999999999999",
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn latest_is_tried_only_where_no_tag_is_given() {
        let latest =
            |text| Reference::latest(&Name::new(text).unwrap()).map(|name| name.to_string());
        assert_eq!(latest("debian").as_deref(), Some("debian:latest"));
        assert_eq!(latest("host:80/debian").as_deref(), Some("host:80/debian:latest"));
        assert_eq!(latest("debian:12"), None);
    }
}
