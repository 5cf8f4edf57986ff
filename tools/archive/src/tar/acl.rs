//! Access control lists as text, which `tar --acls` writes, to the attribute that the host keeps.

use sapwood::Result;

use super::{malformed, shown};

/// What the first four bytes of the attribute say.
const VERSION: u32 = 2;
/// The number where an entry is for nobody in particular.
const NOBODY_IN_PARTICULAR: u32 = u32::MAX;

/// The value of `system.posix_acl_access` or `system.posix_acl_default` for lines such as
/// `user::rw-`, `user:1000:r--` and `group:staff:r-x:50`, between commas or newlines.
///
/// Names are not looked up on the host: an entry for a name that has no number is refused.
pub fn from_text(text: &[u8]) -> Result<Vec<u8>> {
    let mut entries = Vec::new();
    for line in text.split(|&byte| matches!(byte, b',' | b'\n')) {
        let line = line.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii();
        if !line.is_empty() {
            entries.push(entry(line)?);
        }
    }
    // The kernel wants them in this order.
    entries.sort_unstable();
    let mut value = VERSION.to_le_bytes().to_vec();
    for (tag, identity, permissions) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(identity.to_le_bytes());
    }
    Ok(value)
}

/// Tag, number, permissions.
fn entry(line: &[u8]) -> Result<(u16, u32, u16)> {
    let bad = |expected| malformed("access control list", shown(line), expected);
    let mut parts = line.split(|&byte| byte == b':');
    let (Some(who), Some(name), Some(permissions)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(bad("three parts with `:` between them"));
    };
    let number = parts.next().unwrap_or(name);
    let is_named = !name.is_empty();
    let tag = match (who, is_named) {
        (b"user" | b"u", false) => 0x01,
        (b"user" | b"u", true) => 0x02,
        (b"group" | b"g", false) => 0x04,
        (b"group" | b"g", true) => 0x08,
        (b"mask" | b"m", false) => 0x10,
        (b"other" | b"o", false) => 0x20,
        _ => return Err(bad("user, group, mask or other")),
    };
    let identity = match is_named {
        false => NOBODY_IN_PARTICULAR,
        true => std::str::from_utf8(number)
            .ok()
            .and_then(|number| number.parse().ok())
            .filter(|&number| number != NOBODY_IN_PARTICULAR)
            .ok_or_else(|| {
                bad("the number of the user or group, as `tar --numeric-owner` writes it, or an \
                     import without extended attributes")
            })?,
    };
    let permissions = permissions.iter().try_fold(0, |bits, letter| match letter {
        b'r' => Ok(bits | 4),
        b'w' => Ok(bits | 2),
        b'x' => Ok(bits | 1),
        b'-' => Ok(bits),
        _ => Err(bad("permissions of r, w, x and -")),
    })?;
    Ok((tag, identity, permissions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_what_the_host_keeps() {
        let value = from_text(b"user::rw-\nother::r--,group::r--,user:lisa:rwx:502,mask::rwx\n");
        let entry = |tag: u8, permissions: u8, number: u32| {
            [&[tag, 0, permissions, 0][..], &number.to_le_bytes()].concat()
        };
        let expected = [
            vec![2, 0, 0, 0],
            entry(1, 6, u32::MAX),
            entry(2, 7, 502),
            entry(4, 4, u32::MAX),
            entry(16, 7, u32::MAX),
            entry(32, 4, u32::MAX),
        ];
        assert_eq!(value.unwrap(), expected.concat());
        for text in [&b"user:lisa:rwx"[..], b"user::rwq", b"all::rwx", b"user", b"mask:5:rwx"] {
            assert!(from_text(text).is_err(), "{}", text.escape_ascii());
        }
    }
}
