//! Kubeconfig files: which server, trusted how, as whom.
//! <https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/>

use base64::Engine;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Largest file read: a kubeconfig with hundreds of clusters fits.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Why no server could be chosen.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KubeconfigError {
    #[error("cannot read {path}: {cause}")]
    Read { path: String, cause: String },
    #[error("{path} is not a kubeconfig: {cause}")]
    Parse { path: String, cause: String },
    #[error(
        "no kubeconfig found (looked at {0}): is the node up? Name one with --kubeconfig or KUBECONFIG"
    )]
    None(String),
    #[error("the kubeconfig has no current-context: choose one with --context")]
    NoContext,
    /// `what` is `context`, `cluster` or `user`.
    #[error("the kubeconfig has no {what} named {name:?}")]
    Missing { what: &'static str, name: String },
    #[error("{0} in the kubeconfig is not base64")]
    Base64(&'static str),
    #[error("the kubeconfig's {0} is not supported by coracle: {1}")]
    Unsupported(&'static str, &'static str),
}

/// Where to look: what the user said, and the environment.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--kubeconfig`: this file and no other.
    pub explicit: Option<PathBuf>,
    /// `KUBECONFIG`: a list of files, the first to define a name wins.
    pub variable: Option<String>,
    pub home: Option<PathBuf>,
    /// `<data_dir>/admin.kubeconfig` is looked at last.
    pub data_dir: Option<PathBuf>,
    /// Inside a pod, where there is no file: `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`.
    pub service: Option<(String, String)>,
    /// The directory that every pod finds its token in ([`POD_CREDENTIALS`]).
    pub pod_credentials: PathBuf,
}

/// <https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>
pub const POD_CREDENTIALS: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A server and how to speak to it. PEM parts are bytes of the file or of the embedded data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://127.0.0.1:6443`
    pub server: String,
    /// Name expected in the server's certificate, where it is not the host's.
    pub tls_server_name: Option<String>,
    pub certificate_authority: Option<Vec<u8>>,
    /// Client certificate chain and key.
    pub client_certificate: Option<(Vec<u8>, Vec<u8>)>,
    pub token: Option<String>,
    /// Namespace where a command names none.
    pub namespace: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct File {
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
    contexts: Vec<NamedContext>,
    current_context: Option<String>,
}

#[derive(Debug, Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Debug, Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: Option<User>,
}

#[derive(Debug, Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    tls_server_name: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
    proxy_url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    username: Option<String>,
    exec: Option<serde_json::Value>,
    auth_provider: Option<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: String,
    user: Option<String>,
    namespace: Option<String>,
}

/// Finds the files, merges them and resolves `context` (or the current one).
pub fn load(sources: &Sources, context: Option<&str>) -> Result<Endpoint, KubeconfigError> {
    let files = match find(sources) {
        Err(nothing @ KubeconfigError::None(_)) => {
            return in_pod(sources)?.ok_or(nothing);
        }
        files => files?,
    };
    let mut merged = File::default();
    for path in files {
        let file = read(&path)?;
        let base = path.parent().unwrap_or(Path::new("."));
        merge(&mut merged, anchor(file, base));
    }
    resolve(merged, context)
}

/// The way from inside a pod; `None`: this is none.
fn in_pod(sources: &Sources) -> Result<Option<Endpoint>, KubeconfigError> {
    let Some((host, port)) = &sources.service else {
        return Ok(None);
    };
    let token_path = sources.pod_credentials.join("token");
    if !token_path.exists() {
        return Ok(None);
    }
    let text = |path: &Path| {
        read_bytes(path).map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.clone()
    };
    Ok(Some(Endpoint {
        server: format!("https://{host}:{port}"),
        certificate_authority: Some(read_bytes(&sources.pod_credentials.join("ca.crt"))?),
        token: Some(text(&token_path)?),
        namespace: text(&sources.pod_credentials.join("namespace")).ok(),
        ..Endpoint::default()
    }))
}

