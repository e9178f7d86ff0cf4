//! `coracle kubeconfig`: the administrator's kubeconfig of the node on this host.

use super::Outcome;
use anyhow::Context;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

pub fn run(data_dir: &Path) -> Outcome {
    let path = data_dir.join("admin.kubeconfig");
    let text = std::fs::read(&path).with_context(|| {
        format!(
            "{} cannot be read (only root may; it is written when the node starts: `coracle up`)",
            path.display()
        )
    })?;
    super::terminal::die_by_closed_pipe();
    std::io::stdout().write_all(&text)?;
    Ok(ExitCode::SUCCESS)
}
