"""Objects from create to delete: patches of each kind, replace, lists, selectors, pages, dry runs, preconditions."""

from helper import NAMESPACE, client, gone, refused, until

core = client.CoreV1Api()
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON = "application/json-patch+json"


def config_map(name, labels=None, **data):
    return client.V1ConfigMap(
        metadata=client.V1ObjectMeta(name=name, labels=labels), data=data
    )


# Create, and what stands in the way of it.
made = core.create_namespaced_config_map(NAMESPACE, config_map("one", {"a": "b"}, x="1"))
assert made.metadata.uid and made.metadata.creation_timestamp.tzinfo is not None
with refused(409, "AlreadyExists"):
    core.create_namespaced_config_map(NAMESPACE, config_map("one"))
with refused(422, "Invalid", "metadata.name"):
    core.create_namespaced_config_map(NAMESPACE, config_map("Not_a_name"))
with refused(404, "NotFound"):
    core.read_namespaced_config_map("none", NAMESPACE)
generated = client.V1ConfigMap(metadata=client.V1ObjectMeta(generate_name="made-"))
assert core.create_namespaced_config_map(NAMESPACE, generated).metadata.name.startswith("made-")

# Replace only what was seen.
made.data["x"] = "2"
replaced = core.replace_namespaced_config_map("one", NAMESPACE, made)
assert replaced.data == {"x": "2"}
with refused(409, "Conflict"):
    core.replace_namespaced_config_map("one", NAMESPACE, made)

# Patches: merge, strategic merge, JSON.
patch = core.patch_namespaced_config_map
assert patch("one", NAMESPACE, {"data": {"x": None, "y": "3"}}, _content_type=MERGE).data == {"y": "3"}
assert patch("one", NAMESPACE, {"metadata": {"labels": {"c": "d"}}}, _content_type=STRATEGIC).metadata.labels == {
    "a": "b",
    "c": "d",
}
steps = [
    {"op": "test", "path": "/data/y", "value": "3"},
    {"op": "replace", "path": "/data/y", "value": "4"},
    {"op": "remove", "path": "/metadata/labels/c"},
]
patched = patch("one", NAMESPACE, steps)
assert patched.data == {"y": "4"} and patched.metadata.labels == {"a": "b"}
with refused(422, "Invalid"):
    patch("one", NAMESPACE, steps, _content_type=JSON)
assert patch("one", NAMESPACE, {"data": {"z": "5"}}).data == {"y": "4", "z": "5"}

# Strategic merge knows what names a list's items.
service = client.V1Service(
    metadata=client.V1ObjectMeta(name="web"),
    spec=client.V1ServiceSpec(
        selector={"app": "web"},
        ports=[client.V1ServicePort(name="a", port=80), client.V1ServicePort(name="b", port=81)],
    ),
)
core.create_namespaced_service(NAMESPACE, service)
changed = core.patch_namespaced_service(
    "web", NAMESPACE, {"spec": {"ports": [{"port": 81, "targetPort": "http"}]}}, _content_type=STRATEGIC
)
assert [(port.name, port.port, port.target_port) for port in changed.spec.ports] == [
    ("a", 80, 80),
    ("b", 81, "http"),
], changed.spec.ports
core.delete_namespaced_service("web", NAMESPACE)

# A dry run says what would be, and does nothing.
dry = core.create_namespaced_config_map(NAMESPACE, config_map("dry"), dry_run="All")
assert dry.metadata.uid
assert gone(core.read_namespaced_config_map, "dry")
assert patch("one", NAMESPACE, {"data": {"y": "dry"}}, dry_run="All").data["y"] == "dry"
core.delete_namespaced_config_map("one", NAMESPACE, dry_run="All")
assert core.read_namespaced_config_map("one", NAMESPACE).data["y"] == "4"

# Lists: selectors of labels and fields, and pages.
for number in range(7):
    labels = {"parity": "even" if number % 2 == 0 else "odd", "set": "seven"}
    core.create_namespaced_config_map(NAMESPACE, config_map(f"n{number}", labels))


def names(**selectors):
    listed = core.list_namespaced_config_map(NAMESPACE, **selectors)
    return [item.metadata.name for item in listed.items]


assert names(label_selector="parity=even") == ["n0", "n2", "n4", "n6"]
assert names(label_selector="set,parity!=even") == ["n1", "n3", "n5"]
assert names(label_selector="parity in (odd), set notin (eight)") == ["n1", "n3", "n5"]
assert names(label_selector="!parity,a") == ["one"]
assert names(field_selector="metadata.name=n3") == ["n3"]
with refused(400, "BadRequest"):
    names(field_selector="data.x=1")
seen, token, pages = [], None, 0
while True:
    page = core.list_namespaced_config_map(NAMESPACE, label_selector="set", limit=3, _continue=token)
    seen += [item.metadata.name for item in page.items]
    token, pages = page.metadata._continue, pages + 1
    if not token:
        break
assert (seen, pages) == ([f"n{number}" for number in range(7)], 3)

# Delete: only this one, only as it was, all that match.
uid = core.read_namespaced_config_map("one", NAMESPACE).metadata.uid
other = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="other"))
with refused(409, "Conflict"):
    core.delete_namespaced_config_map("one", NAMESPACE, body=other)
this = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=uid))
assert core.delete_namespaced_config_map("one", NAMESPACE, body=this).status == "Success"
assert gone(core.read_namespaced_config_map, "one")
core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="parity=odd")
assert names(label_selector="set") == ["n0", "n2", "n4", "n6"]

# What holds an object back is waited for.
held = config_map("held")
held.metadata.finalizers = ["example.com/held"]
core.create_namespaced_config_map(NAMESPACE, held)
core.delete_namespaced_config_map("held", NAMESPACE)
assert core.read_namespaced_config_map("held", NAMESPACE).metadata.deletion_timestamp
patch("held", NAMESPACE, {"metadata": {"finalizers": None}}, _content_type=MERGE)
assert gone(core.read_namespaced_config_map, "held")

# Bytes of a Secret.
secret = client.V1Secret(metadata=client.V1ObjectMeta(name="key"), string_data={"k": "ahoy"})
assert core.create_namespaced_secret(NAMESPACE, secret).data == {"k": "YWhveQ=="}

# Namespaces go with all that is in them.
space = client.V1Namespace(metadata=client.V1ObjectMeta(name=f"{NAMESPACE}-brief"))
core.create_namespace(space)
core.create_namespaced_config_map(space.metadata.name, config_map("inside"))
core.delete_namespace(space.metadata.name)
until(
    lambda: space.metadata.name not in [item.metadata.name for item in core.list_namespace().items],
    "the namespace is gone",
)
