//! The laws that every machine keeps.

use super::*;
use tidewire_core::laws::{EventSubject, Limits, Step, Transcript, check_events};

#[derive(Clone, Debug)]
enum Op {
    Gateway(Option<u8>),
    Map(u64, u16),
    Unmap(u64),
    Pcp { mapping: u64, code: u8, lifetime: u32, epoch: u32 },
    NatPmp { port: u16, code: u16, lifetime: u32, epoch: u32 },
    External { code: u16, epoch: u32, ip: u8 },
    Raw(Vec<u8>),
    Shutdown,
}

fn datagram(mapper: &Mapper, op: &Op) -> Vec<u8> {
    match op {
        Op::Pcp { mapping, code, lifetime, epoch } => {
            let known = mapper.mappings.get(&MappingId(*mapping));
            let (nonce, internal) = known.map_or(([0; 12], 9), |known| (known.nonce, known.port));
            let (code, lifetime, epoch, transport) = (PcpCode(*code), *lifetime, *epoch, Transport::Tcp);
            let external = SocketAddr::new(IpAddr::from([192, 0, 2, 33]), internal);
            Response::PcpMap { code, lifetime, epoch, nonce, transport, internal, external }.encode()
        }
        Op::NatPmp { port, code, lifetime, epoch } => {
            let (code, lifetime, epoch, transport) = (NatPmpCode(*code), *lifetime, *epoch, Transport::Tcp);
            Response::NatPmpMap { transport, code, epoch, internal: *port, external: *port, lifetime }.encode()
        }
        Op::External { code, epoch, ip } => {
            let external = [192, 0, 2, *ip].into();
            Response::NatPmpExternal { code: NatPmpCode(*code), epoch: *epoch, external }.encode()
        }
        Op::Raw(bytes) => bytes.clone(),
        Op::Gateway(_) | Op::Map(..) | Op::Unmap(_) | Op::Shutdown => vec![],
    }
}

fn apply(mapper: &mut Mapper, now: Time, op: &Op) -> Result<(), Misuse> {
    let datagram = datagram(mapper, op);
    let input = match op {
        Op::Gateway(gateway) => Input::Gateway(
            gateway.map(|n| Gateway { address: IpAddr::from([192, 168, 1, n]), local: IpAddr::from([192, 168, 1, 7]) }),
        ),
        Op::Map(mapping, port) => {
            Input::Map { mapping: MappingId(*mapping), transport: Transport::Tcp, port: *port, suggested: None }
        }
        Op::Unmap(mapping) => Input::Unmap { mapping: MappingId(*mapping) },
        Op::Shutdown => Input::Shutdown,
        _ => Input::Datagram { from: router_address(), datagram: &datagram },
    };
    mapper.handle(now, input)
}

struct Subject;

impl EventSubject for Subject {
    type Machine = Mapper;
    type Input = Op;

    fn machine(&self) -> Mapper {
        Mapper::new(MapperConfig { max_mappings: 3, ..MapperConfig::default() }, &Seed::new([5; 32]))
    }

    fn apply(&self, machine: &mut Mapper, now: Time, op: &Op) -> Result<(), Misuse> {
        apply(machine, now, op)
    }

    fn on_action(&self, _: &mut Mapper, _: Time, action: Action, seen: &mut Transcript) {
        seen.note(&action);
    }
}

#[test]
fn the_laws_hold_with_both_protocols() {
    let pcp = |mapping, code, lifetime, epoch| Op::Pcp { mapping, code, lifetime, epoch };
    let script = [
        Op::Map(1, 4001),
        Op::Gateway(Some(1)),
        pcp(1, 0, 600, 10),
        Op::Map(2, 4002),
        pcp(2, 8, 60, 11),
        Op::Unmap(1),
        pcp(1, 0, 0, 2),
        Op::Raw(vec![2, 0x80, 0, 0]),
        Op::Gateway(Some(2)),
        Op::Gateway(Some(1)),
        Op::NatPmp { port: 4002, code: 1, lifetime: 0, epoch: 5 },
        Op::External { code: 0, epoch: 5, ip: 33 },
        Op::NatPmp { port: 4002, code: 0, lifetime: 600, epoch: 6 },
        Op::External { code: 0, epoch: 0, ip: 34 },
        Op::Map(1, 4001),
        Op::Gateway(None),
        Op::Shutdown,
    ];
    for pause in [0, 1, 70, 400] {
        let pause = Duration::from_secs(pause);
        let steps: Vec<Step<Op>> = script.iter().flat_map(|op| [Step::Input(op.clone()), Step::Wait(pause)]).collect();
        check_events(&Subject, &steps, Limits { places: 64, ..Limits::default() }).unwrap();
    }
}
