//! `/dnsaddr/NAME`: addresses in TXT records of `_dnsaddr.NAME`, which may point to further names.
//! Spec: libp2p/specs addressing/README.md, "dnsaddr Links"; multiformats/multiaddr protocols/DNSADDR.md.

use std::collections::VecDeque;
use tidewire_core::{Component, Multiaddr, PeerId};

/// Resolves an address, without asking anyone itself: take each [`question`](DnsAddr::question), ask for its TXT records, give
/// them to [`answer`](DnsAddr::answer); at the end [`found`](DnsAddr::found) has the addresses.
///
/// ```
/// use tidewire_adapter::DnsAddr;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut resolving = DnsAddr::new("/dnsaddr/example.org".parse()?, None);
/// assert_eq!(resolving.question().as_deref(), Some("_dnsaddr.example.org."));
/// resolving.answer(["dnsaddr=/ip4/192.0.2.7/tcp/4001", "v=spf1"].into_iter());
/// assert_eq!(resolving.question(), None);
/// assert_eq!(resolving.found(), ["/ip4/192.0.2.7/tcp/4001".parse()?]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DnsAddr {
    peer: Option<PeerId>,
    /// Names to ask for, each with how many led to it.
    open: VecDeque<(String, u32)>,
    depth: u32,
    asked: usize,
    found: Vec<Multiaddr>,
}

impl DnsAddr {
    /// How many names may lead to the next one.
    pub const MAX_DEPTH: u32 = 4;
    /// Addresses that are found at most.
    pub const MAX_FOUND: usize = 32;
    /// Names that are asked for at most.
    pub const MAX_QUESTIONS: usize = 32;

    /// Resolves `address`. With a peer, only what may lead to it is of interest.
    pub fn new(address: Multiaddr, peer: Option<PeerId>) -> DnsAddr {
        let mut resolving = DnsAddr { peer, open: VecDeque::new(), depth: 0, asked: 0, found: Vec::new() };
        resolving.take(address);
        resolving
    }

    /// The next name whose TXT records are wanted.
    pub fn question(&mut self) -> Option<String> {
        if self.asked >= Self::MAX_QUESTIONS || self.found.len() >= Self::MAX_FOUND {
            return None;
        }
        let (name, depth) = self.open.pop_front()?;
        self.depth = depth;
        self.asked += 1;
        Some(format!("_dnsaddr.{}.", name.trim_end_matches('.')))
    }

    /// The records of the name that was asked for last. Those that say something else are passed over.
    pub fn answer<'a>(&mut self, records: impl Iterator<Item = &'a str>) {
        for address in records.filter_map(|record| record.strip_prefix("dnsaddr=")?.trim().parse::<Multiaddr>().ok()) {
            let other = |found: PeerId| self.peer.is_some_and(|wanted| wanted != found);
            if !address.peer_id().is_some_and(other) {
                self.take(address);
            }
        }
    }

    /// What was found, in the order in which it was.
    pub fn found(self) -> Vec<Multiaddr> {
        self.found
    }

    fn take(&mut self, address: Multiaddr) {
        match address.iter().next() {
            Some(Component::DnsAddr(name)) => {
                // The address that is asked for itself leads nowhere deeper.
                let depth = if self.asked == 0 { 0 } else { self.depth + 1 };
                if depth < Self::MAX_DEPTH {
                    self.open.push_back((name.to_owned(), depth));
                }
            }
            _ if self.found.len() < Self::MAX_FOUND && !self.found.contains(&address) => self.found.push(address),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
    const OTHER: &str = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";

    fn resolve(text: &str, peer: Option<&str>, records: impl Fn(&str) -> Vec<String>) -> (Vec<String>, usize) {
        let peer = peer.and_then(|peer| peer.parse().ok());
        let mut resolving = DnsAddr::new(text.parse().unwrap_or_default(), peer);
        let mut asked = 0;
        while let Some(name) = resolving.question() {
            asked += 1;
            resolving.answer(records(&name).iter().map(String::as_str));
        }
        (resolving.found().iter().map(ToString::to_string).collect(), asked)
    }

    #[test]
    fn names_lead_to_names_and_other_peers_are_passed_over() {
        let (found, asked) = resolve(&format!("/dnsaddr/example.org/p2p/{ID}"), Some(ID), |name| match name {
            "_dnsaddr.example.org." => vec![
                format!("dnsaddr=/dnsaddr/a.example.org/p2p/{ID}"),
                format!("dnsaddr=/dnsaddr/b.example.org/p2p/{OTHER}"),
                "unrelated".into(),
            ],
            "_dnsaddr.a.example.org." => vec![
                format!("dnsaddr=/ip4/192.0.2.7/tcp/1/p2p/{ID}"),
                format!("dnsaddr=/ip4/192.0.2.7/tcp/1/p2p/{ID}"),
                format!("dnsaddr=/ip4/192.0.2.8/tcp/1/p2p/{OTHER}"),
            ],
            _ => vec!["dnsaddr=/ip4/192.0.2.9/tcp/1".into()],
        });
        assert_eq!((found, asked), (vec![format!("/ip4/192.0.2.7/tcp/1/p2p/{ID}")], 2));
    }

    #[test]
    fn a_name_that_leads_to_itself_is_asked_four_times() {
        let (found, asked) = resolve("/dnsaddr/x.org", None, |_| vec!["dnsaddr=/dnsaddr/x.org".into()]);
        assert_eq!((found.len(), asked), (0, 4));
    }

    #[test]
    fn names_that_multiply_are_asked_so_often_and_no_more() {
        let (found, asked) =
            resolve("/dnsaddr/x.org", None, |_| (0..9).map(|i| format!("dnsaddr=/dnsaddr/{i}.x.org")).collect());
        assert_eq!((found.len(), asked), (0, DnsAddr::MAX_QUESTIONS));
        let many = |_: &str| (0..100).map(|i| format!("dnsaddr=/ip4/192.0.2.1/tcp/{}", i + 1)).collect();
        assert_eq!(resolve("/dnsaddr/x.org", None, many).0.len(), DnsAddr::MAX_FOUND);
    }
}
