//! Several words and one more at the end, where they go.

use std::ffi::OsString;
use std::fmt;
use std::marker::PhantomData;

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

/// What help says of the words.
pub trait Wording: fmt::Debug + Clone {
    /// Their names.
    const NAMES: &'static str;
    /// What they are.
    const HELP: &'static str;
    /// What lacks where there is only one.
    const LACKING: &'static str;
}

/// The words: one list to clap, which would take no option between the two where the last were one of its own.
#[derive(Clone, Debug)]
pub struct SeveralInto<W> {
    pub sources: Vec<OsString>,
    pub target: OsString,
    wording: PhantomData<W>,
}

const ID: &str = "words";

impl<W: Wording> Args for SeveralInto<W> {
    fn augment_args(command: Command) -> Command {
        command.arg(
            Arg::new(ID)
                .value_name(W::NAMES)
                .help(W::HELP)
                .required(true)
                .num_args(1..)
                .action(ArgAction::Append)
                .value_parser(ValueParser::os_string()),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<W: Wording> FromArgMatches for SeveralInto<W> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut sources: Vec<OsString> =
            matches.get_many(ID).unwrap_or_default().cloned().collect();
        match sources.pop() {
            Some(target) if !sources.is_empty() => {
                Ok(SeveralInto { sources, target, wording: PhantomData })
            }
            _ => Err(Error::raw(ErrorKind::MissingRequiredArgument, W::LACKING)),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
