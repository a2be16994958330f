//! Dials a node that serves `/echo/1.0.0`, says something, and prints what comes back: `echo /ip4/127.0.0.1/tcp/4001/p2p/12D3...`

use tidewire_tokio::{Config, Endpoint, Keypair, Protocols, Selection, Upgrader, random_seed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn core::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: echo ADDRESS")?;
    let identity = Keypair::from_seed(&random_seed()?);
    let upgrader = Upgrader::new(&identity, &random_seed()?, Config::default())?;

    let connection = Endpoint::new(upgrader)?.dial(&address.parse()?).await?;
    println!("{} over {} and {}", connection.peer(), connection.security(), connection.muxer());

    let mut stream = connection.open(&Protocols::parse(&["/echo/1.0.0"])?, Selection::Lazy).await?;
    stream.write_all(b"hello, tide").await?;
    stream.shutdown().await?;
    let mut echoed = String::new();
    stream.read_to_string(&mut echoed).await?;
    println!("{echoed}");

    connection.close(0).await;
    Ok(())
}
