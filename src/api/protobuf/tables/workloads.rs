//! `apps/v1`, `batch/v1`, the `Scale` of `autoscaling/v1`, and the kinds of `core/v1` with a pod template.

use super::core::ObjectReference;
use super::meta::{LabelSelector, ObjectMeta};
use super::pod::PodSpec;
use super::storage::PersistentVolumeClaim;
use crate::api::protobuf::schema::messages;

messages! {
    // Of everything but Deployments and Jobs.
    Condition {
        1 type = string, 2 status = string, 3 lastTransitionTime: Time, 4 reason: string, 5 message: string
    }
    // Its data is JSON in a message of its own, as managed fields are.
    ControllerRevision { 1 metadata: ObjectMeta, 2 data: FieldsV1, 3 revision = int64 }
    CronJob { 1 metadata: ObjectMeta, 2 spec: CronJobSpec, 3 status: CronJobStatus }
    CronJobSpec {
        1 schedule = string, 2 startingDeadlineSeconds = int64, 3 concurrencyPolicy: string, 4 suspend = bool,
        5 jobTemplate: JobTemplateSpec, 6 successfulJobsHistoryLimit = int32, 7 failedJobsHistoryLimit = int32,
        8 timeZone = string
    }
    CronJobStatus { 1 active: [ObjectReference], 4 lastScheduleTime: Time, 5 lastSuccessfulTime: Time }
    DaemonSet { 1 metadata: ObjectMeta, 2 spec: DaemonSetSpec, 3 status: DaemonSetStatus }
    DaemonSetSpec {
        1 selector = LabelSelector, 2 template: PodTemplateSpec, 3 updateStrategy: UpdateStrategy,
        4 minReadySeconds: int32, 6 revisionHistoryLimit = int32
    }
    DaemonSetStatus {
        1 currentNumberScheduled = int32, 2 numberMisscheduled = int32, 3 desiredNumberScheduled = int32,
        4 numberReady = int32, 5 observedGeneration: int64, 6 updatedNumberScheduled: int32,
        7 numberAvailable: int32, 8 numberUnavailable: int32, 9 collisionCount = int32, 10 conditions: [Condition]
    }
    Deployment { 1 metadata: ObjectMeta, 2 spec: DeploymentSpec, 3 status: DeploymentStatus }
    DeploymentCondition {
        1 type = string, 2 status = string, 4 reason: string, 5 message: string, 6 lastUpdateTime: Time,
        7 lastTransitionTime: Time
    }
    DeploymentSpec {
        1 replicas = int32, 2 selector = LabelSelector, 3 template: PodTemplateSpec, 4 strategy: UpdateStrategy,
        5 minReadySeconds: int32, 6 revisionHistoryLimit = int32, 7 paused: bool, 9 progressDeadlineSeconds = int32
    }
    DeploymentStatus {
        1 observedGeneration: int64, 2 replicas: int32, 3 updatedReplicas: int32, 4 availableReplicas: int32,
        5 unavailableReplicas: int32, 6 conditions: [DeploymentCondition], 7 readyReplicas: int32,
        8 collisionCount = int32, 9 terminatingReplicas = int32
    }
    Job { 1 metadata: ObjectMeta, 2 spec: JobSpec, 3 status: JobStatus }
    JobCondition {
        1 type = string, 2 status = string, 3 lastProbeTime: Time, 4 lastTransitionTime: Time, 5 reason: string,
        6 message: string
    }
    JobSpec {
        1 parallelism = int32, 2 completions = int32, 3 activeDeadlineSeconds = int64, 4 selector = LabelSelector,
        5 manualSelector = bool, 6 template: PodTemplateSpec, 7 backoffLimit = int32,
        8 ttlSecondsAfterFinished = int32, 9 completionMode = string, 10 suspend = bool,
        11 podFailurePolicy = PodFailurePolicy, 12 backoffLimitPerIndex = int32, 13 maxFailedIndexes = int32,
        14 podReplacementPolicy = string, 15 managedBy = string, 16 successPolicy = SuccessPolicy
    }
    JobStatus {
        1 conditions: [JobCondition], 2 startTime: Time, 3 completionTime: Time, 4 active: int32, 5 succeeded: int32,
        6 failed: int32, 7 completedIndexes: string, 8 uncountedTerminatedPods = UncountedTerminatedPods,
        9 ready = int32, 10 failedIndexes = string, 11 terminating = int32
    }
    JobTemplateSpec { 1 metadata: ObjectMeta, 2 spec: JobSpec }
    PodFailurePolicy { 1 rules = [PodFailurePolicyRule] }
    PodFailurePolicyOnExitCodesRequirement { 1 containerName = string, 2 operator = string, 3 values = [int32] }
    PodFailurePolicyOnPodConditionsPattern { 1 type = string, 2 status: string }
    PodFailurePolicyRule {
        1 action = string, 2 onExitCodes = PodFailurePolicyOnExitCodesRequirement,
        3 onPodConditions: [PodFailurePolicyOnPodConditionsPattern]
    }
    PodTemplate { 1 metadata: ObjectMeta, 2 template: PodTemplateSpec }
    PodTemplateSpec { 1 metadata: ObjectMeta, 2 spec: PodSpec }
    ReplicaSet { 1 metadata: ObjectMeta, 2 spec: ReplicaSetSpec, 3 status: ReplicaSetStatus }
    ReplicaSetSpec {
        1 replicas = int32, 2 selector = LabelSelector, 3 template: PodTemplateSpec, 4 minReadySeconds: int32
    }
    ReplicaSetStatus {
        1 replicas = int32, 2 fullyLabeledReplicas: int32, 3 observedGeneration: int64, 4 readyReplicas: int32,
        5 availableReplicas: int32, 6 conditions: [Condition], 7 terminatingReplicas = int32
    }
    ReplicationController {
        1 metadata: ObjectMeta, 2 spec: ReplicationControllerSpec, 3 status: ReplicationControllerStatus
    }
    ReplicationControllerSpec {
        1 replicas = int32, 2 selector: {string}, 3 template = PodTemplateSpec, 4 minReadySeconds: int32
    }
    ReplicationControllerStatus {
        1 replicas = int32, 2 fullyLabeledReplicas: int32, 3 observedGeneration: int64, 4 readyReplicas: int32,
        5 availableReplicas: int32, 6 conditions: [Condition]
    }
    RollingUpdate { 1 maxUnavailable = IntOrString, 2 maxSurge = IntOrString }
    RollingUpdateStatefulSetStrategy { 1 partition = int32, 2 maxUnavailable = IntOrString }
    Scale { 1 metadata: ObjectMeta, 2 spec: ScaleSpec, 3 status: ScaleStatus }
    ScaleSpec { 1 replicas: int32 }
    ScaleStatus { 1 replicas = int32, 2 selector: string }
    StatefulSet { 1 metadata: ObjectMeta, 2 spec: StatefulSetSpec, 3 status: StatefulSetStatus }
    StatefulSetOrdinals { 1 start = int32 }
    StatefulSetPersistentVolumeClaimRetentionPolicy { 1 whenDeleted: string, 2 whenScaled: string }
    StatefulSetSpec {
        1 replicas = int32, 2 selector = LabelSelector, 3 template: PodTemplateSpec,
        4 volumeClaimTemplates: [PersistentVolumeClaim], 5 serviceName: string, 6 podManagementPolicy: string,
        7 updateStrategy: StatefulSetUpdateStrategy, 8 revisionHistoryLimit = int32, 9 minReadySeconds: int32,
        10 persistentVolumeClaimRetentionPolicy = StatefulSetPersistentVolumeClaimRetentionPolicy,
        11 ordinals = StatefulSetOrdinals
    }
    StatefulSetStatus {
        1 observedGeneration: int64, 2 replicas = int32, 3 readyReplicas: int32, 4 currentReplicas: int32,
        5 updatedReplicas: int32, 6 currentRevision: string, 7 updateRevision: string, 9 collisionCount = int32,
        10 conditions: [Condition], 11 availableReplicas: int32
    }
    StatefulSetUpdateStrategy { 1 type: string, 2 rollingUpdate = RollingUpdateStatefulSetStrategy }
    SuccessPolicy { 1 rules = [SuccessPolicyRule] }
    SuccessPolicyRule { 1 succeededIndexes = string, 2 succeededCount = int32 }
    UncountedTerminatedPods { 1 succeeded: [string], 2 failed: [string] }
    // A Deployment's and a DaemonSet's.
    UpdateStrategy { 1 type: string, 2 rollingUpdate = RollingUpdate }
}
