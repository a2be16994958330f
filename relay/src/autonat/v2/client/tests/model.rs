//! Random worlds: some servers are honest, some lie, some refuse; some addresses can be reached. What the client believes must
//! be what is true, or unknown.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Honest,
    /// Says the contrary of what it saw.
    Liar,
    /// Always says that it reached the first address.
    Boaster,
    Refuser,
    Silent,
    /// Wants to be paid, and is honest then.
    Dear,
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(alloc::vec![
        Kind::Honest,
        Kind::Honest,
        Kind::Honest,
        Kind::Liar,
        Kind::Boaster,
        Kind::Refuser,
        Kind::Silent,
        Kind::Dear,
    ])
}

fn settle(world: &mut World, question: &Question, kind: Kind, reachable: &[bool]) {
    let port = usize::from(question.addresses[0].port().unwrap_or(0));
    let is = reachable.get(port - 1).copied().unwrap_or(false);
    match kind {
        Kind::Honest => world.vote(question, is),
        // It can't bring a nonce to where nothing can come in; to say that what it reached can't be reached, it can.
        Kind::Liar => world.probed(question, 0, if is { DialStatus::DIAL_ERROR } else { DialStatus::OK }),
        Kind::Boaster => {
            // It brings the nonce on the connection that we asked on.
            let local = addr(BEHIND_NAT);
            let on = HeardOn { inbound: false, since: Time::ZERO, local: &local };
            world.tell(ClientInput::DialBackHeard { stream: stream(7), on, nonce: question.nonce });
            world.probed(question, 0, DialStatus::OK);
        }
        Kind::Refuser => world.refused(question, Status::DIAL_REFUSED),
        Kind::Silent => {}
        Kind::Dear => {
            world.answer(question, &Answer::CostAsked { index: 0, bytes: 50_000 });
            if world.client.asks.get(&question.ask).is_some_and(|asking| asking.paid.is_some()) {
                world.vote(question, is);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No server, and no number of them, makes an address public that can't be reached; a single liar makes none private that can;
    /// what is asked stays within its caps; and where three honest ones are, the truth is found.
    #[test]
    fn what_is_believed_is_true(
        kinds in prop::collection::vec(any_kind(), 1..10),
        reachable in prop::collection::vec(any::<bool>(), 1..5),
        seed: u8,
    ) {
        let texts: Vec<_> = (1..=reachable.len()).map(|port| alloc::format!("/ip4/8.8.8.8/tcp/{port}")).collect();
        let texts: Vec<&str> = texts.iter().map(|text| &text[..]).collect();
        let mut world = World::new(ClientConfig::default(), &texts, u8::try_from(kinds.len()).unwrap());
        world.client.draw = Draw::new(&Seed::new([seed; 32]), "test");
        let liars = kinds.iter().filter(|kind| matches!(kind, Kind::Liar)).count();
        let honest = kinds.iter().filter(|kind| matches!(kind, Kind::Honest)).count();
        let end = Time::ZERO + 3 * 3600 * SECOND;
        let mut last: Vec<(u64, Time)> = Vec::new();
        while world.now < end {
            while let Some(action) = world.poll() {
                let ClientAction::Ask { ask, connection, what: Ask::Probe { nonce, addresses } } = action else { continue };
                let question = Question { ask, server: connection.0, nonce, addresses };
                prop_assert!(!question.addresses.is_empty() && question.addresses.len() <= 10);
                prop_assert!(world.client.asks.len() <= 5);
                for (server, at) in &last {
                    prop_assert!(*server != question.server || world.now.since(*at) >= 120 * SECOND);
                }
                last.retain(|(server, _)| *server != question.server);
                last.push((question.server, world.now));
                let kind = kinds[usize::try_from(question.server - 1).unwrap()];
                settle(&mut world, &question, kind, &reachable);
            }
            for (is, text) in reachable.iter().zip(&texts) {
                let believed = world.client.reachability(&addr(text)).unwrap();
                prop_assert!(*is || believed != Public, "{} is believed to be public", text);
                if liars <= 1 {
                    prop_assert!(!*is || believed != Private, "{} is believed to be private", text);
                }
            }
            let next = world.client.deadline();
            prop_assert!(next > world.now);
            world.now = next.min(end);
            world.client.on_timeout(world.now);
        }
        if honest >= 3 && liars == 0 {
            for (is, text) in reachable.iter().zip(&texts) {
                let believed = world.client.reachability(&addr(text)).unwrap();
                prop_assert_eq!(believed, if *is { Public } else { Private }, "{} after 3 h", text);
            }
        }
    }
}
