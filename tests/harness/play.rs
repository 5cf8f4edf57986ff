//! A store beside the plain model, action by action, through crashes.

use std::sync::Arc;

use sapwood::testing::{CrashDisk, Policy};

use super::action::{Action, ActionKind};
use super::expect::Expectation;
use super::step::Step;
use super::{Subject, compare};

/// A store on a disk, and what it must show.
struct Play<S> {
    disk: Arc<CrashDisk>,
    subject: Option<S>,
    expectation: Expectation,
    /// What was done so far, for people.
    story: Vec<String>,
}

impl<S: Subject> Play<S> {
    fn begin() -> Result<Play<S>, String> {
        let disk = CrashDisk::new();
        let subject = Some(S::create(disk.host())?);
        let mut play =
            Play { disk, subject, expectation: Expectation::default(), story: Vec::new() };
        play.perform(&Step::Create { volume: "volume0".to_owned(), blocks: 12 })?;
        Ok(play)
    }

    fn act(&mut self, action: &Action) -> Result<(), String> {
        match action.kind {
            ActionKind::Kill => self.kill(),
            ActionKind::PowerCut => self.cut_power(u64::from(action.picks[0])),
            _ => match action.step(&self.expectation.current) {
                Some(step) => self.perform(&step),
                None => Ok(()),
            },
        }
    }

    fn perform(&mut self, step: &Step) -> Result<(), String> {
        self.story.push(format!("{step:?}"));
        let subject = self.subject.as_mut().expect("open between actions");
        subject.perform(step).map_err(|error| format!("{step:?}: {error}"))?;
        self.expectation.perform(step);
        let (shown, expected) = (subject.observe()?, self.expectation.current.observed());
        match shown == expected {
            true => Ok(()),
            false => Err(format!("after {step:?}: {}", shown.difference(&expected))),
        }
    }

    fn kill(&mut self) -> Result<(), String> {
        self.story.push("kill".to_owned());
        self.disk.kill();
        self.reopen()
    }

    fn cut_power(&mut self, seed: u64) -> Result<(), String> {
        self.story.push(format!("power cut drawn from {seed}"));
        let policy = Policy { exhaustive_max: 0, samples: 8, seed };
        let states: Vec<_> = self.disk.states_at(self.disk.log_len(), &policy).collect();
        let state = &states[seed as usize % states.len()];
        self.disk.kill();
        self.disk = state.disk();
        self.reopen().map_err(|what| format!("{what}\n{}", state.describe()))
    }

    /// Opens what a crash has left, which is the truth from now on.
    fn reopen(&mut self) -> Result<(), String> {
        self.subject = None;
        let subject = S::open(self.disk.host())?;
        let found = subject.observe();
        let allowed = self.expectation.at_rest();
        let found = compare(&found, &allowed)?;
        self.expectation = allowed[0].settled(found);
        self.subject = Some(subject);
        Ok(())
    }
}

/// Does `actions` to a fresh store; the error says where it and the model part ways.
pub fn play<S: Subject>(actions: &[Action]) -> Result<(), String> {
    let mut play = Play::<S>::begin()?;
    let all = actions.iter().try_for_each(|action| play.act(action));
    all.and_then(|()| play.perform(&Step::Reopen)).map_err(|what| {
        format!("{what}\nafter\n  {}\n{}", play.story.join("\n  "), play.disk.describe_log(0))
    })
}
