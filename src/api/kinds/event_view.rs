//! `events.k8s.io/v1` Events: core Events under other names.
//! <https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/>

use super::Strategy;
use super::view::{View, renamed};

pub struct EventView;

impl Strategy for EventView {
    fn view(&self) -> Option<&'static View> {
        Some(&View {
            group: "",
            version: "v1",
            plural: "events",
            to_stored: |event| {
                let names: Vec<_> = NAMES.iter().map(|(old, new)| (*new, *old)).collect();
                renamed(event, &names, "v1")
            },
            from_stored: |event| renamed(event, NAMES, "events.k8s.io/v1"),
        })
    }
}

/// Names in core and in `events.k8s.io`.
const NAMES: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn there_and_back() {
        let core = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a"}, "involvedObject": {"name": "p"},
            "message": "m", "source": {"component": "c"}, "count": 2, "series": {"count": 3}, "extra": 1});
        let view = EventView.view().unwrap();
        let shown = (view.from_stored)(core.clone());
        assert_eq!(shown["apiVersion"], "events.k8s.io/v1");
        assert_eq!(
            (
                &shown["regarding"]["name"],
                &shown["note"],
                &shown["deprecatedCount"]
            ),
            (&json!("p"), &json!("m"), &json!(2))
        );
        assert!(shown.get("message").is_none());
        assert_eq!((view.to_stored)(shown), core);
        assert_eq!((view.to_stored)(json!(1)), json!(1));
    }
}
