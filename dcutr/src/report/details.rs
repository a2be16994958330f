//! A report line by line: everything that is in it, for a person who wants to know.

use super::{Dial, Report, Try};
use crate::candidate::{Candidate, Dropped};
use crate::nat::{Ports, TheirNat};
use crate::{Local, Plan};
use core::fmt;
use tidewire_core::Time;

/// All of a [`Report`] in lines, without an end of line behind the last: [`Report::details`].
#[derive(Clone, Copy, Debug)]
pub struct Details<'a>(pub(super) &'a Report);

impl fmt::Display for Details<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        write!(f, "{} as side {}: {report}", report.peer, report.side)?;
        if let Some(direct) = &report.direct {
            write!(f, "\nplain dials {} after the start", After(report, direct.started))?;
            dropped(f, &direct.dropped)?;
            further(f, direct.further)?;
            dials(f, report, &direct.dials)?;
        }
        for one in &report.tries {
            of_try(f, report, one)?;
        }
        for guess in &report.our_nat {
            write!(f, "\nour NAT, {}: {}", guess.path, guess.mapping)?;
            match guess.ports {
                Ports::Unknown if guess.changes_ports() => {
                    f.write_str("; it changes ports, and whether for each destination a second node would tell")?;
                }
                Ports::Unknown => {}
                Ports::Preserved => f.write_str(", the port that we have inside")?,
                Ports::Assigned => f.write_str(", a port of its own choice")?,
                Ports::Step { delta } => write!(f, ", {delta:+} each time")?,
                Ports::Random => f.write_str(", without an order")?,
            }
            for sight in &guess.evidence {
                write!(f, "\n  {} saw {} as {}", sight.observer, sight.local, sight.seen)?;
            }
        }
        match &report.their_nat {
            TheirNat::Unknown => Ok(()),
            TheirNat::PrivateOnly => f.write_str("\nthe peer's NAT: it named only private addresses"),
            TheirNat::OnePort { ip } => {
                write!(
                    f,
                    "\nthe peer's NAT: none, one port for all destinations, or few have seen it: it told one port at {ip}"
                )
            }
            TheirNat::SeveralPorts { ip, ports } => {
                write!(f, "\nthe peer's NAT: probably a new port per destination at {ip}: {ports:?}")
            }
        }
    }
}

fn of_try(f: &mut fmt::Formatter<'_>, report: &Report, one: &Try) -> fmt::Result {
    write!(f, "\ntry {} {} after the start", one.number, After(report, one.started))?;
    if let Some(rtt) = one.rtt {
        write!(f, ", round trip {} ms", rtt.as_millis())?;
    }
    if let Some(dialed) = one.dialed {
        write!(f, ", we dialed at {}", After(report, dialed))?;
    }
    if let Some(dialed) = one.dialed_by_them {
        write!(f, ", the peer probably at {}", After(report, dialed))?;
    }
    if let Some(fault) = &one.fault {
        write!(f, ", the exchange failed: {fault}")?;
    }
    candidates(f, "ours", &one.ours)?;
    candidates(f, "theirs", &one.theirs)?;
    dropped(f, &one.ours_dropped)?;
    dropped(f, &one.theirs_dropped)?;
    further(f, one.further)?;
    dials(f, report, &one.dials)
}

fn candidates(f: &mut fmt::Formatter<'_>, whose: &str, list: &[Candidate]) -> fmt::Result {
    for Candidate { address, source, local } in list {
        write!(f, "\n  {whose}: {address}, {source}")?;
        if let Some(local) = local {
            write!(f, ", leads to {local}")?;
        }
    }
    Ok(())
}

fn dropped(f: &mut fmt::Formatter<'_>, list: &[Dropped]) -> fmt::Result {
    list.iter().try_for_each(|Dropped { address, source, why }| write!(f, "\n  dropped: {address}, {source}: {why}"))
}

fn further(f: &mut fmt::Formatter<'_>, count: usize) -> fmt::Result {
    if count == 0 { Ok(()) } else { write!(f, "\n  dropped: {count} more") }
}

fn dials(f: &mut fmt::Formatter<'_>, report: &Report, list: &[Dial]) -> fmt::Result {
    for dial in list {
        write!(f, "\n  dialed: {}", dial.address)?;
        match (&dial.bound, &dial.local) {
            (Some(from), _) | (None, Local::Reuse(from)) => write!(f, " from {from}")?,
            (None, Local::Any) => f.write_str(" from any port")?,
        }
        match dial.plan {
            Plan::Initiate => f.write_str(", we propose")?,
            Plan::Respond => f.write_str(", we answer")?,
            Plan::ListenFirst { wait } => write!(f, ", we listen for {} ms, then propose", wait.as_millis())?,
        }
        write!(f, ": {}", dial.outcome)?;
        if let Some(ended) = dial.ended {
            write!(f, " at {}", After(report, ended))?;
        }
    }
    Ok(())
}

/// A moment, counted from the start of the attempt.
struct After<'a>(&'a Report, Time);

impl fmt::Display for After<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.1.since(self.0.started).as_millis())
    }
}
