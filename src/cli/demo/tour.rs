//! What the demo shows, in its order.

use super::objects::{self, DEPLOYMENT, PORT};
use super::pods::Pods;
use super::{Server, data, job, page, pods, say, update};
use anyhow::Context;
use std::net::SocketAddr;
use std::path::Path;

pub async fn show(kubeconfig: &Path) -> Result<(), anyhow::Error> {
    let server = Server::connect(kubeconfig).await?;
    let client = &server.session.client;
    say("Applying a Deployment, a StatefulSet with claims, a DaemonSet and a CronJob …");
    for object in objects::all() {
        server.apply(&object).await?;
    }
    let all = pods::until_ready(client).await?;
    say("\nWhat runs:");
    say(pods::table(&all).trim_end());
    let url = format!("http://{}/", web(&all)?);
    let page = page::fetch(web(&all)?, "/").await;
    let page = page.with_context(|| format!("{url} cannot be fetched"))?;
    say(&format!("\nThe page at {url}:\n{}", page.trim_end()));
    update::show(&server).await?;
    data::show(&server).await?;
    job::show(&server).await?;
    let all = pods::until_ready_again(client).await?;
    let url = format!("http://{}/", web(&all)?);
    say(&format!(
        "\nTry it yourself, in another terminal:\n  export KUBECONFIG={}\n  kubectl get all -o wide\n  curl {url}",
        kubeconfig.display()
    ));
    Ok(())
}

/// One of the web servers.
fn web(all: &Pods) -> Result<SocketAddr, anyhow::Error> {
    let mut servers = all.values().filter(|pod| pods::is_of(pod, DEPLOYMENT));
    pods::socket(servers.next().context("there is no web server")?, PORT)
}
