//! How a worker carries its actions out. Each leaves its result in the state; a failure becomes a state with a time
//! to try again.

mod container;
mod end;
mod env_files;
mod evict;
pub mod hooks;
mod image;
mod mirror;
mod sandbox;
mod volumes;

use crate::client::ClientError;
use crate::kubelet::worker::Worker;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};

/// Back-off of volumes and sandboxes: half a second, doubling to about two minutes (upstream's
/// `exponentialbackoff` for volume operations).
const RETRY_MS_FIRST: i64 = 500;
const RETRY_MS_MAX: i64 = 122_000;
/// Between tries to configure a container whose ConfigMap or Secret is missing (upstream's sync after an error).
const CONFIG_RETRY_MS: i64 = 10_000;

fn retry_ms(failures: u32) -> i64 {
    RETRY_MS_FIRST
        .saturating_mul(1 << failures.min(10))
        .min(RETRY_MS_MAX)
}

impl Worker {
    /// Fetches the ConfigMaps and Secrets the pod mentions. One that does not exist is left out.
    async fn load_sources(&mut self) -> Result<(), ClientError> {
        let (maps, secrets) = crate::kubelet::spec::volumes::mentioned(&self.pod);
        let namespace = self.namespace().to_string();
        let client = self.ctx.client.clone();
        self.sources.config_maps.clear();
        self.sources.secrets.clear();
        for name in maps {
            if let Some(map) = found(client.get::<ConfigMap>(Some(&namespace), &name).await)? {
                self.sources.config_maps.insert(name, map);
            }
        }
        for name in secrets {
            if let Some(secret) = found(client.get::<Secret>(Some(&namespace), &name).await)? {
                self.sources.secrets.insert(name, secret);
            }
        }
        Ok(())
    }
}

fn found<T>(result: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match result {
        Ok(object) => Ok(Some(object)),
        Err(ClientError::Status { code: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_grow_to_two_minutes() {
        assert_eq!(
            (retry_ms(0), retry_ms(1), retry_ms(30)),
            (500, 1000, RETRY_MS_MAX)
        );
    }
}
