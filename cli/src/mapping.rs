//! What is told of ports that the router leads to us: `--port-mapping`.

use crate::output::{Output, Style, one_line, span};
use serde::Serialize;
use std::time::Duration;
use tidewire_core::Multiaddr;
use tidewire_host::addresses::PortMapping;
use tidewire_tokio::PortMapConfig;

/// What to do where a router gives no port.
const ADVICE: &str = "what may help: switch it on at the router, or forward the port by hand and give --announce";
/// The ends of failures that no router has a part in, and that say themselves what helps.
const SAY_IT: [&str; 2] = ["listen there, or on all addresses", "see `mapper.max_mappings`"];

/// A line of `--json`.
#[derive(Debug, Serialize)]
struct Line {
    event: &'static str,
    /// `mapped`, `lost` or `failed`. That it was renewed in time is not worth a word.
    port_mapping: &'static str,
    /// Where we listen.
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<String>,
    /// Where the router is reached for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    external: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// Whether the internet can reach that: there may be another NAT behind the router.
    #[serde(skip_serializing_if = "Option::is_none")]
    public: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What to do, where the error does not say it itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
}

/// Says that it is begun, and how: a router that keeps silent is only known by that after a while.
pub(crate) fn begin(output: &Output, config: &PortMapConfig) {
    if !output.json {
        let upnp = upnp_after(config).map_or_else(String::new, |after| format!(", and UPnP after {}", span(after)));
        output.line(output.paint(Style::Dim, &format!("port mapping: asks the router, by PCP and NAT-PMP{upnp}")));
    }
}

/// How long a router may keep silent before it is asked by UPnP; `None`: it never is.
#[cfg(feature = "upnp")]
fn upnp_after(config: &PortMapConfig) -> Option<Duration> {
    config.upnp.as_ref().map(|upnp| upnp.after).filter(|after| *after < Duration::MAX)
}

#[cfg(not(feature = "upnp"))]
const fn upnp_after(_: &PortMapConfig) -> Option<Duration> {
    None
}

fn advice(why: &str) -> Option<&'static str> {
    (!SAY_IT.iter().any(|end| why.ends_with(end))).then_some(ADVICE)
}

/// A line for programs.
pub(crate) fn object(output: &Output, word: &PortMapping) {
    output.event_object(&of(word));
}

fn of(word: &PortMapping) -> Line {
    let text = |address: &Multiaddr| Some(address.to_string());
    let mut line = Line {
        event: "port_mapping",
        port_mapping: "other",
        listen: None,
        external: None,
        by: None,
        public: None,
        error: None,
        advice: None,
    };
    match word {
        PortMapping::Mapped { listen, external, by } => {
            line.port_mapping = "mapped";
            (line.listen, line.external) = (text(listen), text(external));
            (line.by, line.public) = (Some(by.to_string()), Some(external.is_public()));
        }
        PortMapping::Lost { external, why } => {
            line.port_mapping = "lost";
            (line.external, line.error) = (text(external), Some(one_line(why)));
        }
        PortMapping::Failed { listen, why } => {
            line.port_mapping = "failed";
            (line.listen, line.error, line.advice) = (text(listen), Some(one_line(why)), advice(why));
        }
        other => line.error = Some(one_line(&other.to_string())),
    }
    line
}

/// A line for people.
pub(crate) fn line(output: &Output, word: &PortMapping) -> String {
    let words = one_line(&word.to_string());
    match word {
        PortMapping::Mapped { external, .. } if external.is_public() => {
            format!("{} {words}", output.paint(Style::Green, "mapped:"))
        }
        PortMapping::Mapped { .. } => format!("{} {words}", output.paint(Style::Yellow, "mapped:")),
        PortMapping::Failed { listen, why, .. } => {
            let advice = advice(why).map_or_else(String::new, |advice| format!("; {advice}"));
            format!("{} {listen}: {}{advice}", output.paint(Style::Yellow, "not mapped:"), one_line(why))
        }
        _ => format!("{} {words}", output.paint(Style::Yellow, "mapped no more:")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    fn mapped(external: &str) -> PortMapping {
        PortMapping::Mapped { listen: at("/ip4/192.168.1.7/tcp/4001"), external: at(external), by: "PCP".into() }
    }

    fn lost(why: &str) -> PortMapping {
        PortMapping::Lost { external: at("/ip4/8.8.8.8/tcp/4001"), why: why.into() }
    }

    fn failed() -> PortMapping {
        PortMapping::Failed { listen: at("/ip4/192.168.1.7/tcp/4001"), why: "no\n; tried again in 60 s".into() }
    }

    #[test]
    fn programs_are_told_what_came_of_it_and_whether_it_is_of_use() {
        let json = |word: &PortMapping| serde_json::to_string(&of(word)).unwrap();
        let head = r#"{"event":"port_mapping","port_mapping":"#;
        let table = [
            (
                json(&mapped("/ip4/8.8.8.8/tcp/4001")),
                r#""mapped","listen":"/ip4/192.168.1.7/tcp/4001","external":"/ip4/8.8.8.8/tcp/4001","by":"PCP","public":true}"#,
            ),
            (
                json(&mapped("/ip4/10.0.0.2/tcp/4001")),
                r#""mapped","listen":"/ip4/192.168.1.7/tcp/4001","external":"/ip4/10.0.0.2/tcp/4001","by":"PCP","public":false}"#,
            ),
            (json(&lost("it ended")), r#""lost","external":"/ip4/8.8.8.8/tcp/4001","error":"it ended"}"#),
            (
                json(&failed()),
                r#""failed","listen":"/ip4/192.168.1.7/tcp/4001","error":"no\\n; tried again in 60 s","advice":"ADVICE"}"#,
            ),
        ];
        for (said, rest) in table {
            assert_eq!(said, format!("{head}{}", rest.replace("ADVICE", ADVICE)));
        }
    }

    #[test]
    fn a_failure_that_says_itself_what_helps_has_no_advice() {
        let listen = at("/ip4/10.0.0.7/tcp/4001");
        for end in SAY_IT {
            let word = PortMapping::Failed { listen: listen.clone(), why: format!("it is so: {end}").into() };
            assert_eq!(of(&word).advice, None);
            let said = line(&Output::new(false), &word);
            assert!(said.ends_with(&format!("it is so: {end}")), "{said}");
        }
    }

    #[test]
    fn people_are_told_what_to_do() {
        let output = Output::new(false);
        let table = [
            (
                mapped("/ip4/8.8.8.8/tcp/4001"),
                "mapped: the router leads /ip4/8.8.8.8/tcp/4001 to /ip4/192.168.1.7/tcp/4001 (PCP)",
            ),
            (lost("it ended"), "mapped no more: /ip4/8.8.8.8/tcp/4001 does not lead to us any more: it ended"),
            (failed(), "not mapped: /ip4/192.168.1.7/tcp/4001: no\\n; tried again in 60 s; ADVICE"),
        ];
        for (word, said) in table {
            assert_eq!(line(&output, &word), said.replace("ADVICE", ADVICE));
        }
        let nat = line(&output, &mapped("/ip4/10.0.0.2/tcp/4001"));
        assert!(nat.ends_with("10.0.0.2 is not on the internet: there is another NAT behind that router"), "{nat}");
    }
}
