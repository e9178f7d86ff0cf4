//! `coracle delete`: by name, selector, file or all of a kind; waits until they are gone.

use super::apply::{mapping, namespace_of};
use super::connect::{ClientArgs, Session, get, request};
use super::discovery::{Discovery, Resource};
use super::get::WatchEvent;
use super::manifest::FileArgs;
use super::resource_args::{self, Target};
use super::{Outcome, error};
use crate::client::{ClientError, DeleteParams, Lines, read_value};
use http::{Method, header};
use serde_json::Value;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    /// `pod web`, `pod/web svc/web`, or a kind with --all or -l.
    #[arg(value_name = "RESOURCE")]
    resources: Vec<String>,
    #[command(flatten)]
    files: FileArgs,
    /// Every object of the kind in the namespace.
    #[arg(long)]
    all: bool,
    /// Objects with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// With --all or -l: in all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Seconds a pod gets to end by itself; -1: its own.
    #[arg(long, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true)]
    grace_period: i64,
    /// Remove at once from the API without waiting for the node's confirmation.
    #[arg(long)]
    force: bool,
    /// Same as --grace-period=1.
    #[arg(long, conflicts_with = "grace_period")]
    now: bool,
    /// What becomes of the objects' dependents: they go after them, they go first, or they stay.
    #[arg(long, value_enum, default_value_t = Cascade::Background, num_args = 0..=1, require_equals = true, default_missing_value = "background")]
    cascade: Cascade,
    /// Wait until the objects are gone.
    #[arg(long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    wait: bool,
    /// Seconds to wait at most; 0: without end.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    timeout: u64,
    /// An object that does not exist is no error.
    #[arg(long)]
    ignore_not_found: bool,
}

/// One object to delete.
pub struct Victim {
    pub resource: Resource,
    pub namespace: String,
    pub name: String,
    /// The file that names it.
    pub source: Option<String>,
}

/// <https://kubernetes.io/docs/concepts/architecture/garbage-collection/#cascading-deletion>
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Cascade {
    Background,
    Foreground,
    Orphan,
}

impl Cascade {
    /// As the API calls it.
    fn policy(self) -> &'static str {
        match self {
            Cascade::Background => "Background",
            Cascade::Foreground => "Foreground",
            Cascade::Orphan => "Orphan",
        }
    }
}

/// What the flags mean together: seconds of grace, what becomes of dependents, and whether to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    pub grace_seconds: Option<i64>,
    pub cascade: Cascade,
    pub wait: bool,
}

impl DeleteArgs {
    fn manner(&self) -> Result<Manner, anyhow::Error> {
        Ok(Manner {
            grace_seconds: grace(self.grace_period, self.force, self.now)?,
            cascade: self.cascade,
            wait: self.wait,
        })
    }
}

/// kubectl's rules: zero seconds need --force, and become one without it.
fn grace(grace: i64, force: bool, now: bool) -> Result<Option<i64>, anyhow::Error> {
    anyhow::ensure!(
        grace >= -1,
        "--grace-period must be -1 or more, not {grace}"
    );
    anyhow::ensure!(
        !force || (grace <= 0 && !now),
        "--force and --grace-period greater than 0 cannot be specified together"
    );
    Ok(match (force, now, grace) {
        (true, ..) => Some(0),
        (false, true, _) | (false, false, 0) => Some(1),
        (false, false, -1) => None,
        (false, false, seconds) => Some(seconds),
    })
}

