//! Askers and responders keep the laws.

use super::wire::{Hop, HopType, Limits, Stop, framed};
use super::*;
use core::ops::ControlFlow;
use core::time::Duration;
use tidewire_core::laws::{App, ByteSubject, Limits as Caps, Step, check_bytes};

const CAPS: Caps = Caps { memory: 4096, tx: 4200, places: 128, may_merge: false };

/// An asker that is called on after its answer.
struct Asks(Ask);

impl ByteSubject for Asks {
    type Machine = Asker;

    fn machine(&self) -> Asker {
        asker(&self.0)
    }

    fn on_output(&self, app: App<'_, Asker>, output: Answer) -> ControlFlow<()> {
        app.seen.note(output);
        app.seen.note(app.machine.is_circuit());
        ControlFlow::Continue(())
    }
}

/// A responder that answers everything with yes, and is called on.
struct Answers(Service);

impl ByteSubject for Answers {
    type Machine = Responder;

    fn machine(&self) -> Responder {
        responder(self.0)
    }

    fn on_output(&self, app: App<'_, Responder>, output: Request) -> ControlFlow<()> {
        let limit = Limit { duration: Some(Duration::from_secs(120)), data: Some(1 << 17) };
        let expire = UnixTime::from_secs(1_900_000_000);
        let addresses = alloc::vec![address("/ip4/192.0.2.1/tcp/4001")];
        let reply = match &output {
            Request::Reserve => Reply::Reserved { expire, addresses, limit },
            Request::Connect { .. } => Reply::Connected { limit },
            _ => Reply::Accepted,
        };
        app.seen.note(output);
        app.seen.note(app.machine.reply(app.now, &reply, None, app.tx));
        app.seen.note(app.machine.is_circuit());
        ControlFlow::Continue(())
    }
}

/// The message, something for the circuit, and time.
fn script(message: &BytesMut) -> [Step; 4] {
    [
        Step::Wait(Duration::from_secs(1)),
        Step::bytes(message),
        Step::bytes(b"the circuit's"),
        Step::Wait(Duration::from_secs(100)),
    ]
}

#[test]
fn askers_keep_the_laws() {
    let here = address("/ip4/192.0.2.1/tcp/4001").with_peer_id(peer(RELAY)).unwrap();
    let limits = Limits { duration: Some(120), data: Some(1 << 17) };
    let reserved = Hop { limit: Some(limits), ..Hop::reserved(1_900_000_000, &[here]) };
    let connect = Ask::Connect { destination: peer(OTHER) };
    let stop = Ask::Stop { source: peer(OTHER), limit: Limit::UNLIMITED };
    check_bytes(&Asks(Ask::Reserve), &script(&framed(&reserved)), CAPS).unwrap();
    check_bytes(&Asks(connect.clone()), &script(&framed(&Hop::saying(Status::OK))), CAPS).unwrap();
    check_bytes(&Asks(connect), &script(&framed(&Hop::saying(Status::NO_RESERVATION))), CAPS).unwrap();
    check_bytes(&Asks(stop), &script(&framed(&Stop::saying(Status::OK))), CAPS).unwrap();
}

#[test]
fn responders_keep_the_laws() {
    check_bytes(&Answers(Service::Hop), &script(&framed(&Hop::of(HopType::Reserve))), CAPS).unwrap();
    check_bytes(&Answers(Service::Hop), &script(&framed(&Hop::connect(peer(OTHER)))), CAPS).unwrap();
    check_bytes(&Answers(Service::Stop), &script(&framed(&Stop::connect(peer(OTHER)))), CAPS).unwrap();
}

#[test]
fn silence_keeps_the_laws() {
    let wait = [Step::Wait(Duration::from_secs(200))];
    check_bytes(&Asks(Ask::Reserve), &wait, CAPS).unwrap();
    check_bytes(&Answers(Service::Hop), &wait, CAPS).unwrap();
    check_bytes(&Answers(Service::Stop), &wait, CAPS).unwrap();
}
