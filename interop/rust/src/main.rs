//! The rust-libp2p peer of the interop runs. Its command line is the contract of `interop/README.md`.

mod autonat;
mod circuit;
mod direct;
mod echo;
mod options;
mod punch;
mod swarm;

use std::{error::Error, process::ExitCode, time::Duration};

use futures::{StreamExt as _, TryFutureExt as _};
use libp2p::{Multiaddr, Swarm, multiaddr::Protocol, swarm::SwarmEvent};
use libp2p_stream as stream;
use options::{Command, Options};
use serde_json::{Value, json};
use swarm::{Behaviour, BehaviourEvent};
use tokio::signal::unix::{Signal, SignalKind, signal};

const PINGS: usize = 3;
const DIAL_TIMEOUT: Duration = Duration::from_secs(25);
/// An AutoNAT server may take 15 s to say that it could not dial.
const AUTONAT_TIMEOUT: Duration = Duration::from_secs(40);

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let (command, options) = match options::parse(std::env::args().skip(1)) {
        Ok(parsed) => parsed,
        Err(problem) => {
            eprintln!("{problem}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    let hold = Duration::from_secs(options.hold);
    match command {
        Command::Listen => serve(direct::listen(&options)).await,
        Command::Relay => serve(circuit::relay(&options)).await,
        Command::AutonatServer => serve(autonat::server(&options)).await,
        Command::Reserve(relay) => match circuit::reserve(&options, relay).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(json!({"reserved": false, "error": explain(error.as_ref())})),
        },
        Command::Dial(address) => report(DIAL_TIMEOUT + hold, direct::dial(&options, address)).await,
        Command::DialCircuit(address) => match options.wait {
            None => report(DIAL_TIMEOUT + hold, circuit::dial(&options, address)).await,
            Some(wait) => {
                let limit = DIAL_TIMEOUT + Duration::from_secs(wait);
                report(limit, punch::dial(&options, address, Duration::from_secs(wait))).await
            }
        },
        Command::AutonatClient(server) => report(AUTONAT_TIMEOUT, autonat::client(&options, server)).await,
    }
}

async fn serve(work: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    match work.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", explain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn report(limit: Duration, work: impl Future<Output = Result<Value, Failure>>) -> ExitCode {
    let outcome = tokio::time::timeout(limit, work).await;
    match outcome.unwrap_or_else(|_| Err("timed out".into())) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => refuse(json!({"ok": false, "error": explain(error.as_ref())})),
    }
}

fn refuse(report: Value) -> ExitCode {
    println!("{report}");
    ExitCode::FAILURE
}

/// SIGTERM and SIGINT: the end of a server.
struct Stop(Signal, Signal);

impl Stop {
    fn new() -> Result<Self, Failure> {
        Ok(Self(signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

/// Serves each echo stream in a task of its own, for as long as the result lives.
fn serve_echo(swarm: &Swarm<Behaviour>) -> Result<impl Drop + use<>, Failure> {
    let mut echoes = swarm.behaviour().stream.new_control().accept(echo::ECHO)?;
    let task = tokio::spawn(async move {
        while let Some((_, stream)) = echoes.next().await {
            tokio::spawn(echo::serve(stream).unwrap_or_else(|error| eprintln!("echo: {error}")));
        }
    });
    Ok(Aborts(task))
}

struct Aborts(tokio::task::JoinHandle<()>);

impl Drop for Aborts {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Listens, and waits for the address.
async fn listening(swarm: &mut Swarm<Behaviour>, options: &Options) -> Result<Multiaddr, Failure> {
    swarm.listen_on(options.listen.clone())?;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => return Ok(address),
            SwarmEvent::ListenerClosed { reason: Err(error), .. } => return Err(error.into()),
            _ => {}
        }
    }
}

fn say_listening(swarm: &Swarm<Behaviour>, address: Multiaddr) {
    let address = address.with(Protocol::P2p(*swarm.local_peer_id())).to_string();
    println!("{}", json!({"listening": address, "all": [address]}));
}

fn stream_control(swarm: &Swarm<Behaviour>) -> stream::Control {
    swarm.behaviour().stream.new_control()
}

fn closed(cause: Option<impl Error + 'static>) -> String {
    match cause {
        Some(cause) => format!("connection closed: {}", explain(&cause)),
        None => "connection closed".into(),
    }
}

/// The error with all its sources, in one line.
fn explain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string().trim().to_owned();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

/// In milliseconds, to the microsecond.
fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}
