//! The way to other voters. A one-voter cluster has none, so nothing here is ever dialled.

use super::{NodeId, Types};
use openraft::BasicNode;
use openraft::error::{InstallSnapshotError, RPCError, RaftError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};

/// Peers of a cluster of one.
#[derive(Debug, Clone, Copy)]
pub struct Alone;

/// A peer that this member was told of and cannot reach.
#[derive(Debug, thiserror::Error)]
#[error("voter {0} is not reachable: this member is a cluster of one")]
pub struct NoPeer(NodeId);

/// The connection to a peer.
#[derive(Debug)]
pub struct Peer(NodeId);

impl Peer {
    fn unreachable(&self) -> Unreachable {
        Unreachable::new(&NoPeer(self.0))
    }
}

impl RaftNetworkFactory<Types> for Alone {
    type Network = Peer;
    async fn new_client(&mut self, target: NodeId, _node: &BasicNode) -> Peer {
        Peer(target)
    }
}

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, RPCError<NodeId, BasicNode, RaftError<NodeId>>> {
        Err(self.unreachable().into())
    }
    async fn install_snapshot(
        &mut self,
        _rpc: InstallSnapshotRequest<Types>,
        _option: RPCOption,
    ) -> Result<
        InstallSnapshotResponse<NodeId>,
        RPCError<NodeId, BasicNode, RaftError<NodeId, InstallSnapshotError>>,
    > {
        Err(self.unreachable().into())
    }
    async fn vote(
        &mut self,
        _rpc: VoteRequest<NodeId>,
        _option: RPCOption,
    ) -> Result<VoteResponse<NodeId>, RPCError<NodeId, BasicNode, RaftError<NodeId>>> {
        Err(self.unreachable().into())
    }
}
