"""Into a running pod: exec with each channel, exit codes, logs as they come, and a forwarded port."""

import socket

from helper import NAMESPACE, client, pod_spec, refused, until

from kubernetes import watch
from kubernetes.stream import portforward, stream
from kubernetes.stream.ws_client import ERROR_CHANNEL

core = client.CoreV1Api()
script = "echo one; echo two; httpd -f -p 8080 -h /etc"
pod = client.V1Pod(metadata=client.V1ObjectMeta(name="talks"), spec=pod_spec(["sh", "-c", script]))
core.create_namespaced_pod(NAMESPACE, pod)
until(lambda: core.read_namespaced_pod("talks", NAMESPACE).status.phase == "Running", "running")


def connect(command, **how):
    how = {"stdin": False, "tty": False, **how}
    return stream(
        core.connect_get_namespaced_pod_exec,
        "talks",
        NAMESPACE,
        command=command,
        stdout=True,
        stderr=True,
        **how,
    )


# At once, and by channel.
assert connect(["echo", "ahoy"]) == "ahoy\n"
session = connect(["sh", "-c", "echo out; echo err >&2; exit 3"], _preload_content=False)
session.run_forever(timeout=60)
assert (session.read_stdout(), session.read_stderr(), session.returncode) == ("out\n", "err\n", 3)
session = connect(["sh"], stdin=True, _preload_content=False)
session.write_stdin("echo from $0\n")
assert session.readline_stdout(timeout=60) == "from sh"
session.write_stdin("exit 7\n")
session.run_forever(timeout=60)
assert session.returncode == 7
session.close()
session = connect(["no-such-program"], _preload_content=False)
session.run_forever(timeout=60)
assert '"status":"Failure"' in session.read_channel(ERROR_CHANNEL)

# Logs: all, the last, from a time on, and as they come.
until(lambda: core.read_namespaced_pod_log("talks", NAMESPACE) == "one\ntwo\n", "both lines")
assert core.read_namespaced_pod_log("talks", NAMESPACE, tail_lines=1) == "two\n"
assert core.read_namespaced_pod_log("talks", NAMESPACE, since_seconds=3600, limit_bytes=3) == "one"
stamped = core.read_namespaced_pod_log("talks", NAMESPACE, timestamps=True).splitlines()
assert all(line.split(" ")[0].startswith("20") for line in stamped), stamped
lines = []
follows = watch.Watch()
for line in follows.stream(core.read_namespaced_pod_log, "talks", NAMESPACE):
    lines.append(line)
    if len(lines) == 2:
        follows.stop()
assert lines == ["one", "two"], lines
with refused(400, "BadRequest"):
    core.read_namespaced_pod_log("talks", NAMESPACE, container="nobody")

# A port of the pod as a socket here.
forward = portforward(core.connect_get_namespaced_pod_portforward, "talks", NAMESPACE, ports="8080")
connection = forward.socket(8080)
connection.setblocking(True)
connection.sendall(b"GET /group HTTP/1.0\r\n\r\n")
page = b""
while True:
    part = connection.recv(4096)
    if not part:
        break
    page += part
connection.close()
assert b" 200 " in page and b"sailor" in page, page
assert forward.error(8080) is None

# Gone when told, in the time it was given.
core.delete_namespaced_pod("talks", NAMESPACE, grace_period_seconds=0)
until(lambda: not core.list_namespaced_pod(NAMESPACE).items, "gone")
