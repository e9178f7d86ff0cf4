"""Watches: from a list on, with selectors, bookmarks and an end; and from a revision that is none."""

import threading

from helper import NAMESPACE, client

from kubernetes import watch

core = client.CoreV1Api()


def config_map(name, value, kept="yes"):
    meta = client.V1ObjectMeta(name=name, labels={"kept": kept})
    return client.V1ConfigMap(metadata=meta, data={"value": value})


def changes():
    core.create_namespaced_config_map(NAMESPACE, config_map("a", "1"))
    core.patch_namespaced_config_map("a", NAMESPACE, {"data": {"value": "2"}})
    core.create_namespaced_config_map(NAMESPACE, config_map("other", "1", kept="no"))
    # Out of the selector, and in again.
    core.patch_namespaced_config_map("a", NAMESPACE, {"metadata": {"labels": {"kept": "no"}}})
    core.patch_namespaced_config_map("a", NAMESPACE, {"metadata": {"labels": {"kept": "yes"}}})
    core.delete_namespaced_config_map("a", NAMESPACE)


listed = core.list_namespaced_config_map(NAMESPACE, label_selector="kept=yes")
assert listed.items == []
since = listed.metadata.resource_version
writer = threading.Thread(target=changes)
writer.start()
stream = watch.Watch()
seen = []
for event in stream.stream(
    core.list_namespaced_config_map,
    NAMESPACE,
    label_selector="kept=yes",
    resource_version=since,
    timeout_seconds=60,
):
    seen.append((event["type"], event["object"].metadata.name, event["object"].data["value"]))
    if len(seen) == 5:
        stream.stop()
writer.join()
assert seen == [
    ("ADDED", "a", "1"),
    ("MODIFIED", "a", "2"),
    ("DELETED", "a", "2"),
    ("ADDED", "a", "2"),
    ("DELETED", "a", "2"),
], seen

# The same again from the same revision; the server ends it when it was told to.
again = watch.Watch()
seen = [
    (event["type"], event["object"].metadata.name)
    for event in again.stream(
        core.list_namespaced_config_map,
        NAMESPACE,
        field_selector="metadata.name=other",
        resource_version=since,
        timeout_seconds=1,
    )
]
assert seen == [("ADDED", "other")], seen

# Without a revision: first what is there. With bookmarks, a revision to go on from.
kinds = set()
for event in watch.Watch().stream(
    core.list_namespaced_config_map, NAMESPACE, allow_watch_bookmarks=True, timeout_seconds=1
):
    kinds.add(event["type"])
assert "ADDED" in kinds, kinds

# Pods of all namespaces, each an object of its model.
listed = core.list_pod_for_all_namespaces(limit=1)
assert listed.kind == "PodList" and int(listed.metadata.resource_version) >= int(since)

# What is no revision is refused.
try:
    for event in watch.Watch().stream(
        core.list_namespaced_config_map, NAMESPACE, resource_version="x", timeout_seconds=1
    ):
        pass
except client.ApiException as error:
    assert error.status == 400, error
else:
    raise AssertionError("accepted")
