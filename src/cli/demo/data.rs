//! A pod of a StatefulSet that is deleted comes back under its name, with its volume.

use super::objects::{PORT, STATEFUL_SET};
use super::{Server, page, pods, say};
use crate::client::DeleteParams;
use anyhow::Context;
use k8s_openapi::api::core::v1::Pod;

/// # Errors
/// The pod does not come back, or its volume forgot.
pub async fn show(server: &Server) -> Result<(), anyhow::Error> {
    let name = format!("{STATEFUL_SET}-0");
    let client = &server.session.client;
    let pod: Pod = client.get(Some(&server.session.namespace), &name).await?;
    let before = starts(&pod).await?;
    say(&format!(
        "\nDeleting pod/{name}, which counts its starts on the volume that its StatefulSet claimed …"
    ));
    let params = DeleteParams {
        precondition_uid: pod.metadata.uid.clone(),
        ..DeleteParams::default()
    };
    client
        .delete::<Pod>(Some(&server.session.namespace), &name, &params)
        .await?;
    let what = format!("pod {name} did not come back");
    let back = pods::until(client, &what, |pods| {
        let back = pods
            .get(&name)
            .filter(|back| back.metadata.uid != pod.metadata.uid && pods::is_ready(back));
        Ok(back.cloned())
    })
    .await?;
    let after = starts(&back).await?;
    anyhow::ensure!(
        after > before,
        "pod {name} counted {before} starts before it was deleted and {after} afterwards: its volume forgot"
    );
    say(&format!(
        "pod/{name} is back, start {after} after start {before}: its data was kept."
    ));
    Ok(())
}

async fn starts(pod: &Pod) -> Result<u64, anyhow::Error> {
    let name = pods::name(pod);
    let address = pods::socket(pod, PORT)?;
    let page = page::fetch(address, "/").await.context(name.clone())?;
    number(&page).with_context(|| format!("{name} does not tell its starts:\n{page}"))
}

fn number(page: &str) -> Option<u64> {
    let mut lines = page.lines();
    lines.find_map(|line| line.strip_prefix("starts:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn the_page_tells_the_starts() {
        assert_eq!(number("Hello\npath:    /\nstarts:  12\n"), Some(12));
        assert_eq!(number("Hello\npath:    /\n"), None);
    }
}
