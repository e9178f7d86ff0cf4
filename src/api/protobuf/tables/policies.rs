//! `autoscaling`, `coordination.k8s.io`, `events.k8s.io`, `networking.k8s.io`, `policy`, `scheduling.k8s.io`, and the
//! limits of `core/v1`. What only the server writes (an autoscaler's status) is described as far as clients send it back.

use super::core::{EventSource, ObjectReference};
use super::meta::{Condition, DeleteOptions, LabelSelector, ObjectMeta};
use crate::api::protobuf::schema::messages;

messages! {
    ContainerResourceMetricSource { 1 name = string, 2 target: MetricTarget, 3 container = string }
    CrossVersionObjectReference { 1 kind = string, 2 name = string, 3 apiVersion: string }
    Event {
        1 metadata: ObjectMeta, 2 eventTime: MicroTime, 3 series: EventSeries, 4 reportingController: string,
        5 reportingInstance: string, 6 action: string, 7 reason: string, 8 regarding: ObjectReference,
        9 related: ObjectReference, 10 note: string, 11 type: string, 12 deprecatedSource: EventSource,
        13 deprecatedFirstTimestamp: Time, 14 deprecatedLastTimestamp: Time, 15 deprecatedCount: int32
    }
    EventSeries { 1 count = int32, 2 lastObservedTime: MicroTime }
    Eviction { 1 metadata: ObjectMeta, 2 deleteOptions: DeleteOptions }
    ExternalMetricSource { 1 metric: MetricIdentifier, 2 target: MetricTarget }
    HPAScalingPolicy { 1 type = string, 2 value = int32, 3 periodSeconds = int32 }
    HPAScalingRules {
        1 selectPolicy = string, 2 policies: [HPAScalingPolicy], 3 stabilizationWindowSeconds = int32,
        4 tolerance: Quantity
    }
    HTTPIngressPath { 1 path: string, 2 backend: IngressBackend, 3 pathType = string }
    HTTPIngressRuleValue { 1 paths = [HTTPIngressPath] }
    HorizontalPodAutoscaler { 1 metadata: ObjectMeta, 2 spec: HorizontalPodAutoscalerSpec }
    HorizontalPodAutoscalerBehavior { 1 scaleUp: HPAScalingRules, 2 scaleDown: HPAScalingRules }
    HorizontalPodAutoscalerSpec {
        1 scaleTargetRef: CrossVersionObjectReference, 2 minReplicas = int32, 3 maxReplicas = int32,
        4 metrics: [MetricSpec], 5 behavior: HorizontalPodAutoscalerBehavior
    }
    HorizontalPodAutoscalerV1 { 1 metadata: ObjectMeta, 2 spec: HorizontalPodAutoscalerSpecV1 }
    HorizontalPodAutoscalerSpecV1 {
        1 scaleTargetRef: CrossVersionObjectReference, 2 minReplicas = int32, 3 maxReplicas = int32,
        4 targetCPUUtilizationPercentage = int32
    }
    IPBlock { 1 cidr = string, 2 except: [string] }
    Ingress { 1 metadata: ObjectMeta, 2 spec: IngressSpec, 3 status: IngressStatus }
    IngressBackend { 3 resource: TypedLocalObjectReference, 4 service: IngressServiceBackend }
    IngressClass { 1 metadata: ObjectMeta, 2 spec: IngressClassSpec }
    IngressClassParametersReference {
        1 apiGroup = string, 2 kind = string, 3 name = string, 4 scope = string, 5 namespace = string
    }
    IngressClassSpec { 1 controller: string, 2 parameters: IngressClassParametersReference }
    IngressLoadBalancerIngress { 1 ip: string, 2 hostname: string, 4 ports: [IngressPortStatus] }
    IngressLoadBalancerStatus { 1 ingress: [IngressLoadBalancerIngress] }
    IngressPortStatus { 1 port = int32, 2 protocol = string, 3 error = string }
    IngressRule { 1 host: string, 2 ingressRuleValue: (IngressRuleValue) }
    IngressRuleValue { 1 http: HTTPIngressRuleValue }
    IngressServiceBackend { 1 name = string, 2 port: ServiceBackendPort }
    IngressSpec {
        1 defaultBackend: IngressBackend, 2 tls: [IngressTLS], 3 rules: [IngressRule], 4 ingressClassName = string
    }
    IngressStatus { 1 loadBalancer: IngressLoadBalancerStatus }
    IngressTLS { 1 hosts: [string], 2 secretName: string }
    Lease { 1 metadata: ObjectMeta, 2 spec: LeaseSpec }
    LeaseSpec {
        1 holderIdentity = string, 2 leaseDurationSeconds = int32, 3 acquireTime: MicroTime, 4 renewTime: MicroTime,
        5 leaseTransitions = int32, 6 strategy = string, 7 preferredHolder = string
    }
    LimitRange { 1 metadata: ObjectMeta, 2 spec: LimitRangeSpec }
    LimitRangeItem {
        1 type = string, 2 max: {Quantity}, 3 min: {Quantity}, 4 default: {Quantity}, 5 defaultRequest: {Quantity},
        6 maxLimitRequestRatio: {Quantity}
    }
    LimitRangeSpec { 1 limits = [LimitRangeItem] }
    MetricIdentifier { 1 name = string, 2 selector: LabelSelector }
    MetricSpec {
        1 type = string, 2 object: ObjectMetricSource, 3 pods: PodsMetricSource, 4 resource: ResourceMetricSource,
        5 external: ExternalMetricSource, 7 containerResource: ContainerResourceMetricSource
    }
    MetricTarget { 1 type = string, 2 value: Quantity, 3 averageValue: Quantity, 4 averageUtilization = int32 }
    NetworkPolicy { 1 metadata: ObjectMeta, 2 spec: NetworkPolicySpec }
    NetworkPolicyEgressRule { 1 ports: [NetworkPolicyPort], 2 to: [NetworkPolicyPeer] }
    NetworkPolicyIngressRule { 1 ports: [NetworkPolicyPort], 2 from: [NetworkPolicyPeer] }
    NetworkPolicyPeer { 1 podSelector = LabelSelector, 2 namespaceSelector = LabelSelector, 3 ipBlock: IPBlock }
    NetworkPolicyPort { 1 protocol = string, 2 port: IntOrString, 3 endPort = int32 }
    NetworkPolicySpec {
        1 podSelector = LabelSelector, 2 ingress: [NetworkPolicyIngressRule], 3 egress: [NetworkPolicyEgressRule],
        4 policyTypes: [string]
    }
    ObjectMetricSource { 1 describedObject: CrossVersionObjectReference, 2 target: MetricTarget, 3 metric: MetricIdentifier }
    PodDisruptionBudget { 1 metadata: ObjectMeta, 2 spec: PodDisruptionBudgetSpec, 3 status: PodDisruptionBudgetStatus }
    PodDisruptionBudgetSpec {
        1 minAvailable: IntOrString, 2 selector: LabelSelector, 3 maxUnavailable: IntOrString,
        4 unhealthyPodEvictionPolicy = string
    }
    PodDisruptionBudgetStatus {
        1 observedGeneration: int64, 2 disruptedPods: {Time}, 3 disruptionsAllowed = int32, 4 currentHealthy = int32,
        5 desiredHealthy = int32, 6 expectedPods = int32, 7 conditions: [Condition]
    }
    PodsMetricSource { 1 metric: MetricIdentifier, 2 target: MetricTarget }
    PriorityClass {
        1 metadata: ObjectMeta, 2 value = int32, 3 globalDefault: bool, 4 description: string,
        5 preemptionPolicy = string
    }
    ResourceMetricSource { 1 name = string, 2 target: MetricTarget }
    ResourceQuota { 1 metadata: ObjectMeta, 2 spec: ResourceQuotaSpec, 3 status: ResourceQuotaStatus }
    ResourceQuotaSpec { 1 hard: {Quantity}, 2 scopes: [string], 3 scopeSelector: ScopeSelector }
    ResourceQuotaStatus { 1 hard: {Quantity}, 2 used: {Quantity} }
    ScopeSelector { 1 matchExpressions: [ScopedResourceSelectorRequirement] }
    ScopedResourceSelectorRequirement { 1 scopeName = string, 2 operator = string, 3 values: [string] }
    ServiceBackendPort { 1 name: string, 2 number: int32 }
    TypedLocalObjectReference { 1 apiGroup = string, 2 kind = string, 3 name = string }
}
