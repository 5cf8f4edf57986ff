//! The words of the verbs for the life of an image.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use sapwood_build::containerfile::parse_duration;
use sapwood_oci::parse_time;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood df
  sapwood df --verbose")]
pub struct DfArgs {
    /// Tell of images, containers, what builds left, and all else, each byte counted once
    #[arg(short, long)]
    pub verbose: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood images
  sapwood images --quiet")]
pub struct ImagesArgs {
    /// List the tags that keep what builds left, too
    #[arg(short, long)]
    pub all: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood history app:2
  sapwood history app:2 --no-trunc")]
pub struct HistoryArgs {
    /// The image, or a container
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Tell ids and what made a layer in full
    #[arg(long)]
    pub no_trunc: bool,
    /// How many files to name that a layer has in vain
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    pub worst: usize,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood inspect app:2
  sapwood inspect app:2 --json | jq .configuration.config")]
pub struct InspectArgs {
    /// The image, or a container
    #[arg(value_name = "IMAGE|CONTAINER")]
    pub image: String,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood prune --dry-run
  sapwood prune --filter until=24h
  sapwood prune --all --containers")]
pub struct PruneArgs {
    /// Remove images that no container stands on, too
    #[arg(short, long)]
    pub all: bool,
    /// Remove containers that nobody has open, too, before it is asked what needs an image: those that `ps
    /// --all` lists, and no volume that was forked
    #[arg(long)]
    pub containers: bool,
    /// Leave what builds left for the next one: layers, and directories that their programs keep
    #[arg(long)]
    pub keep_cache: bool,
    /// Leave what was made here, or of directories used, since a time, whatever date it was given: as long
    /// ago as 24h or 1h30m, or at 2026-11-27T10:00:00Z
    #[arg(long = "filter", value_name = "until=TIME", value_parser = parse_until)]
    pub made_before: Option<i64>,
    /// Say what would go, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood rebase app:1 --onto base:2
  sapwood rebase app:1 --from base:1 --onto base:2 -t app:moved")]
pub struct RebaseArgs {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// The image that it is to stand on
    #[arg(long, value_name = "BASE")]
    pub onto: String,
    /// What it stands on now, an image or a layer [default: the topmost layer in common]
    #[arg(long, value_name = "OLD")]
    pub from: Option<String>,
    /// The tag of what comes of it [default: the image's own, moved]
    #[arg(short, long)]
    pub tag: Option<String>,
    /// Do it though there are conflicts: what the image's layers say counts; and move the tag if it
    /// is there already
    #[arg(long)]
    pub force: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood squash app:1 -t app:small")]
pub struct SquashArgs {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// The tag of what comes of it [default: the image's own, moved]
    #[arg(short, long)]
    pub tag: Option<String>,
    /// Keep this layer, and those below it [default: all become one]
    #[arg(long, value_name = "LAYER")]
    pub from: Option<String>,
    /// Move the tag if it is there already
    #[arg(long)]
    pub force: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood report app:2 -o app.html")]
pub struct ReportArgs {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// The file to make; `-` for standard output
    #[arg(short, long, value_name = "FILE.html")]
    pub output: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    pub force: bool,
}

/// The moment that a filter names, in nanoseconds since 1970 UTC.
fn parse_until(text: &str) -> Result<i64, String> {
    let expected = || "a filter is until=24h, or another time, or until=2026-11-27T10:00:00Z";
    let time = text.strip_prefix("until=").ok_or_else(expected)?;
    let ago = |age| SystemTime::now().checked_sub(age)?.duration_since(SystemTime::UNIX_EPOCH).ok();
    let moment = parse_duration(time).and_then(ago).and_then(|at| at.as_nanos().try_into().ok());
    Ok(moment.or_else(|| parse_time(time)).ok_or_else(expected)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_an_age_or_a_moment() {
        assert_eq!(parse_until("until=1970-01-01T00:00:01Z"), Ok(1_000_000_000));
        let second = 1_000_000_000;
        let hours = parse_until("until=0").unwrap() - parse_until("until=1h30m").unwrap();
        assert!((5399 * second..5401 * second).contains(&hours), "{hours}");
        for bad in ["", "24h", "until=", "until=yesterday", "label=x", "until=-1h"] {
            assert!(parse_until(bad).is_err(), "{bad}");
        }
    }
}