pub async fn run(args: DeleteArgs, client: ClientArgs) -> Outcome {
    let manner = args.manner()?;
    let session = client.connect()?;
    let (victims, mut failed) = if args.files.filename.is_empty() {
        let targets = resource_args::parse(&args.resources)?;
        let discovery = Discovery::load(&session.client).await?;
        (
            by_arguments(&args, &session, &discovery, &targets).await?,
            false,
        )
    } else {
        anyhow::ensure!(
            args.resources.is_empty() && !args.all && args.selector.is_none(),
            "with -f, names, --all and -l cannot be given"
        );
        let documents = args.files.read()?;
        let discovery = Discovery::load(&session.client).await?;
        by_files(&session, &discovery, documents)?
    };
    if args.force {
        eprintln!(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely."
        );
    }
    if victims.is_empty() && !failed {
        println!("No resources found");
    }
    let mut waiting = Vec::new();
    for victim in victims {
        match delete(&session, &victim, manner).await {
            Ok(uid) => {
                let how = if args.force {
                    "force deleted"
                } else {
                    "deleted"
                };
                println!("{} \"{}\" {how}", victim.resource.label(), victim.name);
                waiting.push((victim, uid));
            }
            Err(cause) if args.ignore_not_found && cause.is_not_found() => {}
            Err(cause) => {
                let cause = anyhow::Error::from(cause);
                error::print(&match &victim.source {
                    Some(source) => cause.context(format!("error when deleting {source}")),
                    None => cause,
                });
                failed = true;
            }
        }
    }
    if manner.wait {
        let gone = async {
            for (victim, uid) in &waiting {
                wait(&session, victim, uid.as_deref()).await?;
            }
            Ok::<(), ClientError>(())
        };
        if args.timeout == 0 {
            gone.await?;
        } else {
            tokio::time::timeout(Duration::from_secs(args.timeout), gone)
                .await
                .map_err(|_| anyhow::anyhow!("timed out waiting for the condition"))??;
        }
    }
    Ok(error::exit_code(failed))
}

async fn by_arguments(
    args: &DeleteArgs,
    session: &Session,
    discovery: &Discovery,
    targets: &[Target],
) -> Result<Vec<Victim>, anyhow::Error> {
    let named = targets.iter().any(|target| target.name.is_some());
    let many = args.all || args.selector.is_some();
    anyhow::ensure!(
        named || many,
        "resource(s) were provided, but no name was specified: name them, or use --all or -l"
    );
    anyhow::ensure!(
        !(named && many),
        "a name cannot be given together with --all or -l"
    );
    let mut victims = Vec::new();
    for target in resource_args::resolve(discovery, targets)? {
        match target.name {
            Some(name) => victims.push(Victim {
                resource: target.resource,
                namespace: session.namespace.clone(),
                name,
                source: None,
            }),
            None => victims.extend(all_of(args, session, target.resource).await?),
        }
    }
    Ok(victims)
}

async fn all_of(
    args: &DeleteArgs,
    session: &Session,
    resource: Resource,
) -> Result<Vec<Victim>, ClientError> {
    let namespace = (!args.all_namespaces).then_some(session.namespace.as_str());
    let path = resource.path(namespace, None);
    let query: Vec<_> = args
        .selector
        .clone()
        .map(|text| ("labelSelector", text))
        .into_iter()
        .collect();
    let list = read_value(get(&session.client, &path, &query, "application/json").await?).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| Victim {
            resource: resource.clone(),
            namespace: text(&item["metadata"]["namespace"]),
            name: text(&item["metadata"]["name"]),
            source: None,
        })
        .collect())
}

/// The objects of manifests, and whether one of them has a kind the server does not know.
fn by_files(
    session: &Session,
    discovery: &Discovery,
    documents: Vec<super::manifest::Document>,
) -> Result<(Vec<Victim>, bool), anyhow::Error> {
    let mut victims = Vec::new();
    let mut failed = false;
    for document in documents {
        match mapping(discovery, &document) {
            Ok(resource) => victims.push(Victim {
                resource: resource.clone(),
                namespace: namespace_of(session, &document)?,
                name: document.name().to_owned(),
                source: Some(document.place()),
            }),
            // A kind the server does not have has no objects either; the others still go.
            Err(cause) => {
                error::print(&cause);
                failed = true;
            }
        }
    }
    Ok((victims, failed))
}

