"""Who may what: versions, discovery, tokens of accounts, roles, reviews."""

from helper import NAMESPACE, client, refused, until

core = client.CoreV1Api()
rbac = client.RbacAuthorizationV1Api()

assert client.VersionApi().get_code().git_version.startswith("v1.")
assert "v1" in client.CoreApi().get_api_versions().versions
assert "apps" in [group.name for group in client.ApisApi().get_api_versions().groups]

# An account's token is somebody, who may nothing yet.
account = client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="reader"))
core.create_namespaced_service_account(NAMESPACE, account)
request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600))
token = core.create_namespaced_service_account_token("reader", NAMESPACE, request).status.token

ours = client.Configuration.get_default_copy()
theirs = client.Configuration()
theirs.host, theirs.ssl_ca_cert = ours.host, ours.ssl_ca_cert
theirs.api_key = {"authorization": f"Bearer {token}"}
reader = client.CoreV1Api(client.ApiClient(theirs))
with refused(403, "Forbidden", f"system:serviceaccount:{NAMESPACE}:reader"):
    reader.list_namespaced_config_map(NAMESPACE)

role = client.V1Role(
    metadata=client.V1ObjectMeta(name="reads"),
    rules=[client.V1PolicyRule(api_groups=[""], resources=["configmaps"], verbs=["get", "list"])],
)
rbac.create_namespaced_role(NAMESPACE, role)
binding = client.V1RoleBinding(
    metadata=client.V1ObjectMeta(name="reads"),
    role_ref=client.V1RoleRef(api_group="rbac.authorization.k8s.io", kind="Role", name="reads"),
    subjects=[client.RbacV1Subject(kind="ServiceAccount", name="reader", namespace=NAMESPACE)],
)
rbac.create_namespaced_role_binding(NAMESPACE, binding)


def listed():
    try:
        return reader.list_namespaced_config_map(NAMESPACE).items
    except client.ApiException as error:
        assert error.status == 403, error
        return None


until(listed, "the role counts")
with refused(403, "Forbidden"):
    reader.delete_namespaced_config_map("kube-root-ca.crt", NAMESPACE)
review = client.V1SelfSubjectAccessReview(
    spec=client.V1SelfSubjectAccessReviewSpec(
        resource_attributes=client.V1ResourceAttributes(namespace=NAMESPACE, verb="list", resource="configmaps")
    )
)
mine = client.AuthorizationV1Api(reader.api_client).create_self_subject_access_review(review)
assert mine.status.allowed is True
theirs.api_key = {"authorization": "Bearer not.a.token"}
with refused(401, "Unauthorized"):
    client.CoreV1Api(client.ApiClient(theirs)).list_namespaced_config_map(NAMESPACE)

# The account gone, its token is nobody's.
core.delete_namespaced_service_account("reader", NAMESPACE)


def unknown():
    try:
        reader.list_namespaced_config_map(NAMESPACE)
    except client.ApiException as error:
        return error.status == 401
    return False


until(unknown, "the token is refused")
