"""The dynamic client: kinds found by discovery, objects as they are."""

import os
import tempfile

from helper import NAMESPACE, client, deployment, until

from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError, ResourceNotFoundError

api = client.ApiClient()
cache = os.path.join(tempfile.mkdtemp(), "discovery.json")
dynamic = DynamicClient(api, cache_file=cache)

assert dynamic.version["kubernetes"]["major"] == "1"
maps = dynamic.resources.get(api_version="v1", kind="ConfigMap")
assert (maps.name, maps.namespaced) == ("configmaps", True)
assert dynamic.resources.get(api_version="v1", kind="Node").namespaced is False
deployments = dynamic.resources.get(api_version="apps/v1", kind="Deployment")
assert "scale" in deployments.subresources
groups = {resource.group for resource in dynamic.resources.search()}
assert {"", "apps", "batch", "autoscaling", "policy", "storage.k8s.io"} <= groups
try:
    dynamic.resources.get(api_version="example.com/v1", kind="Nothing")
except ResourceNotFoundError:
    pass
else:
    raise AssertionError("found")

body = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "one", "labels": {"a": "b"}},
    "data": {"x": "1"},
}
made = maps.create(body=body, namespace=NAMESPACE)
assert made.data.x == "1" and made.to_dict()["metadata"]["labels"] == {"a": "b"}
try:
    maps.create(body=body, namespace=NAMESPACE)
except ConflictError as error:
    assert error.status == 409
else:
    raise AssertionError("made twice")
patched = maps.patch(
    name="one",
    namespace=NAMESPACE,
    body={"metadata": {"labels": {"a": None}}, "data": {"y": "2"}},
    content_type="application/merge-patch+json",
)
assert patched.metadata.labels is None and patched.data.to_dict() == {"x": "1", "y": "2"}
body["metadata"]["resourceVersion"] = patched.metadata.resourceVersion
assert maps.replace(body=body, namespace=NAMESPACE).data.to_dict() == {"x": "1"}
assert [one.metadata.name for one in maps.get(namespace=NAMESPACE, label_selector="a=b").items] == ["one"]

# Watch until the deployment is there as wanted.
whole = api.sanitize_for_serialization(deployment("web", 2))
whole |= {"apiVersion": "apps/v1", "kind": "Deployment"}
deployments.create(body=whole, namespace=NAMESPACE)
for event in deployments.watch(namespace=NAMESPACE, field_selector="metadata.name=web", timeout=60):
    if (event["object"].status.availableReplicas or 0) == 2:
        break
else:
    raise AssertionError("never available")
assert deployments.scale.get(name="web", namespace=NAMESPACE).spec.replicas == 2
deployments.scale.patch(
    name="web",
    namespace=NAMESPACE,
    body={"spec": {"replicas": 0}},
    content_type="application/merge-patch+json",
)
until(
    lambda: not deployments.get(name="web", namespace=NAMESPACE).status.replicas,
    "scaled down",
)
deployments.delete(name="web", namespace=NAMESPACE, body={"propagationPolicy": "Foreground"})
maps.delete(name="one", namespace=NAMESPACE)
try:
    maps.get(name="one", namespace=NAMESPACE)
except NotFoundError as error:
    assert error.status == 404
else:
    raise AssertionError("there")
