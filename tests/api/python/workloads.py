"""Workloads by their models: roll out, scale, evict, delete with each propagation."""

from helper import IMAGE, NAMESPACE, client, deployment, gone, pod_spec, refused, until

apps = client.AppsV1Api()
batch = client.BatchV1Api()
core = client.CoreV1Api()
policy = client.PolicyV1Api()


def pods(selector):
    listed = core.list_namespaced_pod(NAMESPACE, label_selector=selector).items
    return [pod for pod in listed if pod.metadata.deletion_timestamp is None]


def available(name, replicas):
    def condition():
        read = apps.read_namespaced_deployment_status(name, NAMESPACE)
        status = read.status
        return (
            status.observed_generation == read.metadata.generation
            and status.updated_replicas == replicas
            and status.available_replicas == replicas
            and status.replicas == replicas
        )

    until(condition, f"{name} has {replicas}")


# Roll out, and what the scale subresource says and does.
apps.create_namespaced_deployment(NAMESPACE, deployment("web", 2))
available("web", 2)
scale = apps.read_namespaced_deployment_scale("web", NAMESPACE)
assert (scale.spec.replicas, scale.status.selector) == (2, "app=web")
scale.spec.replicas = 3
apps.replace_namespaced_deployment_scale("web", NAMESPACE, scale)
available("web", 3)
apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 1}})
available("web", 1)
template = {"metadata": {"annotations": {"why": "new"}}, "spec": {"containers": [{"name": "main", "env": [{"name": "A", "value": "b"}]}]}}
apps.patch_namespaced_deployment("web", NAMESPACE, {"spec": {"template": template}})
available("web", 1)
container = apps.read_namespaced_deployment("web", NAMESPACE).spec.template.spec.containers[0]
assert (container.image, container.env[0].value) == (IMAGE, "b")
sets = apps.list_namespaced_replica_set(NAMESPACE, label_selector="app=web").items
assert sorted(one.spec.replicas for one in sets) == [0, 1]

# An eviction, with and without a budget that has something against it.
budget = client.V1PodDisruptionBudget(
    metadata=client.V1ObjectMeta(name="web"),
    spec=client.V1PodDisruptionBudgetSpec(
        min_available=1, selector=client.V1LabelSelector(match_labels={"app": "web"})
    ),
)
policy.create_namespaced_pod_disruption_budget(NAMESPACE, budget)
until(
    lambda: policy.read_namespaced_pod_disruption_budget("web", NAMESPACE).status.expected_pods == 1,
    "the budget counts",
)
(pod,) = until(lambda: pods("app=web"), "a pod")
eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name=pod.metadata.name))
with refused(429, "TooManyRequests", "violate the pod's disruption budget"):
    core.create_namespaced_pod_eviction(pod.metadata.name, NAMESPACE, eviction)
policy.delete_namespaced_pod_disruption_budget("web", NAMESPACE)


def evicted():
    try:
        core.create_namespaced_pod_eviction(pod.metadata.name, NAMESPACE, eviction)
    except client.ApiException as error:
        assert error.status == 429, error
        return False
    return True


until(evicted, "evicted")
until(lambda: gone(core.read_namespaced_pod, pod.metadata.name), "the evicted pod is gone")
available("web", 1)

# Orphaned sets stay and are adopted; foreground waits for dependents; background does not.
apps.delete_namespaced_deployment("web", NAMESPACE, propagation_policy="Orphan")
until(lambda: gone(apps.read_namespaced_deployment, "web"), "the deployment is gone")
orphans = apps.list_namespaced_replica_set(NAMESPACE, label_selector="app=web").items
assert len(orphans) == 2 and not any(one.metadata.owner_references for one in orphans)
assert len(pods("app=web")) == 1
uid = apps.create_namespaced_deployment(NAMESPACE, deployment("web", 1)).metadata.uid


def owners():
    listed = apps.list_namespaced_replica_set(NAMESPACE, label_selector="app=web").items
    return {one.metadata.owner_references[0].uid if one.metadata.owner_references else None for one in listed}


until(lambda: owners() == {uid}, "adopted")
available("web", 1)
apps.delete_namespaced_deployment("web", NAMESPACE, propagation_policy="Foreground")
until(lambda: gone(apps.read_namespaced_deployment, "web"), "the deployment is gone")
assert not apps.list_namespaced_replica_set(NAMESPACE, label_selector="app=web").items
assert not core.list_namespaced_pod(NAMESPACE, label_selector="app=web").items
apps.create_namespaced_deployment(NAMESPACE, deployment("brief", 1))
available("brief", 1)
apps.delete_namespaced_deployment("brief", NAMESPACE, propagation_policy="Background")
until(lambda: not core.list_namespaced_pod(NAMESPACE, label_selector="app=brief").items, "no pods")

# A Job to its end, and its pods with it.
job = client.V1Job(
    metadata=client.V1ObjectMeta(name="sums"),
    spec=client.V1JobSpec(
        completions=3,
        parallelism=3,
        completion_mode="Indexed",
        template=client.V1PodTemplateSpec(
            spec=pod_spec(["sh", "-c", "echo $JOB_COMPLETION_INDEX"], restart_policy="Never")
        ),
    ),
)
batch.create_namespaced_job(NAMESPACE, job)
until(lambda: batch.read_namespaced_job_status("sums", NAMESPACE).status.completion_time, "the job is complete")
done = batch.read_namespaced_job("sums", NAMESPACE).status
assert (done.succeeded, done.completed_indexes) == (3, "0-2")
said = {core.read_namespaced_pod_log(pod.metadata.name, NAMESPACE) for pod in pods("job-name=sums")}
assert said == {"0\n", "1\n", "2\n"}, said
batch.delete_namespaced_job("sums", NAMESPACE, propagation_policy="Background")
until(lambda: not core.list_namespaced_pod(NAMESPACE, label_selector="job-name=sums").items, "no pods")

# What does not fit is told with the path of the field.
wrong = deployment("wrong", -1)
with refused(422, "Invalid", "spec.replicas"):
    apps.create_namespaced_deployment(NAMESPACE, wrong)

# Status belongs to its controller: a writer of the object does not change it.
apps.create_namespaced_deployment(NAMESPACE, deployment("still", 0))
until(
    lambda: apps.read_namespaced_deployment("still", NAMESPACE).status.observed_generation == 1, "observed"
)
assert apps.patch_namespaced_deployment("still", NAMESPACE, {"status": {"replicas": 9}}).status.replicas is None
