//! `--chmod`: permissions by number, or by what changes in them.

/// What becomes of permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// These, whatever they were.
    Are(u16),
    /// These changes, in order.
    Change(Vec<Change>),
}

/// One change: `u+rwX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Bits that it is about: 0o4700 for the user, and so on.
    who: u16,
    operation: Operation,
    /// Bits for all, of which `who` takes its own.
    bits: u16,
    /// `X`: may be executed if it is a directory, or anybody may already.
    executes_if_any: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Add,
    Remove,
    Set,
}

const USER: u16 = 0o4700;
const GROUP: u16 = 0o2070;
const OTHERS: u16 = 0o1007;
const EXECUTE: u16 = 0o111;

impl Permissions {
    /// Reads `0755`, or `u=rwX,go-w`.
    pub fn parse(text: &str) -> Option<Permissions> {
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            let number = u16::from_str_radix(text, 8).ok()?;
            return (number <= 0o7777).then_some(Permissions::Are(number));
        }
        let mut changes = Vec::new();
        for part in text.split(',') {
            let end = part.find(['+', '-', '='])?;
            let mut who = 0;
            for letter in part[..end].chars() {
                who |= match letter {
                    'u' => USER,
                    'g' => GROUP,
                    'o' => OTHERS,
                    'a' => 0o7777,
                    _ => return None,
                };
            }
            let who = if who == 0 { 0o7777 } else { who };
            let mut rest = &part[end..];
            while let Some(sign) = rest.chars().next() {
                let operation = match sign {
                    '+' => Operation::Add,
                    '-' => Operation::Remove,
                    '=' => Operation::Set,
                    _ => return None,
                };
                rest = &rest[1..];
                let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
                let mut change = Change { who, operation, bits: 0, executes_if_any: false };
                for letter in rest[..end].chars() {
                    change.bits |= match letter {
                        'r' => 0o444,
                        'w' => 0o222,
                        'x' => EXECUTE,
                        's' => 0o6000,
                        't' => 0o1000,
                        'X' => {
                            change.executes_if_any = true;
                            0
                        }
                        _ => return None,
                    };
                }
                changes.push(change);
                rest = &rest[end..];
            }
        }
        Some(Permissions::Change(changes))
    }

    /// What permissions become.
    pub fn applied_to(&self, permissions: u16, is_directory: bool) -> u16 {
        match self {
            Permissions::Are(number) => *number,
            Permissions::Change(changes) => {
                changes.iter().fold(permissions, |now, change| change.applied_to(now, is_directory))
            }
        }
    }
}

impl Change {
    fn applied_to(&self, permissions: u16, is_directory: bool) -> u16 {
        let may_execute = is_directory || permissions & EXECUTE != 0;
        let more = if self.executes_if_any && may_execute { EXECUTE } else { 0 };
        let bits = (self.bits | more) & self.who;
        match self.operation {
            Operation::Add => permissions | bits,
            Operation::Remove => permissions & !bits,
            Operation::Set => permissions & !self.who | bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_by_number_and_by_change() {
        let cases = [
            ("755", 0o600, false, 0o755),
            ("04711", 0o600, false, 0o4711),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("a+x", 0o644, false, 0o755),
            ("+x-w", 0o644, false, 0o555),
            ("g+s,o+t", 0o755, true, 0o3755),
            ("go=", 0o777, false, 0o700),
        ];
        for (text, before, is_directory, after) in cases {
            let permissions = Permissions::parse(text).unwrap();
            assert_eq!(permissions.applied_to(before, is_directory), after, "{text}");
        }
        for wrong in ["", "8", "10000", "u", "x+r", "u+y", "755x", "u=r,"] {
            assert_eq!(Permissions::parse(wrong), None, "{wrong}");
        }
    }
}
