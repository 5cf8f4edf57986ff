//! Platforms, as `linux/arm64/v8`, and the choice between images for several.

use std::fmt;
use std::str::FromStr;

use oci_spec::image::ImageConfiguration;
use sapwood::{Error, Result};

/// The processors of images, by their names in Go.
const ARCHITECTURES: [&str; 13] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
    "ppc64le", "riscv64", "s390x",
];

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
        let variant = match (architecture, variant.unwrap_or_default()) {
            ("armhf", "") => "v7".to_owned(),
            ("armel", "") => "v6".to_owned(),
            ("arm" | "arm64" | "aarch64", number) if number.parse::<u8>().is_ok() => {
                format!("v{number}")
            }
            (_, variant) => variant.to_owned(),
        };
        let architecture = usual_name(architecture);
        // What every one of them is says nothing.
        let usual =
            matches!((architecture, &*variant), (_, "") | ("arm64", "v8") | ("amd64", "v1"));
        let variant = Some(variant).filter(|_| !usual);
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

    /// Reads `OS/ARCHITECTURE[/VARIANT]`, as `docker` does: the system may be left out, and means Linux
    /// then; `linux` alone means the processor of this machine.
    ///
    /// Errors: [`InvalidInput`](sapwood::ErrorKind::InvalidInput).
    fn from_str(text: &str) -> Result<Platform> {
        let lower = text.to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        let platform = match parts[..] {
            _ if parts.iter().any(|part| !is_name(part)) => None,
            ["linux"] => Some(Platform::of_the_machine()),
            [architecture] => Some(Platform::new("linux", architecture, None))
                .filter(|platform| ARCHITECTURES.contains(&&*platform.architecture)),
            [architecture, variant] if ARCHITECTURES.contains(&usual_name(architecture)) => {
                Some(Platform::new("linux", architecture, Some(variant)))
            }
            [os, architecture] => Some(Platform::new(os, architecture, None)),
            [os, architecture, variant] => Some(Platform::new(os, architecture, Some(variant))),
            _ => None,
        };
        platform.ok_or_else(|| {
            let expected = format!(
                "[OS/]ARCHITECTURE[/VARIANT], as linux/amd64 or arm64; architectures are {}",
                ARCHITECTURES.join(", ")
            );
            Error::invalid("read a platform", "platform", format!("{text:?}"), expected)
        })
    }
}

fn is_name(part: &str) -> bool {
    let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !part.is_empty() && part.bytes().all(is_of_names)
}

/// A processor by its name in Go; what is not known stays.
fn usual_name(architecture: &str) -> &str {
    match architecture {
        "x86_64" | "x86-64" => "amd64",
        "x86" | "i386" | "i686" => "386",
        "aarch64" => "arm64",
        "armhf" | "armel" => "arm",
        "loongarch64" => "loong64",
        "powerpc64" => "ppc64",
        "powerpc64le" => "ppc64le",
        other => other,
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
            ("arm64", "linux/arm64"),
            ("aarch64", "linux/arm64"),
            ("arm64/v8", "linux/arm64"),
            ("linux/arm64/8", "linux/arm64"),
            ("arm/v7", "linux/arm/v7"),
            ("arm/6", "linux/arm/v6"),
            ("armhf", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("Linux/AMD64", "linux/amd64"),
            ("x86-64", "linux/amd64"),
            ("amd64/v1", "linux/amd64"),
            ("amd64/v3", "linux/amd64/v3"),
            ("linux/newest", "linux/newest"),
        ] {
            assert_eq!(platform(text).to_string(), shown, "{text}");
        }
        assert_eq!(platform("linux"), Platform::of_the_machine());
        for wrong in ["", "newest", "linux/", "/amd64", "linux/arm/", "linux/a/b/c", "linux/a b"] {
            let error = wrong.parse::<Platform>().unwrap_err().to_string();
            assert!(
                error.contains("linux/amd64 or arm64; architectures are 386, amd64"),
                "{error}"
            );
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
