//! Bytes over one stream, Noise, yamux and loopback TCP, with threads: writes of 64 KiB, reads of whole pieces.

use std::io::{Read, Write};
use std::time::Instant;
use tidewire_std::{Keypair, Matcher, Node, NodeConfig, OpenOptions, Protocol, random_seed};

const TOTAL: usize = 1 << 30;
const SINK: Protocol = Protocol::from_static("/sink/1.0.0");

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let node = || Node::new(NodeConfig::default(), Keypair::from_seed(&random_seed()?));
    let (server, client) = (node()?, node()?);
    let streams = server.handle(SINK, Matcher::Exact)?;
    std::thread::spawn(move || {
        for mut inbound in streams {
            let mut received = 0;
            while received < TOTAL {
                let Some(chunk) = inbound.stream.read_chunk()? else { break };
                received += chunk.len();
            }
            inbound.stream.write_all(&[1])?;
            inbound.stream.shutdown()?;
        }
        std::io::Result::Ok(())
    });
    let listener = server.listen(&"/ip4/127.0.0.1/tcp/0".parse()?)?;
    let peer = client.connect(&listener.addresses()[0])?.peer;

    let piece = vec![7; 64 * 1024];
    for _ in 0..5 {
        let start = Instant::now();
        let mut stream = client.open(peer, &SINK.into(), OpenOptions::default())?;
        for _ in 0..TOTAL / piece.len() {
            stream.write_all(&piece)?;
        }
        stream.read_exact(&mut [0])?;
        println!("{:.2} GB/s", TOTAL as f64 / start.elapsed().as_secs_f64() / 1e9);
    }
    Ok(())
}
