//! `coracle why pod/<name>`: why is it not Running, or not Ready, and what would mend it.
//!
//! In: a pod's name. `gather` asks the API for the pod, its events, its node, and whether what it refers to exists.
//!
//! Out: plain sentences, the most immediate cause first, each with what was said about it and what to type.
//! Exit code 0 when nothing is wrong, 1 when something is.
//!
//! Invariants: `judge` and all below it are pure functions of the facts; a pod that is neither ready nor finished
//! always has at least one cause; a Secret's values are never looked at. It knows no server but through its API.

mod cause;
mod config;
mod deletion;
mod ends;
mod facts;
mod gather;
mod health;
mod images;
mod judge;
mod parts;
mod placement;
mod refusal;
mod storage;
#[cfg(test)]
mod tests;

use super::Outcome;
use super::connect::ClientArgs;
use super::logs::pod_name;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 when nothing is wrong, 1 when something is, or when the pod cannot be read."
)]
pub struct WhyArgs {
    /// The pod: `web` or `pod/web`.
    #[arg(value_name = "POD")]
    pod: String,
}

pub async fn run(args: WhyArgs, client: ClientArgs) -> Outcome {
    let name = pod_name(&args.pod)?;
    let session = client.connect()?;
    let facts = gather::gather(&session, &name).await?;
    let causes = judge::why(&facts);
    print!("{}", cause::page(&facts, &causes));
    Ok(if causes.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
