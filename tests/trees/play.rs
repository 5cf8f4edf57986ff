//! Steps played on a tree and on the model beside it.

use std::sync::Arc;

use sapwood::medium::MemoryHost;

use super::model::{Model, Observed};
use super::step::Step;
use super::subject::{Tree, difference, observe, observe_checked};

/// Plays `steps` on a tree and on the model, and holds them against each other.
pub fn play(steps: &[Step]) -> Result<(), String> {
    let text = |error: sapwood::Error| error.to_string();
    let mut tree = Tree::create(Arc::new(MemoryHost::new())).map_err(text)?;
    tree.files.flush().map_err(text)?;
    let mut model = Model::new();
    let mut durable = model.clone();
    let mut snapshots: Vec<Observed> = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let action = step.resolve(&model);
        if let Some(action) = &action {
            let before = model.clone();
            let allowed = action.apply(&mut model);
            if !allowed {
                model = before;
            }
            let done = tree.apply(action);
            if done.is_ok() != allowed {
                return Err(format!("step {number} {action:?}: {done:?}, allowed: {allowed}"));
            }
        }
        match step {
            Step::Flush => {
                tree.files.flush().map_err(text)?;
                durable = model.clone();
            }
            Step::Snapshot => {
                tree.files.snapshot(&Default::default()).map_err(text)?;
                durable = model.clone();
                snapshots.push(model.observed());
            }
            Step::Reopen => {
                tree = tree.reopen().map_err(text)?;
                durable = model.clone();
            }
            Step::Crash => {
                tree = tree.die().map_err(text)?;
                model = durable.clone();
            }
            _ => {}
        }
        let whole = matches!(step, Step::Flush | Step::Snapshot | Step::Reopen | Step::Crash);
        if whole || number % 8 == 0 {
            let (found, expected) = (observe(&tree.files).map_err(text)?, model.observed());
            if found != expected {
                let what = difference(&found, &expected);
                return Err(format!("after step {number} {step:?} {action:?}: {what}"));
            }
        }
    }
    tree.files.flush().map_err(text)?;
    if observe_checked(&tree.store, "tree")? != Some(model.observed()) {
        return Err("looked at from outside, it is another tree".to_owned());
    }
    for (back, expected) in (1..).zip(snapshots.iter().rev()) {
        match observe_checked(&tree.store, &format!("tree@{back}"))? {
            Some(found) if found == *expected => {}
            Some(found) => return Err(format!("tree@{back}: {}", difference(&found, expected))),
            None => return Err(format!("tree@{back} is not there")),
        }
    }
    Ok(())
}
