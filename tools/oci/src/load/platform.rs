//! Platforms, as `linux/arm64/v8`, and the choice between images for several.

use std::fmt;
use std::str::FromStr;

use oci_spec::image::ImageConfiguration;
use sapwood::{Error, Result};

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// The system, by its name in Go.
    pub os: String,
    /// The processor, by its name in Go.
    pub architecture: String,
    /// Its variant.
    pub variant: Option<String>,
}

impl Platform {
    /// That of this machine.
    pub fn of_the_machine() -> Platform {
        Platform::new("linux", std::env::consts::ARCH, None)
    }

    /// A platform, its names as Go has them.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Platform {
        let architecture = match architecture {
            "x86_64" => "amd64",
            "x86" | "i386" | "i686" => "386",
            "aarch64" => "arm64",
            "loongarch64" => "loong64",
            "powerpc64" => "ppc64",
            other => other,
        };
        // What every one of them is says nothing.
        let usual = matches!(
            (architecture, variant),
            (_, Some("")) | ("arm64", Some("v8")) | ("amd64", Some("v1"))
        );
        let variant = variant.filter(|_| !usual).map(str::to_owned);
        Platform { os: os.to_owned(), architecture: architecture.to_owned(), variant }
    }

    /// What an index says of an image.
    pub fn of_spec(platform: &oci_spec::image::Platform) -> Platform {
        let (os, architecture) = (platform.os().to_string(), platform.architecture().to_string());
        Platform::new(&os, &architecture, platform.variant().as_deref())
    }

    /// What an image says of itself.
    pub fn of_configuration(configuration: &ImageConfiguration) -> Platform {
        let os = configuration.os().to_string();
        let architecture = configuration.architecture().to_string();
        Platform::new(&os, &architecture, configuration.variant().as_deref())
    }

    /// How well an image for this platform does for who wants `wanted`: not at all, or better the
    /// larger the number.
    pub fn serves(&self, wanted: &Platform) -> Option<u8> {
        if (&self.os, &self.architecture) != (&wanted.os, &wanted.architecture) {
            return None;
        }
        match (&self.variant, &wanted.variant) {
            (own, wanted) if own == wanted => Some(u8::MAX),
            (own, wanted) if self.architecture == "arm" && arm(own) <= arm(wanted) => {
                Some(1 + arm(own))
            }
            (None, Some(_)) | (Some(_), None) => Some(1),
            _ => None,
        }
    }
}

/// Which ARM a variant means: each runs what was made for those before it. Without a word it is the
/// seventh.
fn arm(variant: &Option<String>) -> u8 {
    const UNKNOWN: u8 = 100;
    let number = |name: &String| name.strip_prefix('v').and_then(|number| number.parse().ok());
    variant.as_ref().map_or(7, |name| number(name).unwrap_or(UNKNOWN).min(UNKNOWN))
}

impl FromStr for Platform {
    type Err = Error;

    /// Reads `OS/ARCHITECTURE[/VARIANT]`.
    ///
    /// Errors: [`InvalidInput`](sapwood::ErrorKind::InvalidInput).
    fn from_str(text: &str) -> Result<Platform> {
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => ("", "", None),
        };
        if os.is_empty() || architecture.is_empty() || variant == Some("") {
            let expected = "OS/ARCHITECTURE[/VARIANT], as linux/amd64";
            return Err(Error::invalid(
                "read a platform",
                "platform",
                format!("{text:?}"),
                expected,
            ));
        }
        Ok(Platform::new(os, architecture, variant))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// The platform among `there` that does best for who wants `wanted`, the first of equals.
///
/// Errors: [`NotFound`](sapwood::ErrorKind::NotFound), with what is there.
pub fn choose(there: &[Platform], wanted: &Platform) -> Result<usize> {
    let mut best: Option<(u8, usize)> = None;
    for (at, platform) in there.iter().enumerate() {
        let serves = platform.serves(wanted).map(|serves| (serves, at));
        best = match (best, serves) {
            (Some(best), Some(serves)) if serves.0 <= best.0 => Some(best),
            (best, None) => best,
            (_, serves) => serves,
        };
    }
    match best {
        Some((_, at)) => Ok(at),
        None => {
            let found: Vec<String> = there.iter().take(20).map(Platform::to_string).collect();
            let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
            let error = Error::new(sapwood::ErrorKind::NotFound, "choose a platform");
            Err(error.about("platform", found.escape_debug(), wanted))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn platforms_are_read_and_written() {
        for (text, shown) in [
            ("linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm/v7", "linux/arm/v7"),
            ("windows/amd64", "windows/amd64"),
        ] {
            assert_eq!(platform(text).to_string(), shown);
        }
        for wrong in ["", "linux", "linux/", "/amd64", "linux/arm/", "linux/a/b/c"] {
            assert!(wrong.parse::<Platform>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_best_of_what_is_there_is_chosen() {
        let there = ["linux/arm/v6", "linux/arm", "linux/arm/v7", "linux/amd64", "linux/amd64"];
        let there = there.map(platform);
        let chosen = |wanted: &str| choose(&there, &platform(wanted)).ok();
        assert_eq!(chosen("linux/arm/v7"), Some(2));
        assert_eq!(chosen("linux/arm/v8"), Some(1));
        assert_eq!(chosen("linux/arm"), Some(1));
        assert_eq!(chosen("linux/arm/v6"), Some(0));
        assert_eq!(chosen("linux/arm/v5"), Some(1));
        assert_eq!(chosen("linux/amd64"), Some(3));
        assert_eq!(chosen("linux/riscv64"), None);
        let error = choose(&there, &platform("linux/s390x")).unwrap_err();
        assert!(error.to_string().contains("linux/arm/v6, linux/arm,"), "{error}");
        let there = ["linux/arm/v6", "linux/arm/v5", "linux/arm/v7", "linux/arm/v9"].map(platform);
        let chosen = |wanted: &str| choose(&there, &platform(wanted)).ok();
        assert_eq!(chosen("linux/arm"), Some(2));
        assert_eq!(chosen("linux/arm/v8"), Some(2));
        assert_eq!(choose(&there[..2], &platform("linux/arm")).ok(), Some(0));
        assert_eq!(choose(&there[..1], &platform("linux/arm/v5")).ok(), None);
    }
}
