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
    bits: Bits,
}

/// What a change is about, for all, of which `who` takes its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bits {
    /// These. `X`: and may be executed if it is a directory, or anybody may already.
    These { bits: u16, executes_if_any: bool },
    /// What these have before the change: `u`, `g` or `o`.
    Of(u16),
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
    /// Reads `0755`, `u=rwX,go-w` or `g=u`.
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
                let bits = Bits::parse(&rest[..end])?;
                changes.push(Change { who, operation, bits });
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

impl Bits {
    fn parse(letters: &str) -> Option<Bits> {
        match letters {
            "u" => return Some(Bits::Of(USER)),
            "g" => return Some(Bits::Of(GROUP)),
            "o" => return Some(Bits::Of(OTHERS)),
            _ => {}
        }
        let (mut bits, mut executes_if_any) = (0, false);
        for letter in letters.chars() {
            bits |= match letter {
                'r' => 0o444,
                'w' => 0o222,
                'x' => EXECUTE,
                's' => 0o6000,
                't' => 0o1000,
                'X' => {
                    executes_if_any = true;
                    0
                }
                _ => return None,
            };
        }
        Some(Bits::These { bits, executes_if_any })
    }

    fn of(self, permissions: u16, is_directory: bool) -> u16 {
        match self {
            Bits::These { bits, executes_if_any } => {
                let may_execute = is_directory || permissions & EXECUTE != 0;
                bits | if executes_if_any && may_execute { EXECUTE } else { 0 }
            }
            // Reading, writing and executing, and nothing of how it is run.
            Bits::Of(whose) => [0o444, 0o222, EXECUTE]
                .into_iter()
                .filter(|all| permissions & whose & all != 0)
                .sum(),
        }
    }
}

impl Change {
    fn applied_to(&self, permissions: u16, is_directory: bool) -> u16 {
        let bits = self.who & self.bits.of(permissions, is_directory);
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
            ("g=u", 0o640, false, 0o660),
            ("g=u", 0o4751, true, 0o4771),
            ("o=g", 0o2750, false, 0o2755),
            ("g=u,o-rwx", 0o604, false, 0o660),
            ("go+u", 0o501, false, 0o555),
            ("a-o", 0o775, false, 0o220),
            ("=g", 0o740, false, 0o444),
            ("u=rw,g=u,o=g", 0o777, false, 0o666),
        ];
        for (text, before, is_directory, after) in cases {
            let permissions = Permissions::parse(text).unwrap();
            assert_eq!(permissions.applied_to(before, is_directory), after, "{text}");
        }
        for wrong in ["", "8", "10000", "u", "x+r", "u+y", "g=ur", "g=uo", "g=a", "755x", "u=r,"] {
            assert_eq!(Permissions::parse(wrong), None, "{wrong}");
        }
    }
}
