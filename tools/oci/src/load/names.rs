//! Names of images as people write them.

/// The name without what everybody leaves away: the registry and the namespace of Docker.
pub fn familiar(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_as_people_write_them() {
        use super::familiar;
        assert_eq!(familiar("docker.io/library/debian:12"), "debian:12");
        assert_eq!(familiar("docker.io/user/tool:1"), "user/tool:1");
        assert_eq!(familiar("quay.io/library/debian:12"), "quay.io/library/debian:12");
        assert_eq!(familiar("debian:12"), "debian:12");
    }
}
