"""What the scripts share: the cluster and namespace they work in, and patience."""

import os
import time
from contextlib import contextmanager

from kubernetes import client, config

NAMESPACE = os.environ["NAMESPACE"]
IMAGE = os.environ["IMAGE"]
PATIENCE_SECONDS = 60

config.load_kube_config()


def until(condition, what):
    """Polls until `condition` gives something true, and returns that."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        got = condition()
        if got:
            return got
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


@contextmanager
def refused(status, reason=None, saying=""):
    """The block must be refused so."""
    import json

    try:
        yield
    except client.ApiException as error:
        assert error.status == status, f"{error.status}: {error.body}"
        body = json.loads(error.body)
        assert body["kind"] == "Status" and body["code"] == status, body
        assert reason is None or body["reason"] == reason, body
        assert saying in body["message"], body
    else:
        raise AssertionError(f"not refused with {status}")


def gone(read, name):
    """Whether `read` finds no such object in the namespace."""
    try:
        read(name, NAMESPACE)
    except client.ApiException as error:
        if error.status == 404:
            return True
        raise
    return False


def pod_spec(command, **more):
    """Of one container of the image, quick to end."""
    container = client.V1Container(name="main", image=IMAGE, command=command)
    return client.V1PodSpec(
        containers=[container], termination_grace_period_seconds=1, **more
    )


def deployment(name, replicas, command=("sleep", "3600")):
    """A Deployment of such pods."""
    labels = {"app": name}
    return client.V1Deployment(
        metadata=client.V1ObjectMeta(name=name, labels=labels),
        spec=client.V1DeploymentSpec(
            replicas=replicas,
            selector=client.V1LabelSelector(match_labels=labels),
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels=labels), spec=pod_spec(list(command))
            ),
        ),
    )
