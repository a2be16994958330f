//! Dials a node that serves `/echo/1.0.0`, says something, and prints what comes back: `echo /ip4/127.0.0.1/tcp/4001/p2p/12D3...`

use std::io::{Read, Write};
use tidewire_std::{Keypair, Node, NodeConfig, OpenOptions, Protocols, random_seed};

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: echo ADDRESS")?;
    let node = Node::new(NodeConfig::default(), Keypair::from_seed(&random_seed()?))?;

    let peer = node.connect(&address.parse()?)?.peer;
    let mut stream = node.open(peer, &Protocols::parse(&["/echo/1.0.0"])?, OpenOptions::default())?;
    stream.write_all(b"hello, tide")?;
    stream.shutdown()?;
    let mut echoed = String::new();
    stream.read_to_string(&mut echoed)?;
    println!("{peer} says: {echoed}");

    node.shutdown();
    Ok(())
}
