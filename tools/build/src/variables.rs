//! Variables of a stage: what `ENV` and `ARG` gave them last.

/// Arguments that are there without being declared, and that are told to nobody: where a network
/// is reached.
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// Variables in the order in which they first came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    values: Vec<(String, String)>,
}

impl Variables {
    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.values.iter().find(|(there, _)| there == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Gives a variable a value.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.values.iter_mut().find(|(there, _)| there == name) {
            Some((_, there)) => value.clone_into(there),
            None => self.values.push((name.to_owned(), value.to_owned())),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Whether an argument says where a network is reached.
pub fn is_proxy(name: &str) -> bool {
    PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name))
}

impl<'a> FromIterator<(&'a str, &'a str)> for Variables {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(values: I) -> Variables {
        let mut variables = Variables::default();
        for (name, value) in values {
            variables.set(name, value);
        }
        variables
    }
}
