//! The sandbox, its address and its `/etc/hosts`.

use super::retry_ms;
use crate::crash;
use crate::kubelet::events::Kind;
use crate::kubelet::now_ms;
use crate::kubelet::pod::state::Sandbox;
use crate::kubelet::spec::build::sandbox_spec;
use crate::kubelet::spec::dns;
use crate::kubelet::worker::Worker;
use crate::runtime::SandboxStatus;

impl Worker {
    pub(in crate::kubelet) async fn create_sandbox(&mut self) {
        if self
            .state
            .containers
            .values()
            .any(|r| r.attempt().is_some())
        {
            let message = "Pod sandbox changed, it will be killed and re-created.".to_string();
            self.event(None, Kind::Normal, "SandboxChanged", message);
        }
        match self.make_sandbox().await {
            Ok(ip) => self.state.sandbox = Sandbox::Alive { ip },
            Err(message) => {
                let failures = match self.state.sandbox {
                    Sandbox::Retry { failures, .. } => failures + 1,
                    _ => 0,
                };
                self.state.sandbox = Sandbox::Retry {
                    at_ms: now_ms() + retry_ms(failures),
                    failures,
                };
                let message = format!("Failed to create pod sandbox: {message}");
                self.event(None, Kind::Warning, "FailedCreatePodSandBox", message);
            }
        }
    }

    /// Returns the pod's address.
    async fn make_sandbox(&mut self) -> Result<String, String> {
        let ctx = self.ctx.clone();
        let pod = self.pod.clone();
        if dns::wants_cluster_dns(&pod) {
            let message = format!(
                "pod: \"{}_{}({})\". kubelet does not have ClusterDNS IP configured and cannot create Pod using \"ClusterFirst\" policy. Falling back to \"Default\" policy.",
                self.pod_name(),
                self.namespace(),
                self.uid
            );
            self.event(None, Kind::Warning, "MissingClusterDNS", message);
        }
        let mut spec = sandbox_spec(&pod, &ctx.facts.name, &host_resolv_conf())?;
        if pod.spec.as_ref().and_then(|s| s.host_users) == Some(false) {
            let first = crate::kubelet::user_ranges::of_pod(&ctx.dirs, &self.uid);
            spec.first_user = Some(first.map_err(|e| e.to_string())?);
        }
        let sandbox = ctx
            .runtime
            .create_sandbox(&spec)
            .await
            .map_err(|e| e.to_string())?;
        crash::point(|| "sandbox without an address".to_owned());
        let ready = async {
            let ip = self.attach(&sandbox).await?;
            crash::point(|| "sandbox without its hosts file".to_owned());
            self.write_hosts(&ip).await?;
            Ok::<String, String>(ip)
        }
        .await;
        if ready.is_err()
            && let Err(error) = ctx.runtime.remove_sandbox(&self.uid).await
        {
            tracing::warn!(pod = %self.name(), %error, "half-made sandbox not removed");
        }
        ready
    }

    async fn attach(&self, sandbox: &SandboxStatus) -> Result<String, String> {
        if dns::host_network(&self.pod) {
            return Ok(self.ctx.facts.ip.clone());
        }
        let ip = self
            .ctx
            .network
            .attach(&self.uid, sandbox.pid)
            .await
            .map_err(|e| e.to_string())?;
        Ok(ip.to_string())
    }

    async fn write_hosts(&self, ip: &str) -> Result<(), String> {
        let host = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let text = dns::hosts(&self.pod, ip, &self.ctx.facts.name, &host);
        self.ctx
            .runtime
            .set_hosts(&self.uid, &text)
            .await
            .map_err(|e| e.to_string())
    }

    /// The address of a sandbox found running; finishes what an earlier process may not have got to.
    pub(in crate::kubelet) async fn adopt_address(
        &self,
        sandbox: &SandboxStatus,
    ) -> Option<String> {
        match self.attach(sandbox).await {
            Ok(ip) => {
                if sandbox.containers.is_empty()
                    && let Err(error) = self.write_hosts(&ip).await
                {
                    tracing::warn!(pod = %self.name(), error, "/etc/hosts of the pod not written");
                }
                Some(ip)
            }
            Err(error) => {
                tracing::warn!(pod = %self.name(), error, "address of a running pod not confirmed; keeping the reported one");
                self.pod.status.as_ref().and_then(|s| s.pod_ip.clone())
            }
        }
    }
}

/// The host's resolver configuration. Where it only names systemd's local stub, the list behind it: a loopback
/// address means nothing inside a pod.
fn host_resolv_conf() -> String {
    let own = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let mut servers = own
        .lines()
        .filter_map(|l| l.strip_prefix("nameserver "))
        .peekable();
    let only_stub = servers.peek().is_some() && servers.all(|s| s.trim().starts_with("127."));
    if only_stub && let Ok(real) = std::fs::read_to_string("/run/systemd/resolve/resolv.conf") {
        return real;
    }
    own
}
