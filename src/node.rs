//! Composes the parts into a running node: the one place that knows them all.
//!
//! What comes in: a [`NodeConfig`]. What goes out: a node that serves the API and runs pods until it is stopped.
//! Parts are made from the ground floor up, each is handed what it works with, and they stop in the opposite order.
//! Containers are not parts: they belong to their shims and outlive the node.

pub mod record;

use crate::api::{self, Api, NodeDoor, User};
use crate::client::Client;
use crate::image::{ConfigFiles, Images};
use crate::kubelet::static_pods::StaticPods;
use crate::kubelet::{Kubelet, KubeletConfig, Parts, Settings};
use crate::mesh::identity;
use crate::mesh::signing::SigningKey;
use crate::network::{Network, NetworkConfig, PodCidr};
use crate::profile::Profile;
use crate::raft::Raft;
use crate::runtime::Runtime;
use anyhow::Context;
use axum::body::Body;
use base64::Engine as _;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use record::HostRecord;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Everything one node is told at start.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// `/var/lib/coracle`.
    pub data_dir: PathBuf,
    /// `/run/coracle`, on tmpfs.
    pub run_dir: PathBuf,
    pub node_name: String,
    /// `0.0.0.0:6443`.
    pub listen: SocketAddr,
    /// Address written to the node's status and the admin kubeconfig.
    pub advertise: IpAddr,
    pub bridge: String,
    pub pod_cidr: PodCidr,
    pub cgroup_root: String,
    pub profile: Profile,
    /// Containers that say nothing get the seccomp profile `RuntimeDefault`.
    pub seccomp_default: bool,
    /// Sysctls that pods may set beside the safe ones.
    pub allowed_unsafe_sysctls: Vec<String>,
    /// Files of static pods.
    pub manifest_dir: Option<PathBuf>,
    /// What is kept back from pods and when they are given up.
    pub settings: Settings,
}

impl NodeConfig {
    fn host_record(&self) -> HostRecord {
        HostRecord {
            run_dir: self.run_dir.clone(),
            cgroup_root: self.cgroup_root.clone(),
            network: NetworkConfig {
                bridge: self.bridge.clone(),
                pod_cidr: self.pod_cidr,
                // The default bridge gives the table its plain name; another node on the same host gets its own.
                table: match self.bridge.as_str() {
                    "cor0" => "coracle".to_owned(),
                    other => format!("coracle-{other}"),
                },
                leases_dir: self.run_dir.join("leases"),
            },
        }
    }
}

/// The way from the API to the kubelet of this node; set once both exist.
#[derive(Clone)]
struct OwnKubelet {
    node_name: String,
    kubelet: Arc<OnceLock<Kubelet>>,
}

impl NodeDoor for OwnKubelet {
    fn call(&self, node: &str, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        let kubelet = (node == self.node_name)
            .then(|| self.kubelet.get().cloned())
            .flatten();
        let node = node.to_owned();
        Box::pin(async move {
            if let Some(kubelet) = kubelet {
                kubelet.handle(request).await
            } else {
                let mut response =
                    Response::new(Body::from(format!("node {node} is not connected")));
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                response
            }
        })
    }
}

/// A started node.
pub struct Node {
    /// Path of the admin kubeconfig.
    pub kubeconfig: PathBuf,
    raft: Raft,
    /// Told first: no new requests, no new pods.
    stop: CancellationToken,
    /// Named, to say which one does not end.
    tasks: Vec<(&'static str, JoinHandle<()>)>,
}

/// How long a part may take to stop before it is named and left.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

const ADMIN: &str = "admin";

impl Node {
    /// Starts every part; returns once the API answers.
    ///
    /// # Errors
    /// Says which part could not start and why: a port in use, a data directory that another node holds, no `nft`.
    /// Parts started before it are stopped again.
    pub async fn start(config: NodeConfig) -> Result<Node, anyhow::Error> {
        make_directories(&config)?;
        let raft = Raft::open(&config.data_dir.join("store"), &config.profile.store).await?;
        let mut node = Node {
            kubeconfig: config.data_dir.join("admin.kubeconfig"),
            raft,
            stop: CancellationToken::new(),
            tasks: Vec::new(),
        };
        match node.start_parts(config).await {
            Ok(()) => Ok(node),
            Err(cause) => {
                node.stop().await;
                Err(cause)
            }
        }
    }

