//! One lifecycle hook: a command in the container, a request to it, or a pause.
//! <https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/>
//!
//! A hook has no time limit of its own; whoever runs it gives it up.

use crate::kubelet::probes;
use crate::kubelet::probes::target::{self, Target};
use crate::runtime::{ExecSession, ExecSpec, Runtime};
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler};
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// Of a hook's output for the message of a failure.
const OUTPUT_BYTES_MAX: usize = 1024;
/// The Kubernetes version this API speaks, as in `/version`.
const USER_AGENT: &str = "kube-lifecycle/1.37";

/// Where a hook runs.
pub struct Place {
    pub uid: String,
    /// As messages name it: `name_namespace(uid)`.
    pub pod: String,
    pub pod_ip: String,
}

/// Runs `handler`; the error is upstream's message.
pub async fn run(
    runtime: &Runtime,
    place: &Place,
    container: &Container,
    handler: &LifecycleHandler,
) -> Result<(), String> {
    let of = format!(
        "for Container \"{}\" in Pod \"{}\" failed - error",
        container.name, place.pod
    );
    if let Some(exec) = &handler.exec {
        let command = exec.command.clone().unwrap_or_default();
        let shown = command.join(" ");
        return in_container(runtime, &place.uid, &container.name, command)
            .await
            .map_err(|(error, output)| {
                format!("Exec lifecycle hook ([{shown}]) {of}: {error}, message: {output:?}")
            });
    }
    if let Some(get) = &handler.http_get {
        let path = get.path.as_deref().unwrap_or_default();
        return request(place, container, get)
            .await
            .map_err(|error| format!("HTTP lifecycle hook ({path}) {of}: {error}"));
    }
    if let Some(sleep) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(sleep.seconds.max(0).unsigned_abs())).await;
        return Ok(());
    }
    Err("Cannot run handler: it is neither exec, httpGet nor sleep".to_string())
}

/// The error and what the command said.
async fn in_container(
    runtime: &Runtime,
    uid: &str,
    container: &str,
    args: Vec<String>,
) -> Result<(), (String, String)> {
    let shown = args.join(" ");
    let spec = ExecSpec {
        args,
        tty: false,
        stdin: false,
    };
    let mut session = runtime
        .exec_tethered(uid, container, &spec)
        .await
        .map_err(|e| (e.to_string(), String::new()))?;
    let mut output = Vec::new();
    let code = outcome(&mut session, &mut output)
        .await
        .map_err(|e| (e, String::new()))?;
    if code == 0 {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&output).into_owned();
    Err((
        format!("command '{shown}' exited with {code}: {output}"),
        output,
    ))
}

/// Waits for the end, reading along so that the command is not held up. Its children may keep the streams open.
async fn outcome(session: &mut ExecSession, output: &mut Vec<u8>) -> Result<i32, String> {
    let (mut stdout, mut stderr) = (session.stdout.take(), session.stderr.take());
    let reading = async {
        let mut kept = (Vec::new(), Vec::new());
        tokio::join!(
            keep(stdout.as_mut(), &mut kept.0),
            keep(stderr.as_mut(), &mut kept.1)
        );
        output.append(&mut kept.0);
        output.append(&mut kept.1);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = reading => Err("the hook's output never ends".to_string()),
        code = session.wait() => code.map_err(|e| e.to_string()),
    }
}

async fn keep(stream: Option<&mut crate::runtime::Output>, kept: &mut Vec<u8>) {
    let Some(stream) = stream else { return };
    let mut block = [0u8; 512];
    while let Ok(count @ 1..) = stream.read(&mut block).await {
        let room = OUTPUT_BYTES_MAX.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(&block[..room]);
    }
}

/// Any answer will do: upstream looks at the connection only.
async fn request(place: &Place, container: &Container, get: &HTTPGetAction) -> Result<(), String> {
    let host = target::or(get.host.as_deref(), &place.pod_ip);
    let Target::Http { url, mut headers } = target::http_get(get, container, host)? else {
        return Err("no request".to_string());
    };
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("user-agent"))
    {
        headers.push(("User-Agent".to_string(), USER_AGENT.to_string()));
    }
    probes::http::touch(&url, &headers).await
}
