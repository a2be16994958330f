//! Where to connect to.

use std::net::SocketAddr;
use tidewire_adapter::Target;
use tidewire_core::Multiaddr;

/// Which socket address a multiaddr stands for.
pub(crate) fn socket_addr(address: &Multiaddr) -> Result<SocketAddr, &'static str> {
    Target::parse(address)?;
    address.socket_addr().ok_or("this driver asks no resolver: give it the address that the name stands for")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    #[test]
    fn names_and_what_is_not_tcp_are_no_socket_addresses() {
        let fault = |text: &str| socket_addr(&text.parse().unwrap()).unwrap_err();
        assert!(fault("/ip4/127.0.0.1/udp/1/quic-v1").contains("only TCP"));
        assert!(fault("/dnsaddr/example.org").contains("must be resolved first"));
        assert!(fault("/dns4/localhost/tcp/1").contains("no resolver"));
        let six: Multiaddr = "/ip6/::1/tcp/7".parse().unwrap();
        assert_eq!(socket_addr(&six), Ok((Ipv6Addr::LOCALHOST, 7).into()));
    }
}
