//! Finds a node for every pod that has none.

use crate::client::Client;
use tokio_util::sync::CancellationToken;

/// Runs until `stop`.
pub async fn run(_client: Client, _stop: CancellationToken) {
    todo!()
}
