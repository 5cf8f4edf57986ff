//! What the files of logins say.

use std::path::PathBuf;

use sapwood::ErrorKind;
use sapwood_oci::{Credential, CredentialFiles};

/// The credential that these files have for a reference, as `NAME:PASSWORD` or `token`.
fn find(files: &[&str], reference: &str) -> Result<Option<String>, sapwood::Error> {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = vec![folder.path().join("none.json")];
    for (index, text) in files.iter().enumerate() {
        let path = folder.path().join(format!("{index}.json"));
        std::fs::write(&path, text).unwrap();
        paths.push(path);
    }
    let found = CredentialFiles { paths }.find(&reference.parse().unwrap())?;
    Ok(found.map(|credential| match credential {
        Credential::Basic { username, password } => format!("{username}:{password}"),
        Credential::IdentityToken(token) => token,
    }))
}

#[test]
fn registries_are_found_under_the_names_that_tools_write() {
    // `YTpi` is `a:b`, `YzpkOmU=` is `c:d:e`.
    for (file, reference, found) in [
        (r#"{"auths": {"a.example": {"auth": "YTpi"}}}"#, "a.example/x", Some("a:b")),
        (r#"{"auths": {"a.example": {"auth": "YzpkOmU="}}}"#, "a.example/x", Some("c:d:e")),
        (r#"{"auths": {"a.example": {"auth": "YzpkOmU"}}}"#, "a.example/x", Some("c:d:e")),
        (r#"{"auths": {"a.example:5000": {"auth": "YTpi"}}}"#, "a.example/x", None),
        (r#"{"auths": {"a.example:5000": {"auth": "YTpi"}}}"#, "a.example:5000/x", Some("a:b")),
        (r#"{"auths": {"https://a.example/v2/": {"auth": "YTpi"}}}"#, "a.example/x", Some("a:b")),
        (r#"{"auths": {"http://a.example": {"auth": "YTpi"}}}"#, "a.example/x", Some("a:b")),
        (r#"{"auths": {"https://index.docker.io/v1/": {"auth": "YTpi"}}}"#, "alpine", Some("a:b")),
        (r#"{"auths": {"docker.io": {"auth": "YTpi"}}}"#, "alpine", Some("a:b")),
        (r#"{"auths": {"docker.io": {"auth": "YTpi"}}}"#, "a.example/x", None),
        (r#"{"auths": {"evil-a.example": {"auth": "YTpi"}}}"#, "a.example/x", None),
        (r#"{"auths": {"a.example": {}}}"#, "a.example/x", None),
        (
            r#"{"auths": {"a.example": {"username": "u", "password": "p"}}}"#,
            "a.example/x",
            Some("u:p"),
        ),
        (
            r#"{"auths": {"a.example": {"auth": "YTpi", "identitytoken": "t"}}}"#,
            "a.example/x",
            Some("t"),
        ),
        (r#"{"HttpHeaders": {"a": "b"}}"#, "a.example/x", None),
        // The narrowest counts.
        (
            r#"{"auths": {"a.example": {"auth": "YTpi"}, "a.example/x/y": {"auth": "YzpkOmU="}}}"#,
            "a.example/x/y/z",
            Some("c:d:e"),
        ),
        (
            r#"{"auths": {"a.example": {"auth": "YTpi"}, "a.example/x/y": {"auth": "YzpkOmU="}}}"#,
            "a.example/x/yy",
            Some("a:b"),
        ),
    ] {
        assert_eq!(find(&[file], reference).unwrap().as_deref(), found, "{reference} in {file}");
    }
    let first = r#"{"auths": {"b.example": {"auth": "YTpi"}}}"#;
    let second = r#"{"auths": {"a.example": {"auth": "YzpkOmU="}}}"#;
    assert_eq!(find(&[first, second], "a.example/x").unwrap().as_deref(), Some("c:d:e"));
}

#[test]
fn what_cannot_be_understood_is_told_without_what_is_in_it() {
    for file in [
        "",
        "1",
        r#"{"auths": 1}"#,
        r#"{"auths": {"a.example": {"auth": "cGl0aA=="}}}"#,
        r#"{"auths": {"a.example": {"auth": "pith!"}}}"#,
        r#"{"auths": {"a.example": {"auth": ["pith"]}}}"#,
        r#"{"credHelpers": {"a.example": "../pith"}}"#,
        r#"{"credsStore": "/bin/pith"}"#,
    ] {
        let error = find(&[file], "a.example/x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{file}: {error}");
        let is_helper = file.contains("cred");
        assert!(is_helper || !error.to_string().contains("pith"), "{error}");
    }
    let helper = r#"{"credHelpers": {"a.example": "sapwood-has-none"}}"#;
    let error = find(&[helper], "a.example/x").unwrap_err();
    assert!(error.to_string().contains("docker-credential-sapwood-has-none"), "{error}");
    let debug = format!("{:?}", Credential::IdentityToken("pith".to_owned()));
    assert!(!debug.contains("pith"), "{debug}");
    let folder = CredentialFiles { paths: vec![PathBuf::from("/")] };
    assert!(folder.find(&"a.example/x".parse().unwrap()).is_err());
}