/// The deleted object's uid, where the answer tells it.
pub async fn delete(
    session: &Session,
    victim: &Victim,
    manner: Manner,
) -> Result<Option<String>, ClientError> {
    let path = victim
        .resource
        .path(Some(&victim.namespace), Some(&victim.name));
    let mut options = DeleteParams {
        grace_period_seconds: manner.grace_seconds,
        ..DeleteParams::default()
    }
    .to_value();
    options["propagationPolicy"] = manner.cascade.policy().into();
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::ACCEPT, "application/json"),
    ];
    let body = axum::body::Body::from(options.to_string());
    let request = request(Method::DELETE, &path, &[], &headers, body)?;
    let answer = read_value(session.client.request(request).await?).await?;
    let uid = match answer["kind"].as_str() {
        Some("Status") => &answer["details"]["uid"],
        _ => &answer["metadata"]["uid"],
    };
    Ok(uid.as_str().map(str::to_owned))
}

/// Returns once no object of this name and uid is left.
pub async fn wait(
    session: &Session,
    victim: &Victim,
    uid: Option<&str>,
) -> Result<(), ClientError> {
    let path = victim.resource.path(Some(&victim.namespace), None);
    let selector = format!("metadata.name={}", victim.name);
    let alive = |object: &Value| {
        let own = object["metadata"]["uid"].as_str();
        uid.is_none() || own == uid
    };
    loop {
        let query = [("fieldSelector", selector.clone())];
        let list =
            read_value(get(&session.client, &path, &query, "application/json").await?).await?;
        if !list["items"].as_array().into_iter().flatten().any(alive) {
            return Ok(());
        }
        let version = list["metadata"]["resourceVersion"].as_str();
        let query = [
            ("fieldSelector", selector.clone()),
            ("watch", "true".to_owned()),
            ("resourceVersion", version.unwrap_or_default().to_owned()),
        ];
        let response = get(&session.client, &path, &query, "application/json").await?;
        let mut lines = Lines::new(response.into_body());
        while let Some(line) = lines.next().await {
            match WatchEvent::read(&line?) {
                Ok(event) if event.kind == "DELETED" && alive(&event.object) => return Ok(()),
                Ok(_) => {}
                // History is gone or the server is stopping: the next list tells.
                Err(_) => break,
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::fake_server::FakeServer;
    use serde_json::json;

    #[tokio::test]
    async fn an_object_is_deleted_and_waited_for() {
        let server = FakeServer::default();
        let session = server.session();
        for name in ["a", "b"] {
            let path = format!("/api/v1/namespaces/default/pods/{name}");
            let pod = json!({"metadata": {"name": name, "namespace": "default", "uid": name}});
            server.objects.lock().unwrap().insert(path, pod);
        }
        let discovery = Discovery::load(&session.client).await.unwrap();
        let victim = |name: &str| Victim {
            resource: discovery.find("pod").unwrap().clone(),
            namespace: "default".to_owned(),
            name: name.to_owned(),
            source: None,
        };
        let manner = Manner {
            grace_seconds: grace(5, false, false).unwrap(),
            cascade: Cascade::Foreground,
            wait: true,
        };
        let uid = delete(&session, &victim("a"), manner).await.unwrap();
        assert_eq!(uid.as_deref(), Some("a"));
        wait(&session, &victim("a"), uid.as_deref()).await.unwrap();
        // An object of the same name that is another one does not keep it waiting.
        wait(&session, &victim("b"), Some("older")).await.unwrap();
        assert!(
            delete(&session, &victim("a"), manner)
                .await
                .unwrap_err()
                .is_not_found()
        );
        let changes = server.changes.lock().unwrap();
        assert_eq!(changes[0].2["gracePeriodSeconds"], json!(5));
        assert_eq!(changes[0].2["propagationPolicy"], "Foreground");
    }

    #[test]
    fn grace_follows_kubectls_rules() {
        for (seconds, force, now, expected) in [
            (-1, false, false, Some(None)),
            (0, false, false, Some(Some(1))),
            (0, true, false, Some(Some(0))),
            (-1, true, false, Some(Some(0))),
            (-1, false, true, Some(Some(1))),
            (30, false, false, Some(Some(30))),
            (30, true, false, None),
            (-2, false, false, None),
        ] {
            let found = grace(seconds, force, now).ok();
            assert_eq!(found, expected, "{seconds} {force} {now}");
        }
    }
}
