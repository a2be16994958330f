//! The laws of every machine.

use super::*;
use tidewire_core::laws::{EventSubject, Limits, Step, Transcript, check_events};

/// A world that answers at once; or a deaf one, in which answers come as the script says.
struct Subject {
    deaf: bool,
}

#[derive(Clone)]
enum Told {
    Server(u8),
    Gone(u8),
    Addresses(&'static [&'static str]),
    Network,
    Failed(u64),
    Nonce(u64),
    /// The nonce of this question comes.
    Heard(u64),
    Answered(u64, DialStatus),
}

impl EventSubject for Subject {
    type Machine = Client;
    type Input = Told;

    fn machine(&self) -> Client {
        Client::new(ClientConfig::default(), &Seed::new([5; 32]))
    }

    fn apply(&self, client: &mut Client, now: Time, told: &Told) -> Result<(), ClientMisuse> {
        let local = addr(BEHIND_NAT);
        match told {
            Told::Server(n) => {
                client.handle(now, ClientInput::Server { connection: ConnectionId((*n).into()), peer: peer(*n) })
            }
            Told::Gone(n) => client.handle(now, ClientInput::ServerGone { connection: ConnectionId((*n).into()) }),
            Told::Addresses(texts) => {
                let addresses: Vec<Multiaddr> = texts.iter().map(addr).collect();
                client.handle(now, ClientInput::Addresses(&addresses))
            }
            Told::Network => client.handle(now, ClientInput::NetworkChanged),
            Told::Failed(ask) => client.handle(now, ClientInput::Failed { ask: AskId(*ask) }),
            Told::Answered(ask, dial) => {
                let answer = Answer::Probed(Response::dialed(0, *dial));
                // Whom it asked is drawn, so the question may not be open. An answer to none changes nothing; it must not be
                // noted, since it is said at once, and actions that nobody polled come later.
                match client.handle(now, ClientInput::Answered { ask: AskId(*ask), answer: &answer }) {
                    Err(ClientMisuse::UnknownAsk { .. }) => Ok(()),
                    done => done,
                }
            }
            Told::Heard(ask) => {
                let nonce = client.asks.get(&AskId(*ask)).map_or(0, |asking| asking.nonce);
                self.apply(client, now, &Told::Nonce(nonce))
            }
            Told::Nonce(nonce) => {
                let on = HeardOn { inbound: true, since: now, local: &local };
                client.handle(now, ClientInput::DialBackHeard { stream: stream(5), on, nonce: *nonce })
            }
        }
    }

    fn on_action(&self, client: &mut Client, now: Time, action: ClientAction, seen: &mut Transcript) {
        seen.note(&action);
        if self.deaf {
            return;
        }
        let (local, mut tell) = (addr(BEHIND_NAT), |input| client.handle(now, input).unwrap());
        match action {
            ClientAction::Ask { ask, what: Ask::Probe { nonce, .. }, .. } => match ask.0 % 5 {
                0 | 1 => {
                    let on = HeardOn { inbound: true, since: now, local: &local };
                    tell(ClientInput::DialBackHeard { stream: stream(1), on, nonce });
                    let answer = Answer::Probed(Response::dialed(0, DialStatus::OK));
                    tell(ClientInput::Answered { ask, answer: &answer });
                }
                2 => tell(ClientInput::Answered { ask, answer: &Answer::CostAsked { index: 0, bytes: 40_000 } }),
                3 => {
                    let answer = Answer::Probed(Response::dialed(0, DialStatus::OK));
                    tell(ClientInput::Answered { ask, answer: &answer });
                }
                _ => {}
            },
            ClientAction::Pay { ask } => {
                let answer = Answer::Probed(Response::dialed(0, DialStatus::DIAL_ERROR));
                tell(ClientInput::Answered { ask, answer: &answer });
            }
            _ => {}
        }
    }
}

#[test]
fn it_keeps_the_laws_while_answers_come_at_any_time() {
    let script = [
        Step::Input(Told::Addresses(&[PUBLIC, OTHER])),
        Step::Input(Told::Server(1)),
        Step::Input(Told::Server(2)),
        Step::Input(Told::Heard(0)),
        Step::Input(Told::Answered(1, DialStatus::DIAL_ERROR)),
        Step::Input(Told::Server(3)),
        Step::Input(Told::Answered(0, DialStatus::OK)),
        Step::Input(Told::Answered(2, DialStatus::OK)),
        Step::Wait(3 * SECOND),
        Step::Input(Told::Heard(2)),
        Step::Input(Told::Nonce(5)),
        Step::Wait(117 * SECOND),
        Step::Input(Told::Heard(3)),
        Step::Input(Told::Answered(3, DialStatus::DIAL_BACK_ERROR)),
        Step::Input(Told::Network),
        Step::Wait(20_000 * SECOND),
    ];
    let limits = Limits { memory: 64 * 1024, ..Limits::default() };
    check_events(&Subject { deaf: true }, &script, limits).unwrap();
}

#[test]
fn it_keeps_the_laws_in_a_world_that_answers() {
    let script = [
        Step::Input(Told::Addresses(&[PUBLIC, OTHER])),
        Step::Input(Told::Server(1)),
        Step::Input(Told::Server(2)),
        Step::Input(Told::Server(3)),
        Step::Wait(400 * SECOND),
        Step::Input(Told::Gone(1)),
        Step::Input(Told::Failed(4)),
        Step::Input(Told::Nonce(12)),
        Step::Input(Told::Server(4)),
        Step::Wait(4000 * SECOND),
        Step::Input(Told::Network),
        Step::Wait(20 * SECOND),
        Step::Input(Told::Addresses(&[OTHER])),
        Step::Wait(20_000 * SECOND),
    ];
    // In what order a world hears what was not polled at once is its own affair.
    let limits = Limits { memory: 64 * 1024, may_merge: true, ..Limits::default() };
    check_events(&Subject { deaf: false }, &script, limits).unwrap();
}
