//! Peers that lie about who they are, or say too much, or nothing.

use super::*;

#[test]
fn a_megabyte_of_protocols_is_not_waited_for_and_the_reason_is_told() {
    check(0..3, |world| {
        let siege = siege(
            world,
            secs(3),
            says(|keypair| {
                let mut says = Says::decent(keypair);
                says.protocols = (0..50_000).map(|n| Bytes::from(format!("/protocol/{n:010}"))).collect();
                let framed = says.framed();
                assert!(framed.len() > 1 << 20);
                framed
            }),
        );
        let why = siege.identify_failed(world).ok_or("nothing was told")?;
        assert!(why.contains("8192"), "{why}");
        assert!(siege.identified(world).is_empty() && siege.is_connected(world));
        siege.uses_at_most(world, 256 * KIB);
        Ok(())
    });
}

#[test]
fn of_two_thousand_protocols_the_first_hundred_are_kept_and_the_rest_is_counted() {
    check(0..3, |world| {
        let siege = siege(
            world,
            secs(3),
            says(|keypair| {
                let mut says = Says::decent(keypair);
                says.protocols = (0..2_000).map(|n| Bytes::from(format!("/{n}"))).collect();
                // 8 KiB hold some 1,200 of them: two messages would be too long.
                says.protocols.truncate(1_000);
                says.framed()
            }),
        );
        let identified = siege.identified(world);
        let [(false, identity)] = identified.as_slice() else { return Err(format!("{identified:?}").into()) };
        assert_eq!((identity.protocols.len(), identity.dropped.surplus_protocols), (128, 872));
        Ok(())
    });
}

#[test]
fn a_thousand_pushes_a_second_are_refused_but_for_a_few() {
    check(0..1, |world| {
        let mut round = 0;
        let stranger = Stranger::new(stranger_key(), victim(), move |now, told, line| match told {
            Told::Event(connection::Event::Negotiated { id, protocol, by: StreamBy::Remote, .. })
                if *protocol == IDENTIFY =>
            {
                let says = Says::decent(&line.keypair).framed();
                line.say(*id, &says);
            }
            Told::Tick => {
                for _ in 0..10 {
                    round += 1;
                    let mut says = Says::decent(&line.keypair);
                    says.agent_version = Some(format!("stranger/{round}").into());
                    let id = line.open(now, PUSH).unwrap();
                    line.say(id, &says.framed());
                }
            }
            _ => {}
        });
        let siege = siege(world, secs(3), stranger.every(millis(10)));
        let heard = siege.identified(world).iter().filter(|(pushed, _)| *pushed).count();
        // A burst of 10, and one each 2 s.
        assert!((10..=13).contains(&heard), "{heard} pushes were taken");
        let resets = world.node::<Stranger>(siege.stranger).count(|event| {
            matches!(event, connection::Event::Reset { .. } | connection::Event::NegotiationFailed { .. })
        });
        assert!(resets > 2_900, "{resets} of 3,000 were reset");
        siege.uses_at_most(world, 512 * KIB);
        Ok(())
    });
}

#[test]
fn a_connection_from_ourselves_is_refused() {
    check(0..3, |world| {
        // Somebody has our key: our own other self, say.
        let stranger = Stranger::new(keypair(1), victim(), |_, _, _| {});
        let siege = siege(world, secs(2), stranger);
        assert!(world.node::<Stranger>(siege.stranger).over.is_some(), "its connection was ended");
        assert_eq!(of(world, siege.victim).whys, ["the peer at the other end is ourselves"]);
        let manager = of(world, siege.victim).solo.host().manager();
        assert!(!manager.is_connected(&peer(1)));
        assert_eq!(manager.counts().limits.established_inbound, 1, "the innocent");
        Ok(())
    });
}

#[test]
fn our_own_address_is_not_believed_to_be_another_s() {
    check(0..3, |world| {
        let siege = siege(world, secs(2), says(|keypair| Says::decent(keypair).listens_at(&[at(1), at(66)]).framed()));
        let manager = of(world, siege.victim).solo.host().manager();
        let known: Vec<_> = manager.addresses_of(&stranger_peer()).map(|record| record.address.clone()).collect();
        assert!(known.contains(&at(66)) && !known.contains(&at(1)), "{known:?}");
        Ok(())
    });
}

