//! The third host: everybody outside sees it, and it sees everybody. It says who comes from where, by TCP and by UDP, and carries
//! what the two ends say to each other: the circuit.

use bytes::{Bytes, BytesMut};
use std::net::SocketAddr;
use tidewire_core::Time;
use tidewire_sim::{Input, Node, Os, SocketId};

pub(crate) const PORT: u16 = 4001;

#[derive(Default)]
pub(crate) struct Relay {
    /// In the order in which they came. What one says, the other hears.
    ends: Vec<SocketId>,
    waiting: BytesMut,
    udp: Option<tidewire_sim::UdpId>,
}

/// What the relay says of itself, before anything of the other end's: where it sees you.
pub(crate) fn sighting(text: &[u8]) -> Option<SocketAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

impl Node for Relay {
    fn handle(&mut self, _: Time, input: Input, os: &mut Os<'_>) {
        match input {
            Input::Started => {
                for any in ["0.0.0.0", "[::]"] {
                    os.listen(format!("{any}:{PORT}").parse().unwrap(), true).unwrap();
                }
                self.udp = Some(os.bind_udp(([0, 0, 0, 0], PORT).into()).unwrap().0);
                os.bind_udp((std::net::Ipv6Addr::UNSPECIFIED, PORT).into()).unwrap();
            }
            Input::Accepted { socket, remote, .. } => {
                self.ends.push(socket);
                let text = remote.to_string();
                let length = u8::try_from(text.len()).unwrap();
                let mut said = Bytes::from([&[length], text.as_bytes()].concat());
                os.send(socket, &mut said);
            }
            Input::Received { socket } => {
                let mut bytes = BytesMut::new();
                os.read(socket, &mut bytes);
                let other = self.ends.iter().find(|end| **end != socket).copied();
                let other = other.expect("both are there before one speaks");
                self.waiting.unsplit(bytes);
                os.send(other, &mut self.waiting);
                assert!(self.waiting.is_empty(), "exchanges are small");
            }
            Input::Datagram { socket, from, .. } => os.send_to(socket, from, from.to_string().into()).unwrap(),
            _ => {}
        }
    }
}
