//! The verbs that make and change workloads: what they make is what kubectl makes, argument for argument.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually};
use crate::namespace;
use serde_json::Value;

pub const TESTS: &[(&str, fn())] = &[
    (
        "generators_make_what_kubectl_makes",
        generators_make_what_kubectl_makes,
    ),
    (
        "a_deployment_is_rolled_scaled_exposed_and_taken_back",
        a_deployment_is_rolled_scaled_exposed_and_taken_back,
    ),
    (
        "run_gives_back_output_and_exit_code",
        run_gives_back_output_and_exit_code,
    ),
];

/// One command each; words are split at spaces, `_` stands for a space inside a word.
const LINES: &[&str] = &[
    "create namespace a",
    "create configmap c --from-literal=a=b --from-literal=x=y=z",
    "create configmap c --from-literal=a=<b> --append-hash",
    "create configmap c --from-file=k=/etc/hostname",
    "create configmap c --from-env-file=/dev/null",
    "create configmap c --from-env-file=/dev/null --from-literal=a=b",
    "create configmap c",
    "create secret generic s --from-literal=a=b --type=x/y",
    "create secret generic s --from-literal=a=b --append-hash",
    "create secret generic s",
    "create secret docker-registry s --docker-username=u --docker-password=p --docker-email=e",
    "create secret docker-registry s --docker-username=u --docker-password=p --docker-server=r.io",
    "create secret docker-registry s",
    "create serviceaccount s",
    "create deployment web --image=nginx:1 --replicas=3 --port=80",
    "create deployment web --image=nginx:1 --image=docker.io/a/busybox@sha256:0",
    "create deployment web --image=nginx -- sleep 5",
    "create deployment web --image=a --image=b -- sleep 5",
    "create job j --image=x",
    "create job j --image=x -- a b",
    "create job j",
    "create cronjob j --image=x --schedule=*_*_*_*_* --restart=Never -- a b",
    "create service clusterip s --tcp=80:8080 --tcp=443",
    "create service clusterip s --clusterip=None",
    "create service clusterip s",
    "create service nodeport s --tcp=80:8080 --node-port=30000",
    "create service loadbalancer s --tcp=80:http",
    "create service externalname s --external-name=a.b --tcp=80",
    "create service externalname s --external-name=a.b",
    "create role r --verb=get,list --resource=pods,deployments.apps/scale,rs --resource-name=a",
    "create role r --verb=bind --resource=pods",
    "create role r --verb=get --resource=boats",
    "create role r --verb=* --resource=*",
    "create clusterrole r --verb=get --resource=nodes --non-resource-url=/a/*",
    "create clusterrole r --verb=get,list --non-resource-url=/a",
    "create clusterrole r --aggregation-rule=a=b",
    "create rolebinding r --role=a --user=u --group=g --serviceaccount=a:b",
    "create rolebinding r --clusterrole=a --role=b --user=u",
    "create clusterrolebinding r --clusterrole=a --user=u --serviceaccount=a:b --group=x",
    "create clusterrolebinding r --clusterrole=a --serviceaccount=a",
    "create ingress i --rule=a.com/p*=svc:80,tls=sec --rule=/x=svc:http --class=c --annotation=a=b",
    "create ingress i --rule=a/x=s:1,tls=t --rule=a/y=s:1,tls=u --rule=b/=s:1,tls=t --default-backend=d:90",
    "create ingress i --rule=x",
    "create poddisruptionbudget p --selector=a=b,c_in_(d,e),f --max-unavailable=50%",
    "create poddisruptionbudget p --selector=a=b --min-available=1",
    "create priorityclass p --value=5 --description=x --global-default=true --preemption-policy=Never",
    "create quota q --hard=cpu=1,pods=3 --scopes=BestEffort",
    "create quota q --hard=cpu",
    "run p --image=x --env=A=b --port=80 --expose --labels=a=b",
    "run p --image=x --restart=Never --image-pull-policy=Never --annotations=a=b --privileged -- a b",
    "run p --image=x --restart=OnFailure --command --overrides={\"spec\":{\"nodeName\":\"n\"}} -- a b",
    "run p --image=x --env=A",
    "run p --image=x --rm",
    "run p --image=x --expose",
];