fn record(keypair: &Keypair, seq: u64, of: PeerId) -> Bytes {
    let record = PeerRecord::new(of, seq, vec![Bytes::copy_from_slice(at(66).as_bytes())]);
    record.seal(keypair).unwrap().as_bytes().clone()
}

fn with_record(keypair: &Keypair, record: Bytes) -> BytesMut {
    let mut says = Says::decent(keypair).listens_at(&[at(67)]);
    says.signed_peer_record = Some(record);
    says.framed()
}

fn refused(world: &World, siege: &Siege) -> Option<RecordRefused> {
    siege.identified(world).last().and_then(|(_, identity)| identity.refused.clone())
}

#[test]
fn a_record_whose_signature_is_wrong_is_refused_with_the_reason() {
    check(0..3, |world| {
        let siege = siege(
            world,
            secs(2),
            says(|keypair| {
                let mut bytes = record(keypair, 1, keypair.peer_id()).to_vec();
                *bytes.last_mut().unwrap() ^= 1;
                with_record(keypair, bytes.into())
            }),
        );
        assert!(matches!(refused(world, &siege), Some(RecordRefused::Invalid(_))), "{:?}", siege.identified(world));
        Ok(())
    });
}

#[test]
fn a_record_of_another_peer_is_refused_with_the_reason() {
    check(0..3, |world| {
        let siege = siege(world, secs(2), says(|own| with_record(own, record(&keypair(5), 1, peer(5)))));
        let expected = RecordRefused::OtherPeer { expected: stranger_peer(), got: peer(5) };
        assert_eq!(refused(world, &siege), Some(expected));
        assert_eq!(of(world, siege.victim).solo.host().manager().addresses_of(&peer(5)).count(), 0);
        Ok(())
    });
}

#[test]
fn a_record_about_another_peer_under_its_own_signature_is_refused_with_the_reason() {
    check(0..3, |world| {
        let siege = siege(
            world,
            secs(2),
            says(|own| {
                with_record(own, {
                    // `seal` makes no such thing: the record of another, in an envelope of ours.
                    let payload = PeerRecord::new(peer(5), 1, Vec::new()).seal(&keypair(5)).unwrap().payload().clone();
                    tidewire_core::SignedEnvelope::seal(own, "libp2p-peer-record", &[0x03, 0x01], &payload)
                        .unwrap()
                        .as_bytes()
                        .clone()
                })
            }),
        );
        assert!(matches!(refused(world, &siege), Some(RecordRefused::Invalid(_))), "{:?}", siege.identified(world));
        Ok(())
    });
}

#[test]
fn a_record_that_is_replayed_is_refused_with_the_reason() {
    check(0..3, |world| {
        let mut pushed = false;
        let stranger = Stranger::new(stranger_key(), victim(), move |now, told, line| match told {
            Told::Event(connection::Event::Negotiated { id, protocol, by: StreamBy::Remote, .. })
                if *protocol == IDENTIFY =>
            {
                let says = with_record(&line.keypair, record(&line.keypair, 10, stranger_peer()));
                line.say(*id, &says);
            }
            Told::Tick if !std::mem::replace(&mut pushed, true) => {
                let says = with_record(&line.keypair, record(&line.keypair, 9, stranger_peer()));
                let id = line.open(now, PUSH).unwrap();
                line.say(id, &says);
            }
            _ => {}
        });
        let siege = siege(world, secs(2), stranger.every(millis(500)));
        assert_eq!(refused(world, &siege), Some(RecordRefused::Stale { known: 10, got: 9 }));
        Ok(())
    });
}

#[test]
fn who_never_answers_identify_is_told_to_the_application_and_stays() {
    check(0..3, |world| {
        let stranger = Stranger::new(stranger_key(), victim(), |_, told, line| {
            if let Told::Event(connection::Event::Readable(id)) = told {
                line.echo(*id);
            }
        });
        let siege = siege(world, secs(10), stranger);
        let why = siege.identify_failed(world).ok_or("nothing was told")?;
        assert!(why.contains("5"), "{why}");
        siege.goes_on(world, secs(30));
        assert!(siege.is_connected(world), "it answers pings, so it stays: {:?}", closed(world, siege.victim));
        siege.uses_at_most(world, 256 * KIB);
        Ok(())
    });
}