fn find(sources: &Sources) -> Result<Vec<PathBuf>, KubeconfigError> {
    if let Some(path) = &sources.explicit {
        return Ok(vec![path.clone()]);
    }
    if let Some(variable) = sources.variable.as_deref().filter(|list| !list.is_empty()) {
        let listed: Vec<PathBuf> = std::env::split_paths(variable)
            .filter(|path| !path.as_os_str().is_empty())
            .collect();
        // As kubectl does: files of the list that do not exist are passed over.
        let present: Vec<PathBuf> = listed
            .iter()
            .filter(|path| path.exists())
            .cloned()
            .collect();
        if present.is_empty() {
            return Err(KubeconfigError::None(variable.to_owned()));
        }
        return Ok(present);
    }
    let candidates: Vec<PathBuf> = [
        sources.home.as_ref().map(|home| home.join(".kube/config")),
        sources
            .data_dir
            .as_ref()
            .map(|dir| dir.join("admin.kubeconfig")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let Some(path) = candidates.iter().find(|path| path.exists()) {
        return Ok(vec![path.clone()]);
    }
    let looked: Vec<String> = candidates
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    Err(KubeconfigError::None(looked.join(", ")))
}

fn read(path: &Path) -> Result<File, KubeconfigError> {
    let text = String::from_utf8(read_bytes(path)?).map_err(|_| KubeconfigError::Parse {
        path: path.display().to_string(),
        cause: "it is not UTF-8".to_owned(),
    })?;
    parse(&text).map_err(|cause| KubeconfigError::Parse {
        path: path.display().to_string(),
        cause,
    })
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, KubeconfigError> {
    use std::io::Read;
    let failed = |cause: String| KubeconfigError::Read {
        path: path.display().to_string(),
        cause,
    };
    let file = std::fs::File::open(path).map_err(|cause| failed(cause.to_string()))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|cause| failed(cause.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(failed(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn parse(text: &str) -> Result<File, String> {
    serde_saphyr::from_str(text).map_err(|error| {
        let message = error.without_snippet().to_string();
        message.lines().next().unwrap_or_default().to_owned()
    })
}

/// Relative paths in a kubeconfig are relative to its directory.
fn anchor(mut file: File, base: &Path) -> File {
    let fix = |path: &mut Option<PathBuf>| {
        if let Some(path) = path.as_mut().filter(|path| path.is_relative()) {
            *path = base.join(&*path);
        }
    };
    for cluster in &mut file.clusters {
        fix(&mut cluster.cluster.certificate_authority);
    }
    for user in file.users.iter_mut().filter_map(|user| user.user.as_mut()) {
        fix(&mut user.client_certificate);
        fix(&mut user.client_key);
        fix(&mut user.token_file);
    }
    file
}

fn merge(into: &mut File, file: File) {
    into.clusters.extend(file.clusters);
    into.users.extend(file.users);
    into.contexts.extend(file.contexts);
    let set = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
    if !set(&into.current_context) {
        into.current_context = file.current_context;
    }
}

fn resolve(file: File, context: Option<&str>) -> Result<Endpoint, KubeconfigError> {
    let name = context
        .map(str::to_owned)
        .or(file.current_context)
        .filter(|name| !name.is_empty())
        .ok_or(KubeconfigError::NoContext)?;
    let context = file
        .contexts
        .into_iter()
        .find(|entry| entry.name == name)
        .ok_or(KubeconfigError::Missing {
            what: "context",
            name,
        })?
        .context;
    let cluster = file
        .clusters
        .into_iter()
        .find(|entry| entry.name == context.cluster)
        .ok_or(KubeconfigError::Missing {
            what: "cluster",
            name: context.cluster,
        })?
        .cluster;
    let user = match context.user.filter(|name| !name.is_empty()) {
        None => User::default(),
        Some(name) => file
            .users
            .into_iter()
            .find(|entry| entry.name == name)
            .ok_or(KubeconfigError::Missing { what: "user", name })?
            .user
            .unwrap_or_default(),
    };
    refuse_unsupported(&cluster, &user)?;
    let certificate = data_or_file(
        user.client_certificate_data,
        user.client_certificate,
        "client-certificate-data",
    )?;
    let key = data_or_file(user.client_key_data, user.client_key, "client-key-data")?;
    let token = match (user.token, user.token_file) {
        (Some(token), _) => Some(token),
        (None, Some(path)) => Some(
            String::from_utf8_lossy(&read_bytes(&path)?)
                .trim()
                .to_owned(),
        ),
        (None, None) => None,
    };
    Ok(Endpoint {
        server: cluster.server.trim_end_matches('/').to_owned(),
        tls_server_name: cluster.tls_server_name,
        certificate_authority: data_or_file(
            cluster.certificate_authority_data,
            cluster.certificate_authority,
            "certificate-authority-data",
        )?,
        client_certificate: certificate.zip(key),
        token,
        namespace: context.namespace.filter(|namespace| !namespace.is_empty()),
    })
}

fn refuse_unsupported(cluster: &Cluster, user: &User) -> Result<(), KubeconfigError> {
    let refused = [
        (
            cluster.insecure_skip_tls_verify == Some(true),
            "insecure-skip-tls-verify",
            "name the cluster's CA with certificate-authority",
        ),
        (
            cluster.proxy_url.is_some(),
            "proxy-url",
            "name a server that can be reached directly",
        ),
        (
            user.exec.is_some(),
            "exec credential plugin",
            "use a client certificate or a token",
        ),
        (
            user.auth_provider.is_some(),
            "auth-provider",
            "use a client certificate or a token",
        ),
        (
            user.username.is_some(),
            "username",
            "use a client certificate or a token",
        ),
    ];
    match refused.into_iter().find(|(present, ..)| *present) {
        Some((_, what, instead)) => Err(KubeconfigError::Unsupported(what, instead)),
        None => Ok(()),
    }
}

/// Embedded data wins over a file, as upstream documents.
fn data_or_file(
    data: Option<String>,
    file: Option<PathBuf>,
    what: &'static str,
) -> Result<Option<Vec<u8>>, KubeconfigError> {
    match (data.filter(|data| !data.is_empty()), file) {
        (Some(data), _) => base64::engine::general_purpose::STANDARD
            .decode(data.split_whitespace().collect::<String>())
            .map(Some)
            .map_err(|_| KubeconfigError::Base64(what)),
        (None, Some(path)) if !path.as_os_str().is_empty() => read_bytes(&path).map(Some),
        (None, _) => Ok(None),
    }
}

#[cfg(test)]
#[path = "kubeconfig_tests.rs"]
mod tests;
