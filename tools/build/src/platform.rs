//! Platforms as Containerfiles and the command line say them.

use sapwood::{Error, Result};
use sapwood_oci::Platform;

use crate::variables::Variables;

/// Reads a platform, as [`Platform`] does, that images can be built for.
///
/// Errors: [`InvalidInput`](sapwood::ErrorKind::InvalidInput) for what is none, and for another system
/// than Linux.
pub fn parse(text: &str) -> Result<Platform> {
    let platform: Platform = text.parse()?;
    match &*platform.os {
        "linux" => Ok(platform),
        _ => {
            let expected = "one of linux, which is what is built for";
            Err(Error::invalid("build", "platform", format!("{text:?}"), expected))
        }
    }
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
    fn nothing_is_built_for_other_systems() {
        assert_eq!(parse("arm/v7").unwrap().to_string(), "linux/arm/v7");
        let error = parse("windows/amd64").unwrap_err().to_string();
        assert!(error.contains("\"windows/amd64\", expected one of linux"), "{error}");
    }
}
