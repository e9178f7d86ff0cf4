//! Front, backend and database, with all that stands around them: services, settings, secrets, an autoscaler, a budget for
//! disruptions and an ingress.

use super::{Application, NEXT_IMAGE, get};

const WORKLOADS: [&str; 3] = [
    "statefulset/database",
    "deployment/backend",
    "deployment/front",
];

pub fn lives() {
    let shop = Application::new("shop", include_str!("shop.yaml"));
    shop.apply();
    WORKLOADS
        .iter()
        .for_each(|workload| shop.rolled_out(workload));
    // The autoscaler's least, and no word of its own about the pods' use is needed for that.
    shop.wait_for("deployment/front", "{.status.readyReplicas}", "2");
    asked(
        &shop,
        "first",
        "Welcome aboard, release 1 on test.local/busybox:1\nfirst\n",
    );
    shop.kubectl(&["get", "ingress", "shop"])
        .must_say("shop.example.com");
    shop.kubectl(&["describe", "ingress", "shop"])
        .must_say("front:http");
    shop.wait_for("pdb/front", "{.status.disruptionsAllowed}", "1");
    updated_and_rolled_back(&shop);
    drained(&shop);
    shop.delete();
    // What was ordered stays until somebody says that it may go.
    shop.assert_nothing_is_left(&["persistentvolumeclaim/data-database-0"]);
    shop.kubectl(&["delete", "pvc", "data-database-0"]).must();
    shop.assert_nothing_is_left(&[]);
}

/// Every front that is ready answers through the other two tiers, where `order` is kept once.
#[track_caller]
fn asked(shop: &Application, order: &str, answer: &str) {
    let path = format!("/cgi-bin/shop?{order}");
    shop.until(answer, || {
        let fronts = shop.addresses("front");
        fronts.len() >= 2
            && fronts
                .iter()
                .all(|front| get(front, &path).is_some_and(|said| said == answer))
    });
}

fn updated_and_rolled_back(shop: &Application) {
    // The front by its image, the backend by its manifest.
    shop.kubectl(&[
        "set",
        "image",
        "deployment/front",
        &format!("front={NEXT_IMAGE}"),
    ])
    .must_say("image updated");
    shop.rolled_out("deployment/front");
    asked(
        shop,
        "first",
        "Welcome aboard, release 1 on test.local/busybox:2\nfirst\n",
    );
    shop.kubectl(&["set", "env", "deployment/front", "RELEASE=3"])
        .must();
    shop.rolled_out("deployment/front");
    asked(
        shop,
        "first",
        "Welcome aboard, release 3 on test.local/busybox:2\nfirst\n",
    );
    shop.kubectl(&["rollout", "history", "deployment/front"])
        .must_say("\n3 ");
    shop.kubectl(&["rollout", "undo", "deployment/front", "--to-revision=1"])
        .must_say("rolled back");
    shop.rolled_out("deployment/front");
    asked(
        shop,
        "second",
        "Welcome aboard, release 1 on test.local/busybox:1\nfirst\nsecond\n",
    );
    for workload in ["deployment/backend", "statefulset/database"] {
        let path = "{.spec.template.spec.containers[0].env[?(@.name==\"FOR\")].value}";
        shop.kubectl(&["set", "env", workload, "FOR=autumn"]).must();
        shop.rolled_out(workload);
        assert_eq!(shop.value(workload, path), "autumn");
        shop.roll_back(workload);
        assert_eq!(shop.value(workload, path), "");
    }
    asked(
        shop,
        "second",
        "Welcome aboard, release 1 on test.local/busybox:1\nfirst\nsecond\n",
    );
    // The autoscaler holds to its bounds when they change.
    shop.kubectl(&[
        "patch",
        "hpa",
        "front",
        "-p",
        r#"{"spec":{"minReplicas":3}}"#,
    ])
    .must();
    shop.wait_for("deployment/front", "{.status.readyReplicas}", "3");
}

fn drained(shop: &Application) {
    // The only node: who leaves cannot come back elsewhere, and the last front must not leave.
    shop.drain(&["--timeout=8s"])
        .must_fail_with("violate the pod's disruption budget");
    shop.wait_for("pdb/front", "{.status.currentHealthy}", "1");
    let message = "{.items[*].status.conditions[?(@.type==\"PodScheduled\")].message}";
    let why = || shop.value("pods", message);
    shop.until("told why", || {
        why().contains("0/1 nodes are available: 1 node(s) were unschedulable")
    });
    shop.until("one front", || shop.addresses("front").len() == 1);
    shop.kubectl(&[
        "patch",
        "pdb",
        "front",
        "-p",
        r#"{"spec":{"minAvailable":0}}"#,
    ])
    .must();
    shop.drain(&["--timeout=60s"]).must_say("drained");
    shop.until("no endpoints", || {
        ["front", "backend", "database"]
            .iter()
            .all(|service| shop.addresses(service).is_empty())
    });
    shop.uncordon();
    WORKLOADS
        .iter()
        .for_each(|workload| shop.rolled_out(workload));
    asked(
        shop,
        "third",
        "Welcome aboard, release 1 on test.local/busybox:1\nfirst\nsecond\nthird\n",
    );
}
