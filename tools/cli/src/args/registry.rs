//! The words of the verbs that speak to registries.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use sapwood_oci::Platform;

use super::image::CompressionWord;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood pull alpine
  sapwood pull localhost:5000/team/app:1 app:1")]
pub struct PullArgs {
    /// The image: HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]; without a host one of docker.io
    #[arg(value_name = "REFERENCE")]
    pub reference: String,
    /// The tag that it gets here [default: REFERENCE as it is written, without a digest]
    #[arg(value_name = "TAG")]
    pub tag: Option<String>,
    /// The platform, where there is a choice [default: this machine's]
    #[arg(long, value_name = "[OS/]ARCH[/VARIANT]", value_parser = str::parse::<Platform>)]
    pub platform: Option<Platform>,
    #[command(flatten)]
    pub registry: RegistryArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood push app:1 localhost:5000/team/app:1")]
pub struct PushArgs {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Where it goes: HOST[:PORT]/REPOSITORY[:TAG]; without a host to docker.io
    #[arg(value_name = "REFERENCE")]
    pub reference: String,
    /// How layers are compressed that the registry does not have as they came
    #[arg(long, value_enum, default_value = "gzip")]
    pub compression: CompressionWord,
    #[command(flatten)]
    pub registry: RegistryArgs,
}

// How a registry is spoken to. No comment that documents: a flattened group would give it to the verb.
#[derive(Args, Debug)]
pub struct RegistryArgs {
    /// Whether the registry needs a certificate that verifies [default: yes; without --ca-file plain HTTP
    /// to this machine's own addresses]
    #[arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        action = ArgAction::Set
    )]
    pub tls_verify: Option<bool>,
    /// Speak plain HTTP, and send credentials over it
    #[arg(long, conflicts_with_all = ["tls_verify", "ca_file"])]
    pub plain_http: bool,
    /// Trust the certificates of authorities in this file, in PEM, in place of the machine's own; the
    /// registry shows one that an authority signed
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Look for credentials in this file [default: $REGISTRY_AUTH_FILE or
    /// $XDG_RUNTIME_DIR/containers/auth.json, then config.json in $DOCKER_CONFIG or ~/.docker]
    #[arg(long, value_name = "FILE")]
    pub auth_file: Option<PathBuf>,
}
