//! Streams of a container for the verbs that carry some: exec, attach, port-forward, cp.
//!
//! In: a request's path and query, the local ends. Out: bytes both ways over one WebSocket, and how it ended.
//! It never knows which verb it serves.
//! <https://kubernetes.io/blog/2024/08/20/websockets-transition/>

mod carry;
mod finish;
#[cfg(test)]
mod remote_tests;
mod socket;
mod target;

pub use carry::{carry, with_terminal};
pub use finish::Finish;
pub use socket::{Socket, open};
pub use target::{StreamArgs, Target};

use std::process::ExitCode;

/// The verb's outcome: the command's exit code as ours.
pub fn exit(finish: Finish) -> super::Outcome {
    match finish {
        Finish::Success => Ok(ExitCode::SUCCESS),
        Finish::Exit(code) => {
            eprintln!("command terminated with exit code {code}");
            Ok(ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1)))
        }
        Finish::Failure(message) => anyhow::bail!("{message}"),
    }
}
