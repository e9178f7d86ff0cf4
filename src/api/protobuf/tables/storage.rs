//! Persistent volumes, their claims and classes. Of the volume sources only those are here whose volumes a pod can also
//! name itself, and `local`: a volume of another one reads as one without a source, and is refused as that.

use super::core::ObjectReference;
use super::meta::ObjectMeta;
use super::pod::NodeSelector;
use super::volume::{
    AWSElasticBlockStoreVolumeSource, AzureDiskVolumeSource, FCVolumeSource, FlockerVolumeSource,
    GCEPersistentDiskVolumeSource, HostPathVolumeSource, NFSVolumeSource,
    PersistentVolumeClaimSpec, PhotonPersistentDiskVolumeSource, PortworxVolumeSource,
    QuobyteVolumeSource, VsphereVirtualDiskVolumeSource,
};
use crate::api::protobuf::schema::messages;

messages! {
    LocalVolumeSource { 1 path = string, 2 fsType = string }
    ModifyVolumeStatus { 1 targetVolumeAttributesClassName: string, 2 status = string }
    PersistentVolume { 1 metadata: ObjectMeta, 2 spec: PersistentVolumeSpec, 3 status: PersistentVolumeStatus }
    PersistentVolumeClaim {
        1 metadata: ObjectMeta, 2 spec: PersistentVolumeClaimSpec, 3 status: PersistentVolumeClaimStatus
    }
    PersistentVolumeClaimCondition {
        1 type = string, 2 status = string, 3 lastProbeTime: Time, 4 lastTransitionTime: Time, 5 reason: string,
        6 message: string
    }
    PersistentVolumeClaimStatus {
        1 phase: string, 2 accessModes: [string], 3 capacity: {Quantity},
        4 conditions: [PersistentVolumeClaimCondition], 5 allocatedResources: {Quantity},
        7 allocatedResourceStatuses: {string}, 8 currentVolumeAttributesClassName = string,
        9 modifyVolumeStatus: ModifyVolumeStatus
    }
    PersistentVolumeSource {
        1 gcePersistentDisk: GCEPersistentDiskVolumeSource, 2 awsElasticBlockStore: AWSElasticBlockStoreVolumeSource,
        3 hostPath: HostPathVolumeSource, 5 nfs: NFSVolumeSource, 10 fc: FCVolumeSource, 11 flocker: FlockerVolumeSource,
        14 vsphereVolume: VsphereVirtualDiskVolumeSource, 15 quobyte: QuobyteVolumeSource,
        16 azureDisk: AzureDiskVolumeSource, 17 photonPersistentDisk: PhotonPersistentDiskVolumeSource,
        18 portworxVolume: PortworxVolumeSource, 20 local: LocalVolumeSource
    }
    PersistentVolumeSpec {
        1 capacity: {Quantity}, 2 persistentVolumeSource: (PersistentVolumeSource), 3 accessModes: [string],
        4 claimRef: ObjectReference, 5 persistentVolumeReclaimPolicy: string, 6 storageClassName: string,
        7 mountOptions: [string], 8 volumeMode = string, 9 nodeAffinity: VolumeNodeAffinity,
        10 volumeAttributesClassName = string
    }
    PersistentVolumeStatus { 1 phase: string, 2 message: string, 3 reason: string, 4 lastPhaseTransitionTime: Time }
    StorageClass {
        1 metadata: ObjectMeta, 2 provisioner = string, 3 parameters: {string}, 4 reclaimPolicy = string,
        5 mountOptions: [string], 6 allowVolumeExpansion = bool, 7 volumeBindingMode = string,
        8 allowedTopologies: [TopologySelectorTerm]
    }
    TopologySelectorLabelRequirement { 1 key = string, 2 values: [string] }
    TopologySelectorTerm { 1 matchLabelExpressions: [TopologySelectorLabelRequirement] }
    VolumeNodeAffinity { 1 required: NodeSelector }
}