fn documents(text: &str) -> Vec<Value> {
    serde_json::Deserializer::from_str(text)
        .into_iter::<Value>()
        .map(|document| document.expect("JSON"))
        .collect()
}

fn compare(node: &TestNode, namespace: &str, line: &str) {
    let words: Vec<String> = line.split(' ').map(|word| word.replace('_', " ")).collect();
    let end = words.iter().position(|word| word == "--");
    let (before, after) = words.split_at(end.unwrap_or(words.len()));
    let mut arguments = vec!["-n", namespace];
    arguments.extend(before.iter().map(String::as_str));
    arguments.extend(["--dry-run=client", "-o", "json"]);
    arguments.extend(after.iter().map(String::as_str));
    let (ours, theirs) = (node.coracle(&arguments), node.kubectl(&arguments));
    assert_eq!(
        ours.code == Some(0),
        theirs.code == Some(0),
        "{line}: {ours:?} {theirs:?}"
    );
    assert_eq!(documents(&ours.stdout), documents(&theirs.stdout), "{line}");
}

fn generators_make_what_kubectl_makes() {
    let node = namespace("gen");
    for line in LINES {
        compare(&node, "gen", line);
    }
}

fn a_deployment_is_rolled_scaled_exposed_and_taken_back() {
    let node = namespace("roll");
    let coracle = |words: &str| {
        let mut arguments = vec!["-n", "roll"];
        arguments.extend(words.split(' '));
        node.coracle(&arguments)
    };
    let image = format!("--image={IMAGE}");
    coracle(&format!(
        "create deployment web {image} --port=8080 -- sleep 3600"
    ))
    .must_say("deployment.apps/web created");
    coracle("rollout status deployment/web --timeout=60s")
        .must_say("deployment \"web\" successfully rolled out");
    for line in [
        "expose deployment web --port=80 --target-port=8080 --name=front",
        "expose deployment/web --type=NodePort --labels=a=b",
        "expose deployment web --port=80 --protocol=UDP --session-affinity=ClientIP",
        "expose serviceaccount default --port=80",
    ] {
        compare(&node, "roll", line);
    }
    coracle("scale deployment/web --replicas=2 --current-replicas=5")
        .must_fail_with("Expected replicas to be 5, was 1");
    coracle("scale deployment/web --replicas=2 --current-replicas=1 --timeout=60s")
        .must_say("deployment.apps/web scaled");
    assert_eq!(
        node.value("roll", "deployment/web", "{.spec.replicas}"),
        "2"
    );
    coracle("rollout restart deployment/web").must_say("deployment.apps/web restarted");
    coracle("rollout status deployment/web --timeout=60s").must_say("successfully rolled out");
    let (ours, theirs) = (
        coracle("rollout history deployment/web"),
        node.kubectl(&["-n", "roll", "rollout", "history", "deployment/web"]),
    );
    assert_eq!(
        ours.stdout.split_whitespace().collect::<Vec<_>>(),
        theirs.stdout.split_whitespace().collect::<Vec<_>>()
    );
    coracle("rollout pause deployment/web").must_say("deployment.apps/web paused");
    coracle("rollout undo deployment/web")
        .must_fail_with("you cannot rollback a paused deployment");
    coracle("rollout resume deployment/web").must_say("deployment.apps/web resumed");
    coracle("rollout undo deployment/web --to-revision=9")
        .must_fail_with("unable to find specified revision 9 in history");
    coracle("rollout undo deployment/web").must_say("deployment.apps/web rolled back");
    assert!(eventually(|| {
        node.value(
            "roll",
            "deployment/web",
            "{.metadata.annotations.deployment\\.kubernetes\\.io/revision}",
        ) == "3"
    }));
}

fn run_gives_back_output_and_exit_code() {
    let node = namespace("runs");
    let image = format!("--image={IMAGE}");
    let ran = node.coracle(&[
        "-n",
        "runs",
        "run",
        "p",
        &image,
        "--attach",
        "--rm",
        "--restart=Never",
        "--command",
        "--",
        "sh",
        "-c",
        "echo out; exit 7",
    ]);
    assert_eq!(ran.code, Some(7), "{ran:?}");
    assert!(ran.stdout.contains("out\n"), "{ran:?}");
    assert!(ran.stdout.contains("pod \"p\" deleted"), "{ran:?}");
}
