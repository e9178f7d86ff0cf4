//! The manager's side of static pods: workers follow the files, mirrors find their workers.

use super::{Manager, Wanted};
use crate::client::DeleteParams;
use crate::kubelet::static_pods::full_name;
use crate::kubelet::static_pods::mirror::{Mirror, is_mirror};
use k8s_openapi::api::core::v1::Pod;
use std::sync::Arc;

impl Manager {
    /// The files' pods are these now.
    pub(super) async fn static_pods_changed(&mut self, pods: Vec<Arc<Pod>>) {
        self.static_pods = pods;
        let wanted: Vec<Option<&String>> = self
            .static_pods
            .iter()
            .map(|p| p.metadata.uid.as_ref())
            .collect();
        for (uid, handle) in self.pods.lock().iter() {
            let gone = !wanted.contains(&Some(uid));
            handle.wanted.send_if_modified(|w| {
                let ends = w.mirror.is_some() && gone && !w.gone;
                w.gone |= ends;
                ends
            });
        }
        self.start_static_pods().await;
    }

    /// Starts those that do not run. A pod of the same name that still stops is waited for.
    pub(super) async fn start_static_pods(&mut self) {
        for pod in self.static_pods.clone() {
            let uid = pod.metadata.uid.clone().unwrap_or_default();
            let name = full_name(&pod);
            let busy = self.pods.lock().iter().any(|(other, handle)| {
                let wanted = handle.wanted.borrow();
                *other == uid || (wanted.mirror.is_some() && full_name(&wanted.pod) == name)
            });
            if busy {
                continue;
            }
            let mirror = Mirror {
                pod: self.mirrors.get(&name).cloned(),
                listed: self.listed,
            };
            tracing::info!(pod = %format!("{}/{}", name.0, name.1), "starting a static pod");
            self.start(Wanted {
                pod,
                gone: false,
                mirror: Some(mirror),
                eviction: None,
                reclaims: 0,
            })
            .await;
        }
    }

    /// The API's list is these; mirrors that are not among them are gone.
    pub(super) fn mirrors_listed(&mut self, list: &[Pod]) {
        self.mirrors = list
            .iter()
            .filter(|pod| is_mirror(pod))
            .map(|pod| (full_name(pod), Arc::new(pod.clone())))
            .collect();
        for handle in self.pods.lock().values() {
            handle.wanted.send_if_modified(|w| {
                let name = full_name(&w.pod);
                let Some(mirror) = &mut w.mirror else {
                    return false;
                };
                mirror.listed = true;
                mirror.pod = self.mirrors.get(&name).cloned();
                true
            });
        }
    }

    /// A mirror was written. One without a static pod is left from a file that is no more.
    pub(super) async fn mirror_applied(&mut self, pod: Pod) {
        let name = full_name(&pod);
        let pod = Arc::new(pod);
        self.mirrors.insert(name.clone(), pod.clone());
        let mut owned = false;
        for handle in self.pods.lock().values() {
            handle.wanted.send_if_modified(|w| {
                let own = full_name(&w.pod) == name;
                let Some(mirror) = w.mirror.as_mut().filter(|_| own) else {
                    return false;
                };
                mirror.pod = Some(pod.clone());
                owned = true;
                true
            });
        }
        if !owned {
            self.remove_mirror(&pod).await;
        }
    }

    pub(super) fn mirror_deleted(&mut self, pod: &Pod) {
        let name = full_name(pod);
        let same = |other: &Arc<Pod>| other.metadata.uid == pod.metadata.uid;
        if self.mirrors.get(&name).is_some_and(same) {
            self.mirrors.remove(&name);
        }
        for handle in self.pods.lock().values() {
            handle.wanted.send_if_modified(|w| {
                let own = full_name(&w.pod) == name;
                let Some(mirror) = w.mirror.as_mut().filter(|_| own) else {
                    return false;
                };
                let gone = mirror.pod.as_ref().is_some_and(same);
                if gone {
                    mirror.pod = None;
                }
                gone
            });
        }
    }

    async fn remove_mirror(&self, pod: &Pod) {
        let (namespace, name) = full_name(pod);
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            precondition_uid: pod.metadata.uid.clone(),
            precondition_resource_version: None,
        };
        let result = self
            .ctx
            .client
            .delete::<Pod>(Some(&namespace), &name, &params)
            .await;
        match result {
            Ok(()) => {
                tracing::info!(pod = %format!("{namespace}/{name}"), "removed the mirror of a static pod that is no more");
            }
            Err(error) => {
                tracing::debug!(pod = %format!("{namespace}/{name}"), %error, "mirror not removed; the next list tries again");
            }
        }
    }
}
