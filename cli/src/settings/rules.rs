//! A relay's rules, one text each: `deny reserve 10.0.0.0/8`, `allow connect anybody to 12D3..`.

use super::Value;
use super::value::{show_list, words};
use std::net::IpAddr;
use tidewire_core::PeerId;
use tidewire_relay::server::{Acl, AclRule, Scope, Verdict, Who};
use toml::de::DeValue;

/// What the application is to decide can't be said here: this program has nobody to ask.
const VERDICTS: [(&str, Verdict); 2] = [("allow", Verdict::Allow), ("deny", Verdict::Deny)];
const SCOPES: [(&str, Scope); 3] = [("any", Scope::Any), ("reserve", Scope::Reserve), ("connect", Scope::Connect)];

impl Value for Acl {
    fn show(&self) -> String {
        show_list(&self.rules, shown)
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let rules = words(value)?.into_iter().map(rule).collect::<Result<_, _>>()?;
        Ok(Acl { rules, otherwise: Verdict::Allow })
    }
}

fn shown(rule: &AclRule) -> String {
    let name = |known: Option<&&str>| known.map_or("ask", |name| *name).to_owned();
    let verdict = name(VERDICTS.iter().find(|(_, one)| *one == rule.verdict).map(|(name, _)| name));
    let scope = name(SCOPES.iter().find(|(_, one)| *one == rule.scope).map(|(name, _)| name));
    let who = match rule.who {
        Who::Anybody => "anybody".into(),
        Who::Peer(peer) => peer.to_string(),
        Who::Network { address, prefix } => format!("{address}/{prefix}"),
        Who::Asn(number) => format!("AS{number}"),
    };
    let to = rule.destination.map_or(String::new(), |peer| format!(" to {peer}"));
    format!("{verdict} {scope} {who}{to}")
}

fn rule(text: &str) -> Result<AclRule, String> {
    let wrong = || {
        format!(
            "expected a rule such as \"deny reserve 10.0.0.0/8\", \"allow connect anybody to PEER\" or \"deny any AS64500\"; got {text:?}"
        )
    };
    let parts: Vec<&str> = text.split_whitespace().collect();
    let (verdict, scope, who, destination) = match parts.as_slice() {
        [verdict, scope, who] => (verdict, scope, who, None),
        [verdict, scope, who, "to", peer] => (verdict, scope, who, Some(peer.parse::<PeerId>().map_err(|_| wrong())?)),
        _ => return Err(wrong()),
    };
    let verdict = VERDICTS.iter().find(|(name, _)| name == verdict).ok_or_else(wrong)?.1;
    let scope = SCOPES.iter().find(|(name, _)| name == scope).ok_or_else(wrong)?.1;
    if destination.is_some() && scope == Scope::Reserve {
        return Err(format!("{text:?}: a reservation leads to nobody; expected connect or any before \"to\""));
    }
    Ok(AclRule { verdict, scope, who: asker(who).ok_or_else(wrong)?, destination })
}

fn asker(word: &str) -> Option<Who> {
    if word == "anybody" {
        return Some(Who::Anybody);
    }
    if let Some(number) = word.strip_prefix("AS") {
        return number.parse().ok().map(Who::Asn);
    }
    if let Some((address, prefix)) = word.split_once('/') {
        let (address, prefix): (IpAddr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
        return (prefix <= if address.is_ipv4() { 32 } else { 128 }).then_some(Who::Network { address, prefix });
    }
    word.parse().ok().map(Who::Peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWETJFK6QvpZyZe6xT47VCyau57ucKL36dCCovkzLjNuSY";

    #[test]
    fn rules_are_read_as_they_are_written() {
        for text in [
            "deny reserve 10.0.0.0/8",
            "allow any anybody",
            "deny connect fd00::/8",
            "deny any AS64500",
            &format!("allow reserve {PEER}"),
            &format!("deny connect anybody to {PEER}"),
        ] {
            assert_eq!(shown(&rule(text).unwrap()), text);
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for wrong in [
            "",
            "deny",
            "forbid any anybody",
            "deny all anybody",
            "deny any 10.0.0.0/33",
            "deny any ASx",
            "ask any anybody",
            "deny any anybody to nobody",
            &format!("deny reserve anybody to {PEER}"),
        ] {
            assert!(rule(wrong).is_err(), "{wrong}");
        }
    }
}
