//! The same seed gives the same run, byte for byte, and a failure says its seed.

use crate::support::*;
use core::time::Duration;
use std::env;
use std::process::Command;
use tidewire_sim::{HostId, Link, World, check, ipv4, try_check};

/// Some of everything: loss, jitter, queues, cuts, a restart, datagrams.
fn eventful(seed: u64) -> World {
    let mut world = World::new(seed);
    world.trace_on(10);
    world.default_link(Link::new(10 * MS).jitter(7 * MS).loss(0.05).bandwidth(500_000));
    let all: Vec<HostId> = (1..=6).map(|n| world.add(App::polite(), [ipv4(n), v6(n)])).collect();
    world.run_for(MS).unwrap();
    for id in &all {
        for _ in 0..3 {
            let to = 1 + u32::try_from(world.rng().below(6)).unwrap();
            dial(&mut world, *id, to);
        }
        act(&mut world, *id, |_, os| {
            let (socket, _) = os.bind_udp(any(9)).unwrap();
            os.send_to(socket, (ipv4(1), 9).into(), pattern(500)).unwrap();
            os.note("has dialed");
        });
    }
    world.run_for(5 * SECOND).unwrap();
    for (n, id) in all.iter().enumerate() {
        for socket in app(&world, *id).sockets().collect::<Vec<_>>() {
            act(&mut world, *id, |app, os| app.send(socket, &pattern(5_000 + n), os));
        }
    }
    let until = world.now() + SECOND;
    world.isolate(all[2], until);
    world.run_for(SECOND / 10).unwrap();
    world.exit(all[3]);
    world.kill(all[4]);
    world.start(all[4], App::default());
    world.run_for(60 * SECOND).unwrap();
    world
}

#[test]
fn the_same_seed_is_the_same_run_and_another_seed_another() {
    let (one, same, other) = (eventful(7), eventful(7), eventful(8));
    assert!(one.stats().dropped > 20, "{:?}", one.stats());
    assert_eq!((one.trace().hash(), one.stats()), (same.trace().hash(), same.stats()));
    assert_eq!(one.trace().to_string(), same.trace().to_string());
    assert_ne!(one.trace().hash(), other.trace().hash());
}

#[test]
fn the_same_seed_is_the_same_run_in_another_process() {
    const CHILD: &str = "TIDEWIRE_SIM_TEST_CHILD";
    let hash = format!("hash={:016x};", eventful(7).trace().hash());
    if env::var_os(CHILD).is_some() {
        println!("{hash}");
        return;
    }
    let name = "determinism::the_same_seed_is_the_same_run_in_another_process";
    let child =
        Command::new(env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]).env(CHILD, "1").output();
    let said = String::from_utf8(child.unwrap().stdout).unwrap();
    assert!(said.contains(&hash), "{hash} is not in {said}");
}

#[test]
fn a_trace_changes_nothing() {
    let run = |traced: bool| {
        let (mut world, a, _) = two(Link::new(10 * MS).loss(0.3).jitter(MS));
        if traced {
            world.trace_on(1);
        }
        for _ in 0..20 {
            dial(&mut world, a, 2);
        }
        world.run_for(100 * SECOND).unwrap();
        world.stats()
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn a_trace_reads_like_a_packet_dump() {
    let mut world = World::new(1);
    world.trace_on(100);
    world.default_link(Link::new(10 * MS));
    let a = world.add(App::default(), [ipv4(1)]);
    world.add(App::default(), [ipv4(2)]);
    world.run_for(Duration::ZERO).unwrap();
    let socket = act(&mut world, a, |_, os| os.connect_from(any(PORT), at(2), true)).unwrap();
    world.run_until(ms(30)).unwrap();
    act(&mut world, a, |app, os| {
        os.note("says hello");
        app.send(socket, b"hello", os);
    });
    world.run_until(ms(40)).unwrap();
    let lines: Vec<String> = world.trace().records().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "           0ns  h0 started",
            "           0ns  h1 started",
            "           0ns  11.0.0.1:4001 > 11.0.0.2:4001  SYN seq 0",
            "          10ms  11.0.0.1:4001 > 11.0.0.2:4001  SYN seq 0  arrived",
            "          10ms  11.0.0.2:4001 > 11.0.0.1:4001  SYN ACK seq 0 ack 1 window 262144",
            "          20ms  11.0.0.2:4001 > 11.0.0.1:4001  SYN ACK seq 0 ack 1 window 262144  arrived",
            "          20ms  11.0.0.1:4001 > 11.0.0.2:4001  ACK seq 1 ack 1 window 262144",
            "          30ms  11.0.0.1:4001 > 11.0.0.2:4001  ACK seq 1 ack 1 window 262144  arrived",
            "          30ms  h0 says: says hello",
            "          30ms  11.0.0.1:4001 > 11.0.0.2:4001  ACK seq 1 ack 1 window 262144 5 bytes",
            "          40ms  11.0.0.1:4001 > 11.0.0.2:4001  ACK seq 1 ack 1 window 262144 5 bytes  arrived",
            "          40ms  11.0.0.2:4001 > 11.0.0.1:4001  ACK seq 1 ack 6 window 262144",
        ]
    );
}

