//! An agent on every node that reads what containers say.

use super::Application;

const AGENT: &str = "daemonset/agent";

pub fn lives() {
    let mut agent = Application::new("agent", include_str!("agent.yaml"));
    let logs = agent.node.data_dir().join("pods");
    agent.manifest = agent.manifest.replace(
        "{path: /var/log/pods,",
        &format!("{{path: {},", logs.display()),
    );
    agent.apply();
    agent.rolled_out(AGENT);
    agent.rolled_out("deployment/speaker");
    assert_gathered(&agent, "plain");
    // Another form, and back.
    agent.kubectl(&["set", "env", AGENT, "FORM=short"]).must();
    agent.rolled_out(AGENT);
    assert_gathered(&agent, "short");
    agent.roll_back(AGENT);
    assert_gathered(&agent, "plain");
    agent.kubectl(&["rollout", "restart", AGENT]).must();
    agent.rolled_out(AGENT);
    assert_gathered(&agent, "plain");
    drained(&agent);
    agent.delete();
    agent.assert_nothing_is_left(&[]);
}

/// The agent has told of each speaker that is there, in this form.
#[track_caller]
fn assert_gathered(agent: &Application, form: &str) {
    let speakers = agent.pods("app=speaker");
    assert_eq!(speakers.len(), 2);
    let node = &agent.node.name;
    agent.until(&format!("gathered as {form}"), || {
        let told = agent.kubectl(&["logs", AGENT]).stdout;
        let has = |pod: &String| told.contains(&format!("{form} {node} {pod}-speaks\n"));
        speakers.iter().all(has)
    });
}

fn drained(agent: &Application) {
    agent
        .drain(&["--delete-emptydir-data"])
        .must_fail_with("cannot delete DaemonSet-managed Pods");
    let before = agent.pods("app=agent");
    agent
        .drain(&[
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            "--timeout=60s",
        ])
        .must_say("drained");
    assert_eq!(agent.pods("app=agent"), before);
    agent.until("speakers wait", || {
        agent.words(
            "pods",
            "{.items[?(@.metadata.labels.app==\"speaker\")].status.phase}",
        ) == ["Pending", "Pending"]
    });
    // It tolerates everything, a drained node as well.
    agent.kubectl(&["delete", "pod", &before[0]]).must();
    agent.rolled_out(AGENT);
    agent.wait_for(
        AGENT,
        "{.status.numberReady}/{.status.desiredNumberScheduled}",
        "1/1",
    );
    agent.uncordon();
    agent.rolled_out("deployment/speaker");
    assert_gathered(agent, "plain");
}
