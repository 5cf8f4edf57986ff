//! Names of images as people write them.

/// The name without what everybody leaves away: the registry and the namespace of Docker.
pub fn familiar(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name)
}

/// The name that an image of an archive gets by what the archive calls it. Where that says no tag it is
/// `latest`, as everywhere: a name without one would be found before that.
pub fn given_by_archive(name: &str) -> String {
    let name = familiar(name);
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') { name.to_owned() } else { format!("{name}:latest") }
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

    #[test]
    fn an_archive_gives_no_name_without_a_tag() {
        use super::given_by_archive;
        assert_eq!(given_by_archive("docker.io/library/alpine"), "alpine:latest");
        assert_eq!(given_by_archive("host:80/team/alpine"), "host:80/team/alpine:latest");
        assert_eq!(given_by_archive("host:80/team/alpine:3"), "host:80/team/alpine:3");
        assert_eq!(given_by_archive("1.0"), "1.0:latest");
    }
}