    async fn start_parts(&mut self, config: NodeConfig) -> Result<(), anyhow::Error> {
        let executable = std::env::current_exe().context("cannot find this program's own file")?;
        let record = config.host_record();
        // Only after the store is ours: a second node on this directory must not rewrite the first one's note.
        record.write(&config.data_dir)?;
        let listener = bind(config.listen)?;
        let port = listener.local_addr()?.port();
        let pki = config.data_dir.join("pki");
        let authority = identity::Authority::open(&pki)?;
        let server = authority.server(&server_names(&config))?;
        let tls = authority.server_config(&server)?;
        self.write_kubeconfig(&authority, &config, port)?;

        let own = OwnKubelet {
            node_name: config.node_name.clone(),
            kubelet: Arc::default(),
        };
        let root_certificate_pem = authority.certificate_pem().to_owned();
        let api = Api::new(
            self.raft.store.clone(),
            self.raft.writer.clone(),
            Arc::new(own.clone()),
            api::Identity {
                signing_key: Arc::new(SigningKey::open(&pki)?),
                root_certificate_pem: root_certificate_pem.clone(),
                address: SocketAddr::new(config.advertise, port),
            },
        );
        api::bootstrap::bootstrap(&api)
            .await
            .map_err(|why| anyhow::anyhow!("the first objects: {why}"))?;
        self.run(
            "api",
            api::server::serve(api.clone(), listener, tls.clone(), self.stop.child_token()),
        );

        let client = |name: &str, groups: &[&str]| {
            let groups = [groups, &[api::AUTHENTICATED]].concat();
            Client::new(api.door(User {
                name: name.to_owned(),
                groups: groups.into_iter().map(str::to_owned).collect(),
                ..User::default()
            }))
        };
        let (runtime, events) =
            Runtime::open(record.runtime(&config.data_dir, executable.clone())).await?;
        let network = Network::open(record.network.clone()).await?;
        // Pods come in by the bridge. A server that cannot be reached from there gets a second socket there.
        let (server, unreachable) = match config.listen.ip() {
            address if address.is_unspecified() => (network.gateway(), false),
            IpAddr::V4(address) if !address.is_loopback() => (address, false),
            _ => (network.gateway(), true),
        };
        let server = SocketAddrV4::new(server, port);
        if unreachable {
            let listener = bind(server.into())?;
            self.run(
                "api for pods",
                api::server::serve(api.clone(), listener, tls, self.stop.child_token()),
            );
        }
        let service = SocketAddrV4::new(api::bootstrap::API_ADDRESS, api::bootstrap::API_PORT);
        network.lead_to_api(service, server).await?;
        let (directory, images_profile) = (
            config.data_dir.join("images"),
            config.profile.images.clone(),
        );
        let files = ConfigFiles::of_node(&config.data_dir);
        let images = tokio::task::spawn_blocking(move || {
            Images::open(&directory, &images_profile, &executable, files)
        })
        .await??;
        let parts = Parts {
            client: client(
                &format!("system:node:{}", config.node_name),
                &["system:nodes"],
            ),
            runtime,
            events,
            images,
            network,
        };
        let kubelet_config = KubeletConfig {
            node_name: config.node_name,
            node_ip: config.advertise,
            pod_cidr: config.pod_cidr.to_string(),
            pods_dir: config.data_dir.join("pods"),
            run_dir: config.run_dir.join("kubelet"),
            profile: config.profile,
            seccomp_dir: config.data_dir.join("seccomp"),
            seccomp_default: config.seccomp_default,
            allowed_unsafe_sysctls: config.allowed_unsafe_sysctls,
            static_pods: config.manifest_dir.map(|dir| StaticPods {
                dir,
                complete: api::kinds::complete_static_pod,
            }),
            settings: config.settings,
            images_dir: config.data_dir.join("images"),
        };
        let (kubelet, running) = Kubelet::new(kubelet_config, parts, self.stop.child_token());
        let _ = own.kubelet.set(kubelet);
        self.run("kubelet", running);
        let stop = self.stop.child_token();
        self.run(
            "scheduler",
            crate::scheduler::run(client("system:kube-scheduler", &[]), stop.clone()),
        );
        let controllers = client("system:kube-controller-manager", &[]);
        self.run(
            "controllers",
            crate::controllers::run(controllers, root_certificate_pem, stop.clone()),
        );
        self.run("expire-events", api::expire_events::run(api, stop));
        Ok(())
    }

