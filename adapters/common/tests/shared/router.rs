//! A router for tests, on loopback: PCP and NAT-PMP over a real UDP socket, and what it forwards over real TCP.
#![allow(dead_code, unreachable_pub)] // not every test file uses all of it

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tidewire_portmap::Transport;
use tidewire_portmap::wire::{NatPmpCode, PcpCode, Request, Response};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    Pcp,
    NatPmp,
    Nothing,
}

/// Its address outside: another one of the same machine, so that what it leads to us is really reached.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

pub struct Router {
    pub port: u16,
    socket: UdpSocket,
    inner: Arc<Mutex<Inner>>,
    over: Arc<AtomicBool>,
}

struct Inner {
    speaks: Speaks,
    /// In seconds, the most that it gives.
    lifetime: u32,
    refuses: bool,
    began: Instant,
    /// Its count of seconds then.
    count: u32,
    /// Our ports, and the ports outside.
    mapped: BTreeMap<u16, u16>,
    /// What it was asked: the port, and for how long.
    asked: Vec<(u16, u32)>,
}

impl Router {
    pub fn new(speaks: Speaks) -> Router {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let (began, mapped, asked) = (Instant::now(), BTreeMap::new(), Vec::new());
        let inner = Inner { speaks, lifetime: 7_200, refuses: false, began, count: 1_000, mapped, asked };
        let (inner, over) = (Arc::new(Mutex::new(inner)), Arc::new(AtomicBool::new(false)));
        let (of_thread, end, other) = (inner.clone(), over.clone(), socket.try_clone().unwrap());
        thread::spawn(move || {
            socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            let mut buffer = [0; 1_200];
            while !end.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                let answer = of_thread.lock().unwrap().answer(from, &buffer[..length]);
                if let Some(answer) = answer {
                    socket.send_to(&answer.encode(), from).unwrap();
                }
            }
        });
        Router { port, socket: other, inner, over }
    }

    pub fn speak(&self, speaks: Speaks) {
        self.inner.lock().unwrap().speaks = speaks;
    }

    pub fn refuse(&self, refuses: bool) {
        self.inner.lock().unwrap().refuses = refuses;
    }

    pub fn lifetime(&self, seconds: u32) {
        self.inner.lock().unwrap().lifetime = seconds;
    }

    /// It loses its memory, and announces that.
    pub fn restart(&self, announced_at: SocketAddr) {
        let mut inner = self.inner.lock().unwrap();
        (inner.began, inner.count) = (Instant::now(), 0);
        inner.mapped.clear();
        let (version, code, lifetime, epoch) = (2, PcpCode::SUCCESS, 0, 0);
        let word = Response::Pcp { version, opcode: 0, code, lifetime, epoch };
        self.socket.send_to(&word.encode(), announced_at).unwrap();
    }

    /// The port outside that leads to this one.
    pub fn outside(&self, port: u16) -> Option<u16> {
        self.inner.lock().unwrap().mapped.get(&port).copied()
    }

    pub fn mapped(&self) -> usize {
        self.inner.lock().unwrap().mapped.len()
    }

    pub fn asked(&self) -> Vec<(u16, u32)> {
        self.inner.lock().unwrap().asked.clone()
    }

    /// From now on what is mapped is forwarded.
    pub fn forward(&self, port: u16) {
        let outside = self.outside(port).unwrap();
        let listener = TcpListener::bind((OUTSIDE, outside)).unwrap();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, inside) = (client.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
                copy(client.try_clone().unwrap(), inside.try_clone().unwrap());
                copy(inside, client);
            }
        });
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

impl Inner {
    fn answer(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<Response> {
        let epoch = self.count + u32::try_from(self.began.elapsed().as_secs()).unwrap();
        let request = Request::decode(datagram).unwrap();
        match (self.speaks, request) {
            (Speaks::Nothing, _) => None,
            (Speaks::NatPmp, Request::PcpMap { .. }) => {
                Some(Response::NatPmpError { opcode: 1, code: NatPmpCode::UNSUPPORTED_VERSION, epoch })
            }
            (Speaks::NatPmp, Request::NatPmpExternal) => {
                Some(Response::NatPmpExternal { code: NatPmpCode::SUCCESS, epoch, external: OUTSIDE })
            }
            (Speaks::NatPmp, Request::NatPmpMap { transport, internal, suggested, lifetime }) => {
                let (external, lifetime) = self.keep(internal, suggested, lifetime);
                let code = if self.refuses { NatPmpCode::NOT_AUTHORIZED } else { NatPmpCode::SUCCESS };
                Some(Response::NatPmpMap { transport, code, epoch, internal, external, lifetime })
            }
            (Speaks::Pcp, Request::PcpMap { client, nonce, transport, internal, suggested, lifetime }) => {
                // RFC 6887 section 8.2: what the client says must be what is seen.
                assert_eq!((client, transport), (from.ip(), Transport::Tcp));
                let (port, lifetime) = self.keep(internal, suggested.port(), lifetime);
                let code = if self.refuses { PcpCode::NOT_AUTHORIZED } else { PcpCode::SUCCESS };
                let external = SocketAddr::new(IpAddr::V4(OUTSIDE), port);
                Some(Response::PcpMap { code, lifetime, epoch, nonce, transport, internal, external })
            }
            (Speaks::Pcp, _) => None,
        }
    }

    fn keep(&mut self, internal: u16, suggested: u16, lifetime: u32) -> (u16, u32) {
        self.asked.push((internal, lifetime));
        if lifetime == 0 {
            self.mapped.remove(&internal);
            return (0, 0);
        }
        if self.refuses {
            return (suggested, 1_800);
        }
        // The port that was suggested is taken: the next but some.
        let external = *self.mapped.entry(internal).or_insert(suggested ^ 1);
        (external, lifetime.min(self.lifetime))
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}
