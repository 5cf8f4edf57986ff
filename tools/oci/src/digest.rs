//! SHA-256 digests: of blobs, of layers, of chains of layers.

use std::fmt::{self, Write};
use std::str::FromStr;

use oci_spec::image::{Descriptor, MediaType};
use sapwood::{Error, ErrorKind, Result};
use sha2::Digest;

/// The algorithm, as digests begin.
const PREFIX: &str = "sha256:";

/// A SHA-256 digest, written as `sha256:` and 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Sha256 {
        Sha256(sha2::Sha256::digest(bytes).into())
    }

    /// The ChainID of layers, lowest first, whose uncompressed tars have these digests; `None` for
    /// none.
    pub fn chain_of(diff_ids: &[Sha256]) -> Option<Sha256> {
        diff_ids.iter().fold(None, |below, diff_id| Some(Sha256::chained(below, *diff_id)))
    }

    /// The ChainID of a layer on those whose ChainID is `below`.
    pub fn chained(below: Option<Sha256>, diff_id: Sha256) -> Sha256 {
        match below {
            Some(below) => Sha256::of(format!("{below} {diff_id}").as_bytes()),
            None => diff_id,
        }
    }

    /// The descriptor of what has this digest.
    pub fn descriptor(&self, media_type: MediaType, bytes: u64) -> Descriptor {
        let digest = self.to_string().parse::<oci_spec::image::Digest>();
        Descriptor::new(media_type, bytes, digest.expect("it is written as they are"))
    }

    /// The digits, without the algorithm.
    pub fn to_hex(&self) -> String {
        let mut hex = String::with_capacity(64);
        for byte in self.0 {
            write!(hex, "{byte:02x}").expect("writing to a string");
        }
        hex
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.to_hex())
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = Error;

    /// Reads a digest, strictly: it may be used as the name of a file.
    ///
    /// Errors: [`ErrorKind::Unsupported`] for another algorithm; [`ErrorKind::InvalidInput`].
    fn from_str(text: &str) -> Result<Sha256> {
        let operation = "read a digest";
        let shown: String = text.chars().take(100).collect();
        let shown = shown.escape_debug();
        let Some(hex) = text.strip_prefix(PREFIX) else {
            let is_digest = text.split_once(':').is_some_and(|(algorithm, _)| {
                !algorithm.is_empty() && algorithm.bytes().all(|byte| byte.is_ascii_alphanumeric())
            });
            let kind = if is_digest { ErrorKind::Unsupported } else { ErrorKind::InvalidInput };
            return Err(Error::new(kind, operation).about("algorithm", shown, "sha256"));
        };
        let bad = || Error::invalid(operation, "digest", &shown, "64 digits in lower case");
        let mut bytes = [0; 32];
        if hex.len() != 2 * bytes.len() {
            return Err(bad());
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let digit = |digit: u8| match digit {
                b'0'..=b'9' => Ok(digit - b'0'),
                b'a'..=b'f' => Ok(digit - b'a' + 10),
                _ => Err(bad()),
            };
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Sha256(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_read_back_what_they_print_and_nothing_else_is_one() {
        let digest = Sha256::of(b"sap");
        assert_eq!(digest.to_string().parse::<Sha256>().unwrap(), digest);
        let hex = digest.to_hex();
        for bad in [
            hex.clone(),
            String::new(),
            "sha256:".to_owned(),
            "sha256:../../etc/passwd".to_owned(),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{hex}0"),
            format!("sha256:{}", hex.to_uppercase()),
            format!("SHA256:{hex}"),
            format!(" sha256:{hex}"),
            format!("sha256:{}/{}", &hex[..31], &hex[..32]),
            format!("sha256:{}é", &hex[..62]),
        ] {
            assert!(bad.parse::<Sha256>().is_err(), "{bad}");
        }
        let other = format!("sha512:{hex}{hex}").parse::<Sha256>().unwrap_err();
        assert_eq!(other.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn a_chain_is_the_hash_of_what_is_below_and_the_layer() {
        let [a, b] = [Sha256::of(b"a"), Sha256::of(b"b")];
        assert_eq!(Sha256::chain_of(&[]), None);
        assert_eq!(Sha256::chain_of(&[a]), Some(a));
        let both = Sha256::of(format!("{a} {b}").as_bytes());
        assert_eq!(Sha256::chain_of(&[a, b]), Some(both));
        assert_eq!(Sha256::chain_of(&[a, b, a]), Some(Sha256::chained(Some(both), a)));
    }
}