#[test]
fn a_failing_run_says_its_seed_and_shows_the_end_of_its_trace() {
    let failed = try_check(0..100, |world| {
        world.trace_on(10);
        world.add(App::default(), [ipv4(1)]);
        world.run_for(SECOND)?;
        assert!(world.seed() < 42, "world {} is unlucky", world.seed());
        Ok(())
    });
    let failed = failed.unwrap_err();
    assert_eq!(failed.seed, 42);
    assert_eq!(failed.why, "panicked: world 42 is unlucky");
    assert_eq!(
        failed.to_string(),
        "in the world of seed 42: panicked: world 42 is unlucky\nto see it again: TIDEWIRE_SIM_SEED=42\n           0ns  h0 \
         started"
    );
}

#[test]
fn an_error_fails_a_run_as_a_panic_does() {
    let failed = try_check([3], |_| Err("no luck".into())).unwrap_err();
    assert_eq!((failed.seed, &failed.why[..]), (3, "no luck"));
}

#[test]
fn a_failing_run_leaves_its_whole_trace_as_a_file() {
    const CHILD: &str = "TIDEWIRE_SIM_TEST_CHILD";
    if env::var_os(CHILD).is_some() {
        check(0..3, |world| {
            world.trace_on(1);
            let id = world.add(App::default(), [ipv4(1)]);
            world.run_for(SECOND)?;
            act(world, id, |_, os| os.note("says \"hello\""));
            assert!(world.seed() < 2, "unlucky");
            Ok(())
        });
        return;
    }
    let folder = env::temp_dir().join(format!("tidewire-sim-{}", std::process::id()));
    let name = "determinism::a_failing_run_leaves_its_whole_trace_as_a_file";
    let run = |folder: &std::path::Path| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", name, "--nocapture"]).env(CHILD, "1").env_remove("TIDEWIRE_SIM_SEED");
        let output = command.env("TIDEWIRE_SIM_TRACE", folder).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let said = run(&folder);
    let path = folder.join("determinism-a_failing_run_leaves_its_whole_trace_as_a_file-seed-2.jsonl");
    assert!(said.contains(&format!("its trace: {}", path.display())), "{said}");
    let file = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let lines: Vec<&str> = file.lines().collect();
    assert_eq!(
        lines,
        [
            "{\"tidewire_sim_trace\":1,\"seed\":2,\"now_ns\":1000000000,\"why\":\"panicked: unlucky\",\"left_out\":0,\
             \"hosts\":[{\"host\":\"h0\",\"addresses\":[\"11.0.0.1\"]}],\"gateways\":[]}",
            "{\"at_ns\":0,\"what\":\"host\",\"host\":\"h0\",\"change\":\"started\"}",
            "{\"at_ns\":1000000000,\"what\":\"note\",\"host\":\"h0\",\"text\":\"says \\\"hello\\\"\"}",
        ]
    );
    assert!(!run(std::path::Path::new("")).contains("its trace"));
}

#[test]
fn the_environment_chooses_the_one_world_to_run_again() {
    const CHILD: &str = "TIDEWIRE_SIM_TEST_CHILD";
    if env::var_os(CHILD).is_some() {
        check(0..3, |world| {
            println!("ran={};", world.seed());
            Ok(())
        });
        return;
    }
    let name = "determinism::the_environment_chooses_the_one_world_to_run_again";
    let run = |seed: Option<&str>| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", name, "--nocapture"]).env(CHILD, "1").env_remove("TIDEWIRE_SIM_SEED");
        command.envs(seed.map(|seed| ("TIDEWIRE_SIM_SEED", seed)));
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let all = run(None);
    assert!(all.contains("ran=0;") && all.contains("ran=2;"), "{all}");
    let one = run(Some("77"));
    assert!(one.contains("ran=77;") && !one.contains("ran=0;"), "{one}");
}
