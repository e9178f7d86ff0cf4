//! A cause and its words.

use super::facts::Facts;
use super::judge::{finished, notes};
use crate::object::access::{list, present, text, truth};
use crate::object::time;
use std::fmt::Write;

/// Longest message of others that is repeated; the rest is in `describe`.
const SAID_CHARS_MAX: usize = 400;

/// What would mend a cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mend {
    Do(String),
    Type(String),
}

/// One reason, in a sentence without its end, with what lies behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub what: String,
    /// Further down the chain: each is why the one before is so.
    pub because: Vec<String>,
    /// What the node, the scheduler or the registry said.
    pub said: String,
    pub mend: Vec<Mend>,
}

impl Cause {
    pub fn new(what: impl Into<String>) -> Cause {
        Cause {
            what: what.into(),
            because: Vec::new(),
            said: String::new(),
            mend: Vec::new(),
        }
    }

    pub fn because(mut self, why: impl Into<String>) -> Cause {
        self.because.push(why.into());
        self
    }

    /// Nothing is added where nothing was said.
    pub fn said(mut self, message: &str) -> Cause {
        let line: String = message
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(SAID_CHARS_MAX)
            .collect();
        line.trim().clone_into(&mut self.said);
        self
    }

    pub fn mend(mut self, advice: impl Into<String>) -> Cause {
        self.mend.push(Mend::Do(advice.into()));
        self
    }

    pub fn command(mut self, command: impl Into<String>) -> Cause {
        self.mend.push(Mend::Type(command.into()));
        self
    }
}

/// `first letter up, a stop at the end`.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    let stop = if text.ends_with(['.', '!', '?', ':']) {
        ""
    } else {
        "."
    };
    format!("{first}{}{stop}", letters.as_str())
}

/// The whole answer about a pod.
pub fn page(facts: &Facts, causes: &[Cause]) -> String {
    whole(&headline(facts, causes.is_empty()), causes, notes(facts))
}

/// A headline, the causes, and what is worth knowing beside them.
pub fn whole(headline: &str, causes: &[Cause], notes: Vec<String>) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = writeln!(out, "{headline}");
    for (index, cause) in causes.iter().enumerate() {
        let _ = writeln!(out, "\n{}. {}", index + 1, sentence(&cause.what));
        for why in &cause.because {
            let _ = writeln!(out, "   because {}", why.trim_end_matches('.'));
        }
        if !cause.said.is_empty() {
            let _ = writeln!(out, "   said: {}", cause.said);
        }
        for mend in &cause.mend {
            let _ = match mend {
                Mend::Do(advice) => writeln!(out, "   mend: {advice}"),
                Mend::Type(command) => writeln!(out, "         $ {command}"),
            };
        }
    }
    if !notes.is_empty() {
        out.push('\n');
    }
    for note in notes {
        let _ = writeln!(out, "note: {}", sentence(&note));
    }
    out
}

fn headline(facts: &Facts, healthy: bool) -> String {
    let pod = format!("pod/{} in namespace {}", facts.name(), facts.namespace());
    if healthy && finished(facts) {
        return format!("{pod} has finished, as it should: nothing is wrong.");
    }
    if healthy {
        return format!("{pod} is Running and Ready: nothing is wrong.");
    }
    let age = facts
        .since("/metadata/creationTimestamp")
        .map_or_else(String::new, |age| format!(", {} old", time::human(age)));
    let statuses = list(&facts.pod, "/status/containerStatuses");
    let ready = statuses
        .iter()
        .filter(|status| truth(status, "/ready"))
        .count();
    let all = list(&facts.pod, "/spec/containers").len();
    let phase = match text(&facts.pod, "/status/phase") {
        _ if present(&facts.pod, "/metadata/deletionTimestamp") => "Terminating",
        "" => "Unknown",
        phase => phase,
    };
    let lack = if phase == "Running" {
        "Ready"
    } else {
        "Running"
    };
    format!("{pod} is not {lack}: {phase}, {ready} of {all} containers ready{age}.")
}
