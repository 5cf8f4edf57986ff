//! The configuration of an image: its bytes as they came, and what they say.

use oci_spec::image::ImageConfiguration;
use sapwood::files::{ReadFiles, find_attachment};
use sapwood::{Error, ErrorKind, Result};
use serde_json::Value;

use super::CONFIGURATION;
use crate::Sha256;

/// The longest configuration in bytes; those of real images have some thousand.
pub const CONFIGURATION_BYTES_MAX: u64 = 8 << 20;

/// The configuration of an image. Its bytes are kept as they came, so that the image's id stays, and
/// so does what no type here knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    json: Vec<u8>,
    parsed: ImageConfiguration,
    diff_ids: Vec<Sha256>,
}

impl Configuration {
    /// Reads a configuration.
    ///
    /// Errors: [`ErrorKind::InvalidInput`] for what is none.
    pub fn read(json: &[u8]) -> Result<Configuration> {
        let operation = "read an image configuration";
        let bad = |found: &dyn std::fmt::Display, expected| {
            // What is wrong may be quoted, and there may be much of it.
            let found: String = found.to_string().chars().take(300).collect();
            Error::invalid(operation, "configuration", found.escape_debug(), expected)
        };
        if json.len() as u64 > CONFIGURATION_BYTES_MAX {
            let expected = "at most 8 MiB";
            return Err(bad(&format!("{} bytes", json.len()), expected));
        }
        let mut value: Value = serde_json::from_slice(json).map_err(|error| bad(&error, "JSON"))?;
        without_nulls(&mut value);
        // Written as null, or left out, where there is no layer.
        if let Some(rootfs) = value.get_mut("rootfs").and_then(Value::as_object_mut) {
            rootfs.entry("diff_ids").or_insert_with(|| Value::Array(Vec::new()));
        }
        let parsed: ImageConfiguration = serde_json::from_value(value)
            .map_err(|error| bad(&error, "an OCI image configuration"))?;
        let rootfs = parsed.rootfs();
        if rootfs.typ() != "layers" {
            return Err(bad(&format!("a root of type {:?}", rootfs.typ()), "\"layers\""));
        }
        let diff_ids = rootfs.diff_ids().iter().map(|id| id.parse()).collect::<Result<_>>()?;
        Ok(Configuration { json: json.to_vec(), parsed, diff_ids })
    }

    /// A configuration in JSON, written out.
    ///
    /// Errors: as [`Configuration::read`].
    pub fn from_value(value: &Value) -> Result<Configuration> {
        let json = serde_json::to_vec(value).map_err(std::io::Error::from);
        let json = json.map_err(|error| Error::io("write an image configuration", error))?;
        Configuration::read(&json)
    }

    /// What it says, as far as the specification of OCI goes.
    pub fn get(&self) -> &ImageConfiguration {
        &self.parsed
    }

    /// All that it says, Docker's own fields too.
    pub fn to_value(&self) -> Value {
        serde_json::from_slice(&self.json).expect("it was read from JSON")
    }

    /// Its bytes.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// The digest of its bytes.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(&self.json)
    }

    /// The digests of the uncompressed tars of the layers, lowest first, as far as they are known:
    /// those of layers that were made here are computed when the image goes out.
    pub fn diff_ids(&self) -> &[Sha256] {
        &self.diff_ids
    }
}

impl TryFrom<ImageConfiguration> for Configuration {
    type Error = Error;

    fn try_from(configuration: ImageConfiguration) -> Result<Configuration> {
        let value = serde_json::to_value(configuration).map_err(std::io::Error::from);
        let value = value.map_err(|error| Error::io("write an image configuration", error))?;
        Configuration::from_value(&value)
    }
}

/// The configuration that a tree holds: an image's, or that of the image it was forked from.
/// `None` where it holds none.
pub fn read_configuration(files: &dyn ReadFiles) -> Result<Option<Configuration>> {
    let Some(inode) = find_attachment(files, CONFIGURATION)? else { return Ok(None) };
    let bytes = files.attributes(inode)?.size;
    if bytes > CONFIGURATION_BYTES_MAX {
        let operation = "read an image configuration";
        return Err(Error::corrupt(operation, "length", bytes, "at most 8 MiB"));
    }
    let mut json = vec![0; bytes as usize];
    let read = files.read(inode, 0, &mut json)?;
    json.truncate(read);
    Configuration::read(&json).map(Some).map_err(|error| error.with_kind(ErrorKind::Corrupt))
}

/// Go programs write what is not there as null.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(without_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_and_nulls_and_unknown_fields_do_no_harm() {
        let json = br#" {"os":"linux", "architecture":"riscv64","created":null,
            "config":{"Env":null,"Healthcheck":{"Test":["NONE"]},"ExposedPorts":{"80/tcp":{}}},
            "rootfs":{"type":"layers","diff_ids":null}, "history":[{"empty_layer":true}]}"#;
        let configuration = Configuration::read(json).unwrap();
        assert_eq!(configuration.json(), json);
        assert_eq!(configuration.digest(), Sha256::of(json));
        assert_eq!(configuration.diff_ids(), []);
        let config = configuration.get().config().clone().unwrap();
        assert_eq!(config.exposed_ports().as_deref().unwrap(), ["80/tcp"]);
        assert_eq!(configuration.to_value()["config"]["Healthcheck"]["Test"][0], "NONE");
        let copy = Configuration::try_from(configuration.get().clone()).unwrap();
        assert_eq!(copy.get(), configuration.get());
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        let of =
            |rootfs: &str| format!(r#"{{"os":"linux","architecture":"amd64","rootfs":{rootfs}}}"#);
        assert!(Configuration::read(of(r#"{"type":"layers"}"#).as_bytes()).is_ok());
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for bad in [
            "".to_owned(),
            "null".to_owned(),
            "{}".to_owned(),
            deep,
            of(r#"{"type":"tar","diff_ids":[]}"#),
            of(r#"{"type":"layers","diff_ids":["sha256:1"]}"#),
            of(r#"{"type":"layers","diff_ids":["../../x"]}"#),
            of(r#"{"type":"layers","diff_ids":"x"}"#),
        ] {
            let error = Configuration::read(bad.as_bytes()).expect_err(&bad[..bad.len().min(80)]);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }
}
