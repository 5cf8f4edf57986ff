//! Platforms as Containerfiles and the command line say them.

use sapwood_oci::Platform;

use crate::variables::Variables;

/// Reads `[linux/]ARCHITECTURE[/VARIANT]`, or `linux` for this machine; none where it is another
/// system, or no platform.
pub fn parse(text: &str) -> Option<Platform> {
    if text == "linux" {
        return Some(Platform::of_the_machine());
    }
    let whole = match text.contains('/') {
        true => text.to_owned(),
        false => format!("linux/{text}"),
    };
    whole.parse().ok().filter(|platform: &Platform| platform.os == "linux")
}

/// The variables by which Containerfiles ask for the platform.
pub fn variables(platform: &Platform) -> Variables {
    let mut variables = Variables::default();
    let machine = Platform::of_the_machine();
    for (prefix, platform) in [("TARGET", platform), ("BUILD", &machine)] {
        variables.set(&format!("{prefix}PLATFORM"), &platform.to_string());
        variables.set(&format!("{prefix}OS"), &platform.os);
        variables.set(&format!("{prefix}ARCH"), &platform.architecture);
        let variant = platform.variant.as_deref().unwrap_or_default();
        variables.set(&format!("{prefix}VARIANT"), variant);
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_may_be_left_out() {
        let shown = |text| parse(text).map(|platform| platform.to_string());
        assert_eq!(shown("linux/x86_64").as_deref(), Some("linux/amd64"));
        assert_eq!(shown("arm64").as_deref(), Some("linux/arm64"));
        assert_eq!(shown("linux/arm/v7").as_deref(), Some("linux/arm/v7"));
        assert_eq!(parse("linux"), Some(Platform::of_the_machine()));
        for wrong in ["", "windows/amd64", "linux/", "linux/a/b/c"] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }
}
