//! Which peers there are, and from which addresses they come.

use crate::config::PeerConfig;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;
use tracing::warn;

/// A name server may take so long.
const LOOK_UP: Duration = Duration::from_secs(10);

/// The configured peers with the addresses of their hosts.
pub(super) struct Directory {
    peers: Vec<PeerConfig>,
    /// Of each peer; those of the last look-up that succeeded.
    addresses: RwLock<Vec<Vec<IpAddr>>>,
}

impl Directory {
    pub(super) fn new(peers: Vec<PeerConfig>) -> Self {
        let literal = |peer: &PeerConfig| literal(&peer.host).into_iter().collect();
        let addresses = peers.iter().map(literal).collect();
        Self {
            peers,
            addresses: RwLock::new(addresses),
        }
    }

    /// The peers that `address` may belong to.
    pub(super) fn at(&self, address: IpAddr) -> Vec<&PeerConfig> {
        let addresses = self
            .addresses
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let peers = self.peers.iter().zip(addresses.iter());
        let peers = peers.filter(|(_, addresses)| addresses.contains(&address));
        peers.map(|(peer, _)| peer).collect()
    }

    /// Looks up the names among the hosts.
    pub(super) async fn look_up(&self) {
        for (place, peer) in self.peers.iter().enumerate() {
            if literal(&peer.host).is_some() {
                continue;
            }
            match timeout(LOOK_UP, lookup_host((peer.host.as_str(), 0))).await {
                Ok(Ok(found)) => {
                    let found = found.map(|socket| socket.ip().to_canonical()).collect();
                    let addresses = self.addresses.write();
                    addresses.unwrap_or_else(PoisonError::into_inner)[place] = found;
                }
                Ok(Err(_)) | Err(_) => {
                    warn!(
                        peer = peer.name,
                        host = peer.host,
                        "The host of a peer has no address."
                    );
                }
            }
        }
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(host: &str) -> PeerConfig {
        PeerConfig {
            name: host.into(),
            ae_title: "PEER".into(),
            host: host.into(),
            port: None,
            may_store: true,
            tls: None,
        }
    }

    #[test]
    fn an_address_is_known_however_it_is_written() {
        let directory = Directory::new(vec![peer("::ffff:192.0.2.7"), peer("192.0.2.8")]);
        let at = |address: &str| {
            let found = directory.at(address.parse().unwrap());
            found
                .iter()
                .map(|peer| peer.host.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(at("192.0.2.7"), ["::ffff:192.0.2.7"]);
        assert_eq!(at("192.0.2.8"), ["192.0.2.8"]);
        assert_eq!(at("192.0.2.9"), [""; 0]);
    }

    #[tokio::test]
    async fn a_name_is_looked_up_and_one_without_an_address_matches_nobody() {
        let directory = Directory::new(vec![peer("localhost"), peer(&"x".repeat(300))]);
        assert!(directory.at([127, 0, 0, 1].into()).is_empty());
        directory.look_up().await;
        let found = directory.at([127, 0, 0, 1].into());
        assert_eq!(found[0].host, "localhost");
        assert_eq!(found.len(), 1);
    }
}
