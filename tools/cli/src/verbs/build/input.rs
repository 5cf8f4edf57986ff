//! What a build is given: the Containerfile, what of the context is left out, values, secrets.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sapwood::files::Time;
use sapwood_build::containerfile::CONTAINERFILE_BYTES_MAX;
use sapwood_build::{CacheUse, Ignore, Options, SOURCE_DATE_EPOCH, Secret};
use sapwood_oci::Platform;

use super::read;
use crate::args::BuildArgs;
use crate::error::{CliError, Result};

/// Where the Containerfile is where nobody says it, the first that is there.
const DEFAULT_FILES: [&str; 2] = ["Containerfile", "Dockerfile"];
/// What says what of the context is left out, the first that is there.
const IGNORE_FILES: [&str; 2] = [".containerignore", ".dockerignore"];

/// More patterns than people write. Each is held against each file.
const IGNORE_BYTES_MAX: u64 = 1 << 20;

pub fn options(args: &BuildArgs) -> Result<Options> {
    let context = &args.context;
    if !context.is_dir() {
        let text =
            format!("{} is not a directory that files could be copied from", context.display());
        return Err(CliError::usage(text));
    }
    let (file, containerfile) = match &args.file {
        Some(file) => (file.clone(), given_file(file, context)?),
        None => default_file(context)?,
    };
    let secrets = args.secrets.iter().map(|text| secret(text));
    let mut arguments: Vec<_> = args.arguments.iter().filter_map(|text| argument(text)).collect();
    let source_date_epoch = source_date_epoch(args.source_date_epoch, &mut arguments)?;
    let contexts = args.contexts.iter().map(|(name, path)| (name.clone(), PathBuf::from(path)));
    Ok(Options {
        containerfile,
        ignore: ignore(&file, context)?,
        file,
        context: Some(context.clone()),
        contexts: contexts.collect(),
        tags: args.tags.clone(),
        target: args.target.clone(),
        arguments,
        labels: args.labels.clone(),
        secrets: secrets.collect::<Result<_>>()?,
        platform: args.platform.clone().unwrap_or_else(Platform::of_the_machine),
        source_date_epoch,
        cache: if args.no_cache { CacheUse::Ignore } else { CacheUse::Use },
        cache_from: args.cache_from.clone(),
        explain: args.explain,
        runtime: args.runtime.clone(),
    })
}

fn default_file(context: &Path) -> Result<(PathBuf, Vec<u8>)> {
    for file in DEFAULT_FILES.map(|name| context.join(name)) {
        if let Some(text) = read::regular(&file, context, CONTAINERFILE_BYTES_MAX as u64)? {
            return Ok((file, text));
        }
    }
    let names = DEFAULT_FILES.join(" nor ");
    Err(CliError::usage(format!("neither {names} in {}: use --file", context.display())))
}

/// A Containerfile that was named: anywhere, and anything that can be read, but for what is in the context.
fn given_file(file: &Path, context: &Path) -> Result<Vec<u8>> {
    let most = CONTAINERFILE_BYTES_MAX as u64;
    if file == Path::new("-") {
        return read::whole(io::stdin(), file, most);
    }
    let failed = CliError::file("open", file);
    match read::inside(file, context) {
        Some(_) => read::regular(file, context, most)?
            .ok_or_else(|| failed(io::ErrorKind::NotFound.into())),
        None => read::whole(File::open(file).map_err(failed)?, file, most),
    }
}

/// What is left out: as a file beside the Containerfile says, else as one in the context does.
fn ignore(file: &Path, context: &Path) -> Result<Ignore> {
    let mut beside = OsString::from(file);
    beside.push(".dockerignore");
    let files = [PathBuf::from(beside)].into_iter();
    for file in files.chain(IGNORE_FILES.iter().map(|name| context.join(name))) {
        let Some(text) = read::regular(&file, context, IGNORE_BYTES_MAX)? else { continue };
        return Ignore::parse(&String::from_utf8_lossy(&text)).map_err(|(line, wrong)| {
            CliError::usage(format!("{}:{line}: no pattern: {wrong}", file.display()))
        });
    }
    Ok(Ignore::default())
}

/// `NAME=VALUE`, or the name of a variable of the environment, which may be missing.
fn argument(text: &str) -> Option<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((text.to_owned(), std::env::var(text).ok()?)),
    }
}

/// The time of all that is made. It is an argument too, by which it can be given as well.
fn source_date_epoch(
    given: Option<i64>,
    arguments: &mut Vec<(String, String)>,
) -> Result<Option<i64>> {
    let text = match (arguments.iter().rfind(|(name, _)| name == SOURCE_DATE_EPOCH), given) {
        (Some((_, text)), _) => text.clone(),
        (None, Some(seconds)) => {
            arguments.push((SOURCE_DATE_EPOCH.to_owned(), seconds.to_string()));
            seconds.to_string()
        }
        (None, None) => return Ok(None),
    };
    let is_of_files = |seconds: &i64| {
        let time = Time { seconds: *seconds, nanoseconds: 0 };
        *seconds >= 0 && time.clamped() == time
    };
    let seconds = text.parse().ok().filter(is_of_files);
    seconds.map(Some).ok_or_else(|| {
        CliError::usage(format!(
            "{SOURCE_DATE_EPOCH}: {text:?}: not a time, as seconds since 1970, before the year 2446"
        ))
    })
}

/// `id=ID[,src=FILE|,env=NAME]`; without a source the variable, else the file, of that name.
fn secret(text: &str) -> Result<(String, Secret)> {
    let wrong = || CliError::usage(format!("{text}: not a secret, as id=ID,src=FILE"));
    let (mut id, mut file, mut variable) = (None, None, None);
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or_else(wrong)?;
        match name {
            "id" => id = Some(value.to_owned()),
            "src" | "source" => file = Some(PathBuf::from(value)),
            "env" => variable = Some(value.to_owned()),
            "type" if matches!(value, "file" | "env") => {}
            _ => return Err(wrong()),
        }
    }
    let id = id.ok_or_else(wrong)?;
    let of_variable = |name: &str| -> Result<Secret> {
        let value = std::env::var_os(name).ok_or_else(|| {
            CliError::usage(format!("secret {id}: no variable {name} in the environment"))
        })?;
        Ok(Secret::Value(std::os::unix::ffi::OsStringExt::into_vec(value)))
    };
    let secret = match (file, variable) {
        (Some(file), None) => Secret::File(file),
        (None, Some(name)) => of_variable(&name)?,
        (None, None) if std::env::var_os(&id).is_some() => of_variable(&id)?,
        (None, None) => Secret::File(PathBuf::from(&id)),
        (Some(_), Some(_)) => return Err(wrong()),
    };
    Ok((id, secret))
}
