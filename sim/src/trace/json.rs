//! The trace as a file: see the docs of [`trace`](super). Written by hand, for a line of it is flat and its words are our own.

use super::{Change, Record, SEQUENCE_SPACE, Summary, Trace, What};
use crate::packet::Protocol;
use core::fmt::{self, Display, Write as _};
use std::io::{self, Write};

/// The format that is written.
pub(crate) const VERSION: u32 = 1;

/// What the first line says of the world.
#[derive(Debug, Default)]
pub(crate) struct Header {
    pub(crate) seed: u64,
    pub(crate) now_ns: u64,
    /// How the run failed.
    pub(crate) why: Option<String>,
    /// Name, addresses, the gateway that it is behind.
    pub(crate) hosts: Vec<(String, Vec<String>, Option<String>)>,
    pub(crate) gateways: Vec<(String, Vec<String>, Option<String>)>,
}

pub(crate) fn write(trace: &Trace, header: &Header, out: &mut impl Write) -> io::Result<()> {
    let left_out = trace.count().saturating_sub(trace.records().len() as u64);
    let mut line = String::new();
    let mut first = Object::new(&mut line);
    first.number("tidewire_sim_trace", VERSION).number("seed", header.seed).number("now_ns", header.now_ns);
    first.optional("why", header.why.as_ref()).number("left_out", left_out);
    first.raw("hosts", places("host", &header.hosts)).raw("gateways", places("gateway", &header.gateways));
    first.end();
    writeln!(out, "{line}")?;
    for record in trace.records() {
        line.clear();
        one(record, &mut line);
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn one(record: &Record, line: &mut String) {
    let mut object = Object::new(line);
    object.number("at_ns", record.at.as_nanos());
    match &record.what {
        What::Sent(packet) => object.text("what", "sent").packet(packet),
        What::Arrived(packet) => object.text("what", "arrived").packet(packet),
        What::Dropped(packet, why) => object.text("what", "lost").text("why", why).packet(packet),
        What::Translated(gateway, before, after) => {
            object.text("what", "translated").text("gateway", gateway).packet(after);
            object.text("was_from", before.from).text("was_to", before.to)
        }
        What::Answered(gateway, packet) => object.text("what", "answered").text("gateway", gateway).packet(packet),
        What::Host(host, change) => {
            object.text("what", "host").text("host", host).text("change", word(*change));
            match change {
                Change::AddressUp(address) | Change::AddressDown(address) => object.text("address", address),
                _ => &mut object,
            }
        }
        What::Note(host, text) => object.text("what", "note").text("host", host).text("text", text),
    };
    object.end();
}

const fn word(change: Change) -> &'static str {
    match change {
        Change::Started => "started",
        Change::Exited => "exited",
        Change::Killed => "killed",
        Change::PoweredOff => "powered-off",
        Change::AddressUp(_) => "address-up",
        Change::AddressDown(_) => "address-down",
    }
}

fn places(name: &str, of: &[(String, Vec<String>, Option<String>)]) -> String {
    let mut all = Vec::new();
    for (place, addresses, behind) in of {
        let mut line = String::new();
        let mut object = Object::new(&mut line);
        let addresses: Vec<String> = addresses.iter().map(|address| Quoted(address).to_string()).collect();
        object.text(name, place).raw("addresses", format!("[{}]", addresses.join(",")));
        object.optional("behind", behind.as_ref());
        object.end();
        all.push(line);
    }
    format!("[{}]", all.join(","))
}

/// A JSON object that is being written. Writing into a string can't fail.
struct Object<'a> {
    out: &'a mut String,
    any: bool,
}

impl<'a> Object<'a> {
    fn new(out: &'a mut String) -> Self {
        out.push('{');
        Object { out, any: false }
    }

    fn raw(&mut self, name: &str, value: impl Display) -> &mut Self {
        let comma = if core::mem::replace(&mut self.any, true) { "," } else { "" };
        let _ = write!(self.out, "{comma}\"{name}\":{value}");
        self
    }

    fn number(&mut self, name: &str, value: impl Into<u64>) -> &mut Self {
        self.raw(name, value.into())
    }

    fn text(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.raw(name, Quoted(value))
    }

    fn optional(&mut self, name: &str, value: Option<impl Display>) -> &mut Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    fn packet(&mut self, packet: &Summary) -> &mut Self {
        if let Some(icmp) = &packet.icmp {
            self.text("from", packet.from.ip()).text("to", packet.to.ip()).text("protocol", "icmp");
            self.text("says", icmp.code).number("code", icmp.code.code());
            self.text("about", icmp.protocol).text("about_from", icmp.from).text("about_to", icmp.to);
            return self;
        }
        self.text("from", packet.from).text("to", packet.to);
        match packet.segment {
            None => self.text("protocol", Lower(Protocol::Udp)),
            Some((flags, seq, ack, window)) => {
                self.text("protocol", Lower(Protocol::Tcp)).text("flags", flags).number("seq", seq % SEQUENCE_SPACE);
                if flags.ack {
                    self.number("ack", ack % SEQUENCE_SPACE).number("window", window);
                }
                self
            }
        }
        .number("len", packet.len as u64)
    }

    fn end(self) {
        self.out.push('}');
    }
}

struct Lower(Protocol);

impl Display for Lower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// A JSON string (RFC 8259 section 7).
struct Quoted<T>(T);

impl<T: Display> Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        write!(Escape(f), "{}", self.0)?;
        f.write_char('"')
    }
}

struct Escape<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escape<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|char| match char {
            '"' | '\\' => write!(self.0, "\\{char}"),
            '\n' => self.0.write_str("\\n"),
            char if u32::from(char) < 0x20 => write!(self.0, "\\u{:04x}", u32::from(char)),
            char => self.0.write_char(char),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(Quoted("a \"b\" \\ \n \u{1} ü").to_string(), "\"a \\\"b\\\" \\\\ \\n \\u0001 ü\"");
    }

    #[test]
    fn a_header_says_only_what_there_is_to_say() {
        let mut out = Vec::new();
        let hosts = vec![("h0".to_owned(), vec!["10.0.0.1".to_owned()], Some("g0".to_owned()))];
        let header = Header { seed: 7, now_ns: 5, hosts, ..Header::default() };
        write(&Trace::default(), &header, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"tidewire_sim_trace\":1,\"seed\":7,\"now_ns\":5,\"left_out\":0,\
             \"hosts\":[{\"host\":\"h0\",\"addresses\":[\"10.0.0.1\"],\"behind\":\"g0\"}],\"gateways\":[]}\n"
        );
    }
}
