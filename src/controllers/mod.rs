//! Reconcilers: pure functions from a snapshot to actions, and the runner that feeds them.

use crate::client::Client;
use tokio_util::sync::CancellationToken;

/// Runs every controller until `stop`.
pub async fn run(_client: Client, _stop: CancellationToken) {
    todo!()
}
