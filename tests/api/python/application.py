"""A whole application from its file: `utils.create_from_yaml`, the same one that kubectl applies in another trial."""

from pathlib import Path

from helper import NAMESPACE, client, until

from kubernetes import utils

FILE = Path(__file__).parent.parent / "applications" / "shop.yaml"
api = client.ApiClient()
apps = client.AppsV1Api(api)
core = client.CoreV1Api(api)

made = utils.create_from_yaml(api, str(FILE), namespace=NAMESPACE)
assert len(made) == 15, [one[0].kind for one in made]
try:
    utils.create_from_yaml(api, str(FILE), namespace=NAMESPACE)
except utils.FailToCreateError as error:
    assert {one.status for one in error.api_exceptions} == {409}
else:
    raise AssertionError("made twice")


def ready():
    database = apps.read_namespaced_stateful_set("database", NAMESPACE).status
    tiers = [apps.read_namespaced_deployment(name, NAMESPACE).status for name in ("backend", "front")]
    return (database.ready_replicas, *(tier.ready_replicas for tier in tiers)) == (1, 2, 2)


until(ready, "all three tiers are ready")
slices = client.DiscoveryV1Api(api)


def addresses(service):
    listed = slices.list_namespaced_endpoint_slice(
        NAMESPACE, label_selector=f"kubernetes.io/service-name={service}"
    )
    points = [point for one in listed.items for point in one.endpoints or []]
    return [point.addresses[0] for point in points if point.conditions.ready]


until(lambda: [len(addresses(tier)) for tier in ("database", "backend", "front")] == [1, 2, 2], "endpoints")
ingress = client.NetworkingV1Api(api).read_namespaced_ingress("shop", NAMESPACE)
assert ingress.spec.rules[0].host == "shop.example.com"
scaler = client.AutoscalingV2Api(api).read_namespaced_horizontal_pod_autoscaler("front", NAMESPACE)
assert scaler.spec.metrics[0].resource.target.average_utilization == 80

utils.delete_from_yaml(api, str(FILE), namespace=NAMESPACE)
until(lambda: not core.list_namespaced_pod(NAMESPACE).items, "no pods")
until(lambda: not apps.list_namespaced_replica_set(NAMESPACE).items, "no sets")
until(lambda: not slices.list_namespaced_endpoint_slice(NAMESPACE).items, "no slices")
core.delete_collection_namespaced_persistent_volume_claim(NAMESPACE)
until(lambda: not core.list_namespaced_persistent_volume_claim(NAMESPACE).items, "no claims")
