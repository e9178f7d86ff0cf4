//! `Endpoints` of `core/v1`, and `discovery.k8s.io/v1`.

use super::core::ObjectReference;
use super::meta::ObjectMeta;
use crate::api::protobuf::schema::messages;

messages! {
    Endpoint {
        1 addresses = [string], 2 conditions: EndpointConditions, 3 hostname = string, 4 targetRef: ObjectReference,
        5 deprecatedTopology: {string}, 6 nodeName = string, 7 zone = string, 8 hints: EndpointHints
    }
    EndpointAddress { 1 ip = string, 2 targetRef: ObjectReference, 3 hostname: string, 4 nodeName = string }
    EndpointConditions { 1 ready = bool, 2 serving = bool, 3 terminating = bool }
    EndpointHints { 1 forZones: [ForName], 2 forNodes: [ForName] }
    EndpointPort { 1 name: string, 2 port = int32, 3 protocol: string, 4 appProtocol = string }
    EndpointSlice {
        1 metadata: ObjectMeta, 2 endpoints = [Endpoint], 3 ports: [SlicePort], 4 addressType = string
    }
    EndpointSubset {
        1 addresses: [EndpointAddress], 2 notReadyAddresses: [EndpointAddress], 3 ports: [EndpointPort]
    }
    Endpoints { 1 metadata: ObjectMeta, 2 subsets: [EndpointSubset] }
    ForName { 1 name = string }
    SlicePort { 1 name = string, 2 protocol = string, 3 port = int32, 4 appProtocol = string }
}