    fn run(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push((name, tokio::spawn(part)));
    }

    fn write_kubeconfig(
        &self,
        authority: &identity::Authority,
        config: &NodeConfig,
        port: u16,
    ) -> Result<(), anyhow::Error> {
        let holder = identity::Holder {
            common_name: "kubernetes-admin".into(),
            organisations: vec!["system:masters".into()],
        };
        let admin = authority.client(ADMIN, &holder)?;
        // The address people reach this node by; a node that only listens on one address is reached by that one.
        let address = if config.listen.ip().is_unspecified() {
            config.advertise
        } else {
            config.listen.ip()
        };
        let server = format!("https://{}", SocketAddr::new(address, port));
        let text = admin_kubeconfig(&server, authority.certificate_pem(), &admin);
        if std::fs::read(&self.kubeconfig).is_ok_and(|present| present == text.as_bytes()) {
            return Ok(());
        }
        Ok(identity::write_private(&self.kubeconfig, text.as_bytes())?)
    }

    /// Stops every part, the last started first, and closes the store. Containers keep running.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while let Some((name, mut task)) = self.tasks.pop() {
            match tokio::time::timeout(STOP_PATIENCE, &mut task).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!("{name} ended badly: {error}"),
                Err(_) => {
                    tracing::warn!("{name} does not stop and is left");
                    task.abort();
                }
            }
        }
        self.raft.close().await;
    }
}

fn make_directories(config: &NodeConfig) -> Result<(), anyhow::Error> {
    for directory in [&config.data_dir, &config.run_dir] {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("{}: cannot make the directory", directory.display()))?;
    }
    Ok(())
}

fn bind(listen: SocketAddr) -> Result<tokio::net::TcpListener, anyhow::Error> {
    let bound = std::net::TcpListener::bind(listen).and_then(|listener| {
        listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(listener)
    });
    bound.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "{listen} is already in use: stop what listens there (ss -ltnp 'sport = :{}' names it), or choose another address with --listen",
            listen.port()
        ),
        _ => anyhow::anyhow!("cannot listen on {listen}: {error}; choose another address with --listen"),
    })
}

/// Every name under which clients may ask for the API, inside the cluster and out.
fn server_names(config: &NodeConfig) -> identity::ServerNames {
    let mut dns = vec![
        "localhost".to_owned(),
        "kubernetes".to_owned(),
        "kubernetes.default".to_owned(),
        "kubernetes.default.svc".to_owned(),
        "kubernetes.default.svc.cluster.local".to_owned(),
        config.node_name.clone(),
    ];
    dns.dedup();
    let mut addresses: Vec<IpAddr> = vec![
        Ipv4Addr::LOCALHOST.into(),
        Ipv6Addr::LOCALHOST.into(),
        Ipv4Addr::new(10, 43, 0, 1).into(),
    ];
    for address in [config.advertise, config.listen.ip()] {
        if !address.is_unspecified() && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    identity::ServerNames { dns, addresses }
}

/// <https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/>
fn admin_kubeconfig(server: &str, authority_pem: &str, admin: &identity::Credential) -> String {
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: coracle\n  cluster:\n    server: {server}\n    certificate-authority-data: {}\n\
         users:\n- name: {ADMIN}\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n\
         contexts:\n- name: coracle\n  context:\n    cluster: coracle\n    user: {ADMIN}\ncurrent-context: coracle\n",
        base64(authority_pem),
        base64(&admin.certificate_pem),
        base64(&admin.key_pem),
    )
}
