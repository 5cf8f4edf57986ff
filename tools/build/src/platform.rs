//! Platforms: `linux/amd64`.

use crate::variables::Variables;

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// The processor, by its name in Go.
    pub architecture: String,
    /// Its variant.
    pub variant: Option<String>,
}

impl Platform {
    /// That of this machine.
    pub fn of_the_machine() -> Platform {
        Platform { architecture: in_go(std::env::consts::ARCH).to_owned(), variant: None }
    }

    /// Reads `[linux/]ARCHITECTURE[/VARIANT]`; none where it is another system, or no platform.
    pub fn parse(text: &str) -> Option<Platform> {
        let mut parts: Vec<&str> = text.split('/').collect();
        if parts.first() == Some(&"linux") {
            parts.remove(0);
        } else if parts.len() > 1 {
            return None;
        }
        if parts.is_empty() {
            return Some(Platform::of_the_machine());
        }
        let [architecture, variant @ ..] = &parts[..] else { return None };
        if architecture.is_empty() || variant.len() > 1 {
            return None;
        }
        // The only variant that there is of it says nothing.
        let variant = variant.first().copied().filter(|variant| {
            !variant.is_empty() && (in_go(architecture), *variant) != ("arm64", "v8")
        });
        let variant = variant.map(str::to_owned);
        Some(Platform { architecture: in_go(architecture).to_owned(), variant })
    }

    /// The variables by which Containerfiles ask for it.
    pub fn variables(&self) -> Variables {
        let mut variables = Variables::default();
        let variant = self.variant.as_deref().unwrap_or_default();
        let machine = Platform::of_the_machine();
        for (prefix, platform, variant) in [("TARGET", self, variant), ("BUILD", &machine, "")] {
            variables.set(&format!("{prefix}PLATFORM"), &platform.to_string());
            variables.set(&format!("{prefix}OS"), "linux");
            variables.set(&format!("{prefix}ARCH"), &platform.architecture);
            variables.set(&format!("{prefix}VARIANT"), variant);
        }
        variables
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "linux/{}", self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// The name that Go has for a processor.
fn in_go(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "x86" | "i386" | "i686" => "386",
        "aarch64" => "arm64",
        "loongarch64" => "loong64",
        "powerpc64" => "ppc64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_and_written() {
        let shown = |text| Platform::parse(text).map(|platform| platform.to_string());
        assert_eq!(shown("linux/x86_64").as_deref(), Some("linux/amd64"));
        assert_eq!(shown("arm64").as_deref(), Some("linux/arm64"));
        assert_eq!(shown("linux/arm64/v8").as_deref(), Some("linux/arm64"));
        assert_eq!(shown("linux/arm/v7").as_deref(), Some("linux/arm/v7"));
        for wrong in ["", "windows/amd64", "linux/", "linux/a/b/c"] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }
}
