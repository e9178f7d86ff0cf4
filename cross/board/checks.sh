#!/bin/sh
# Runs on the emulated board (see boot.sh): a node's life with real containers under cgroup v2, from a bare host and back.
# Says each check; ends with 1 at the first that does not hold.
failed() {
  echo "FAIL $*"
  echo "--- the node's log, its end"; tail -n 40 /tmp/up.log 2>/dev/null
  exit 1
}
passed() { echo "PASS $(cut -d. -f1 /proc/uptime) s: $*"; }
step() { echo "== $(cut -d. -f1 /proc/uptime) s: $*"; }

# until_true SECONDS COMMAND…: a condition, asked once a second; the board is slow, so the limits are generous.
until_true() {
  left=$1; shift
  while ! "$@" > /dev/null 2>&1; do
    left=$((left - 1)); [ "$left" -gt 0 ] || return 1
    sleep 1
  done
}

# What Coracle may leave on a host, in an order that does not change.
host() {
  sort /proc/mounts
  find /sys/fs/cgroup -type d | sort
  ls /sys/class/net
  ip route
  ip -o addr | sed 's/^[0-9]*: //'
  nft list ruleset
  cat /proc/sys/net/ipv4/ip_forward
  ls -d /var/lib/* /run/* /tmp/* 2>/dev/null | grep -v -e '^/tmp/host\.' -e '^/tmp/up\.log$' -e '^/tmp/limited\.yaml$'
  pidof coracle
  return 0
}
same() {
  host > /tmp/host.after
  diff -U 0 /tmp/host.before /tmp/host.after || failed "$* left something on the host ('+' lines)"
  passed "$*: the host is as before"
}

step "doctor"
coracle doctor
coracle doctor --fix || failed "doctor: this board cannot be a node"
grep -q '^cgroup2 /sys/fs/cgroup ' /proc/mounts && ! grep -q '^[^ ]* [^ ]* cgroup ' /proc/mounts || failed "this is not pure cgroup v2"
passed "doctor finds nothing in the way, under pure cgroup v2"

# Loaded modules and the root's cgroup.subtree_control are not compared: others may have come to need them meanwhile.
# Forwarding is off again, so that giving it back is seen.
echo 0 > /proc/sys/net/ipv4/ip_forward
host > /tmp/host.before

step "demo"
coracle demo --once > /tmp/demo.log 2>&1 || { cat /tmp/demo.log; failed "demo --once failed, see above"; }
cat /tmp/demo.log
grep -q ' requests during the update, 0 failed' /tmp/demo.log || failed "demo --once does not tell of an update without a failed request"
rm /tmp/demo.log
passed "demo --once: every kind of workload, a rolling update, data kept, a Job, no failed request"
same "demo"

step "up"
coracle up > /tmp/up.log 2>&1 &
until_true 60 grep -q 'the node is up' /tmp/up.log || failed "the node is not up"
export KUBECONFIG=$(sed -n 's/.*export KUBECONFIG=//p' /tmp/up.log)
ready() { coracle get nodes | grep -qw Ready; }
until_true 60 ready || failed "the node is not Ready: $(coracle get nodes 2>&1)"
coracle get nodes
passed "the node is Ready"

step "a pod with limits"
cat > /tmp/limited.yaml <<'POD'
apiVersion: v1
kind: Pod
metadata:
  name: limited
spec:
  containers:
  - name: hello
    image: coracle.local/hello
    imagePullPolicy: Never
    resources:
      limits: {cpu: 500m, memory: 64Mi}
POD
coracle apply -f - < /tmp/limited.yaml || failed "apply ended with $?"
running() { coracle get pod limited | grep -qw Running; }
until_true 60 running || failed "the pod does not run: $(coracle get pod limited 2>&1; coracle describe pod limited)"
coracle get pod limited -o wide
passed "the pod runs"

container=$(grep -lx 67108864 $(find /sys/fs/cgroup -name memory.max) | head -n 1)
[ -n "$container" ] || failed "no cgroup has memory.max 64 Mi: $(find /sys/fs/cgroup -name memory.max -exec grep -H . {} +)"
container=${container%/memory.max}
cgroup() { echo "$1 = $(cat "$container/$1")"; }
echo "$container:"
for file in memory.max memory.current cpu.max cpu.weight pids.max cgroup.procs; do cgroup "$file"; done
[ "$(cgroup cpu.max)" = "cpu.max = 50000 100000" ] || failed "$(cgroup cpu.max), not 500m"
[ "$(wc -l < "$container/cgroup.procs")" = 1 ] || failed "not exactly the container's process is in its cgroup"
passed "memory.max and cpu.max are the pod's limits"

logged=$(coracle logs limited) || failed "logs ended with $?"
[ "$logged" = 'hello listens on port 8080' ] || failed "logs: $logged"
passed "logs: $logged"
said=$(coracle exec limited -- /coracle hello --say 'from inside') || failed "exec ended with $?: $said"
[ "$said" = 'from inside' ] || failed "exec said: $said"
passed "exec: $said"
address=$(coracle get pod limited -o wide | grep -o '10\.42\.0\.[0-9]*')
page=$(wget -q -O - "http://$address:8080/limit") || failed "the pod's page cannot be fetched from the node"
echo "$page" | grep -q 'Hello from limited' || failed "the page is: $page"
passed "the pod's page: $(echo "$page" | head -n 1)"
for process in $(pidof coracle); do
  echo "$(tr '\0' ' ' < "/proc/$process/cmdline" | cut -c 1-60): $(grep -E 'VmRSS|RssAnon' "/proc/$process/status" | tr -s '\t \n' ' ')"
done

step "delete"
coracle delete pod limited || failed "delete ended with $?"
gone() { [ ! -d "$container" ]; }
until_true 60 gone || failed "the pod's cgroup is still there"
passed "the pod and its cgroup are gone"

step "reset, with a pod still running"
sed 's/name: limited/name: left/' /tmp/limited.yaml | coracle apply -f - || failed "apply ended with $?"
left_running() { coracle get pod left | grep -qw Running; }
until_true 60 left_running || failed "the second pod does not run: $(coracle describe pod left)"
coracle reset --force || failed "reset ended with $?"
same "reset"
