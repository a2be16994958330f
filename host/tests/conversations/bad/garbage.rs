//! Bytes that are no protocol of ours, or come too slowly, or stop at any point.

use super::*;

#[test]
fn a_reset_at_any_point_leaves_nothing_behind() {
    check(0..2, |world| {
        let hosts = town(world, 1);
        let host = world.add(Mute, [ipv4(66)]);
        for point in 0..40 {
            let mut events = 0;
            let stranger = Stranger::new(stranger_key(), victim(), move |now, told, line| {
                events += 1;
                match told {
                    Told::Ready => {
                        for protocol in [ECHO, PUSH, IDENTIFY] {
                            let id = line.open(now, protocol).unwrap();
                            let _ = line.connection.write(id, &[0; 100], &mut line.tx);
                        }
                    }
                    Told::Event(connection::Event::Readable(id)) => line.echo(*id),
                    _ => {}
                }
                line.abort = events > point;
            });
            world.start(host, Cut { inner: stranger.every(millis(100)), calls: 2 * point });
            let pause = world.rng().up_to(millis(800)) + millis(200);
            world.run_for(pause)?;
        }
        world.kill(host);
        world.run_for(secs(100))?;
        assert_empty(world, hosts[0]);
        assert_lifecycle(world, hosts[0]);
        assert_eq!(world.open_files(hosts[0]), 1);
        let opened = |event: &connmgr::Event| matches!(event, connmgr::Event::ConnectionOpened { .. });
        assert!(of(world, hosts[0]).managed().filter(|(_, event)| opened(event)).count() >= 20);
        Ok(())
    });
}

/// Lets a stranger live for so many calls of the world.
struct Cut {
    inner: Stranger,
    calls: usize,
}

impl Node for Cut {
    fn handle(&mut self, now: Time, input: Input, os: &mut Os<'_>) {
        if self.calls == 0 {
            return self.inner.hang_up(os);
        }
        self.calls -= 1;
        self.inner.handle(now, input, os);
    }

    fn deadline(&self) -> Time {
        self.inner.deadline()
    }
}

struct Mute;

impl Node for Mute {
    fn handle(&mut self, _: Time, _: Input, _: &mut Os<'_>) {}
}

/// Connects again and again, and sends these bytes, so many at a time.
struct Sender {
    bytes: Vec<u8>,
    at_a_time: usize,
    every: Duration,
    sockets: Vec<(SocketId, usize)>,
    wanted: usize,
    next: Time,
    ended: usize,
    connected: Time,
    lived: Vec<Duration>,
}

impl Sender {
    fn new(bytes: Vec<u8>, at_a_time: usize, every: Duration, wanted: usize) -> Self {
        let (sockets, lived) = (Vec::new(), Vec::new());
        Sender { bytes, at_a_time, every, sockets, wanted, next: Time::ZERO, ended: 0, connected: Time::ZERO, lived }
    }

    fn over(&mut self, now: Time, socket: SocketId) {
        self.sockets.retain(|(other, _)| *other != socket);
        self.ended += 1;
        self.lived.push(now.since(self.connected));
    }
}

impl Node for Sender {
    fn handle(&mut self, now: Time, input: Input, os: &mut Os<'_>) {
        match input {
            Input::Started => {
                self.next = now;
                self.connected = now;
                for _ in 0..self.wanted {
                    self.sockets.extend(os.connect(victim()).ok().map(|socket| (socket, 0)));
                }
            }
            Input::Connected { .. } => self.next = now,
            Input::Ended { socket } => {
                os.close(socket);
                self.over(now, socket);
            }
            Input::Broken { socket, .. } | Input::ConnectFailed { socket, .. } => self.over(now, socket),
            Input::Received { socket } => drop(os.read_bytes(socket, usize::MAX)),
            _ => {}
        }
        if now >= self.next {
            self.next = now + self.every;
            for (socket, sent) in &mut self.sockets {
                let end = (*sent + self.at_a_time).min(self.bytes.len());
                *sent += os.send(*socket, &mut &self.bytes[*sent..end]);
            }
        }
    }

    fn deadline(&self) -> Time {
        if self.sockets.is_empty() { Time::NEVER } else { self.next }
    }
}

#[test]
fn garbage_in_the_place_of_multistream_is_cut_off_at_once() {
    check(0..6, |world| {
        let len = 1 + world.rng().below(60_000) as usize;
        let garbage: Vec<u8> = (0..len).map(|_| world.rng().next_u64() as u8).collect();
        let siege = siege(world, secs(12), Sender::new(garbage, usize::MAX >> 1, secs(1), 8));
        let sender = world.node::<Sender>(siege.stranger);
        assert_eq!(sender.ended, 8, "all were cut off, at the latest by the time for an upgrade");
        let whys = &of(world, siege.victim).whys;
        assert!(whys.len() == 8 && whys.iter().all(|why| why.contains("security protocol")), "{whys:?}");
        siege.uses_at_most(world, 1024 * KIB);
        Ok(())
    });
}

#[test]
fn other_protocols_than_ours_are_cut_off_as_soon_as_that_is_clear() {
    let request = format!("GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: {}\r\n\r\n", "x".repeat(80)).into_bytes();
    // multistream reads a length first: 71 bytes for `G`, 83 for `S`. This one is shorter, so it is waited for.
    let banner = b"SSH-2.0-OpenSSH_9.9\r\n".to_vec();
    for (greeting, within) in
        [(request, millis(60)), (vec![0xff; 64], millis(60)), (vec![0; 64], millis(60)), (banner, secs(11))]
    {
        check(0..2, |world| {
            let siege = siege(world, secs(11), Sender::new(greeting.clone(), 1000, secs(100), 1));
            let sender = world.node::<Sender>(siege.stranger);
            assert_eq!(sender.ended, 1, "{}", greeting.escape_ascii());
            assert!(sender.lived[0] <= within, "{:?}: {}", sender.lived, greeting.escape_ascii());
            Ok(())
        });
    }
}

#[test]
fn who_upgrades_byte_by_byte_is_cut_off_in_time_and_takes_no_place_from_others() {
    check(0..2, |world| {
        let header = b"\x13/multistream/1.0.0\n\x07/noise\n".to_vec();
        let siege = siege(world, secs(9), Sender::new(header, 1, secs(1), 20));
        let counts = of(world, siege.victim).solo.host().manager().counts().limits;
        assert_eq!(counts.pending_inbound, 8, "as many as one address may have");
        // Somebody else comes.
        let newcomer = crate::town::node(world, 3, |_| {});
        let newcomer = world.add(newcomer, [ipv4(3)]);
        connect(world, newcomer, 1);
        world.run_for(secs(2))?;
        let counts = of(world, siege.victim).solo.host().manager().counts().limits;
        assert_eq!(counts.pending_inbound, 0, "10 s are all that an upgrade may take");
        let sender = world.node::<Sender>(siege.stranger);
        assert_eq!(sender.ended, 20);
        assert!(sender.lived.iter().all(|lived| *lived <= secs(10) + millis(100)), "{:?}", sender.lived);
        let whys = &of(world, siege.victim).whys;
        let late = whys.iter().filter(|why| why.contains("longer than 10s")).count();
        let surplus = whys.iter().filter(|why| why.contains("8")).count();
        assert_eq!((late, surplus), (8, 12), "{whys:?}");
        siege.uses_at_most(world, 512 * KIB);
        Ok(())
    });
}
