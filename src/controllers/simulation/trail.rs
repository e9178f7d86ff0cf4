//! The last plans, in a form that can be read when something is wrong.

use crate::controllers::act::Outcome;
use crate::controllers::action::{Action, Target};
use crate::controllers::world::Key;
use std::collections::VecDeque;
use std::fmt;

/// Plans that are kept.
const PLANS: usize = 40;
/// Of one change.
const CHARS: usize = 400;

#[derive(Debug, Default)]
pub struct Trail(VecDeque<String>);

impl Trail {
    pub fn add(&mut self, told: String, outcome: &Outcome) {
        if self.0.len() == PLANS {
            self.0.pop_front();
        }
        let end = match &outcome.failure {
            Some(error) => format!(" => {error}"),
            None if outcome.outdated => " => outdated".to_owned(),
            None => String::new(),
        };
        self.0.push_back(told + &end);
    }
}

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the last plans:")?;
        self.0.iter().try_for_each(|plan| writeln!(f, "{plan}"))
    }
}

pub fn told(who: &str, (namespace, name): &Key, actions: &[Action]) -> String {
    let actions = actions.iter().filter_map(one);
    let actions: Vec<String> = actions.collect();
    format!("{who} {namespace}/{name}: {}", actions.join("; "))
}

fn one(action: &Action) -> Option<String> {
    let on = |target: &Target| format!("{} {}/{}", target.kind, target.namespace, target.name);
    let short = |text: String| text.chars().take(CHARS).collect::<String>();
    Some(match action {
        Action::Create { target, .. } => format!("create {}", on(target)),
        Action::Patch {
            target,
            part,
            patch,
            ..
        } => format!(
            "patch {} {} {}",
            on(target),
            part.unwrap_or_default(),
            short(patch.to_string())
        ),
        Action::SetStatus { target, status, .. } => {
            format!("status of {} {}", on(target), short(status.to_string()))
        }
        Action::Delete { target, .. } => format!("delete {}", on(target)),
        Action::Confirm(target) => format!("confirm {}", on(target)),
        Action::ConfirmGone(target) => format!("confirm that {} is gone", on(target)),
        Action::Report { action, done, .. } => {
            let all = std::iter::once(action.as_ref()).chain(done);
            all.filter_map(one).collect::<Vec<_>>().join(", then ")
        }
        Action::Batch(all) => {
            let all: Vec<_> = all.iter().filter_map(one).collect();
            format!("at once [{}]", all.join(", "))
        }
        Action::Tell { .. } | Action::Remember(_) => return None,
        Action::Empty(_) | Action::Mint { .. } => short(format!("{action:?}")),
    })
}
