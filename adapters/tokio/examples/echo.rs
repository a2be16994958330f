//! Dials a node that serves `/echo/1.0.0`, says something, and prints what comes back: `echo /ip4/127.0.0.1/tcp/4001/p2p/12D3...`

use tidewire_tokio::{Keypair, Node, NodeConfig, OpenOptions, Protocols, random_seed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn core::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: echo ADDRESS")?;
    let node = Node::new(NodeConfig::default(), Keypair::from_seed(&random_seed()?))?;

    let peer = node.connect(&address.parse()?).await?.peer;
    let mut stream = node.open(peer, &Protocols::parse(&["/echo/1.0.0"])?, OpenOptions::default()).await?;
    stream.write_all(b"hello, tide").await?;
    stream.shutdown().await?;
    let mut echoed = String::new();
    stream.read_to_string(&mut echoed).await?;
    println!("{peer} says: {echoed}");

    node.shutdown().await;
    Ok(())
}
