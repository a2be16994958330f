use super::*;
use std::collections::BTreeSet;
use std::time::Duration;
use tidewire_adapter::PortMapConfig;
use tidewire_host::record::RecordConfig;
use tidewire_relay::autonat::{v1, v2};
use tidewire_relay::autorelay::AutoRelayConfig;
use tidewire_relay::server::ServerConfig;

/// Where the fields of each table stand, and what is no setting in it.
const SOURCES: &[(&str, &str, &str)] = &[
    ("", "adapters/common/src/config.rs", "NodeConfig"),
    ("host", "host/src/config.rs", "Config"),
    ("host.manager", "connmgr/src/config.rs", "Config"),
    ("host.manager.worth", "connmgr/src/worth/config.rs", "WorthConfig"),
    ("host.manager.limits", "connmgr/src/limits/config.rs", "LimitsConfig"),
    ("host.manager.dial", "connmgr/src/dial/config.rs", "DialConfig"),
    ("host.manager.dial.delays", "connmgr/src/dial/config.rs", "Delays"),
    ("host.manager.duplicates", "connmgr/src/duplicates/config.rs", "DuplicatesConfig"),
    ("host.manager.keep_alive", "connmgr/src/alive/config.rs", "KeepAliveConfig"),
    ("host.manager.reconnect", "connmgr/src/alive/config.rs", "ReconnectConfig"),
    ("host.manager.metadata", "connmgr/src/metadata/config.rs", "MetadataConfig"),
    ("host.addresses", "host/src/addresses/mod.rs", "Config"),
    ("host.addresses.observed", "host/src/addresses/observed.rs", "ObservedConfig"),
    ("host.addresses.policy", "host/src/addresses/advertise.rs", "Policy"),
    ("host.relay", "host/src/config.rs", "Relaying"),
    ("host.relay.client", "relay/src/client/config.rs", "ClientConfig"),
    ("host.relay.server", "relay/src/server/config.rs", "ServerConfig"),
    ("host.relay.server.limit", "relay/src/limit.rs", "Limit"),
    ("host.relay.server.reserve_per_peer", "relay/src/rate.rs", "RateConfig"),
    ("host.relay.server.reserve_per_network", "relay/src/rate.rs", "RateConfig"),
    ("host.relay.server.connect_per_peer", "relay/src/rate.rs", "RateConfig"),
    ("host.relay.server.connect_per_network", "relay/src/rate.rs", "RateConfig"),
    ("host.relay.auto_relay", "relay/src/autorelay/config.rs", "AutoRelayConfig"),
    ("host.relay.autonat_v1", "relay/src/autonat/v1/client/config.rs", "ClientConfig"),
    ("host.relay.autonat_v2", "relay/src/autonat/v2/client/config.rs", "ClientConfig"),
    ("host.relay.autonat_v1_server", "relay/src/autonat/v1/server/config.rs", "ServerConfig"),
    ("host.relay.autonat_v1_server.rate", "relay/src/rate.rs", "RateConfig"),
    ("host.relay.autonat_v1_server.peer_rate", "relay/src/rate.rs", "RateConfig"),
    ("host.relay.autonat_v2_server", "relay/src/autonat/v2/server/config.rs", "ServerConfig"),
    ("host.relay.autonat_v2_server.rate", "relay/src/rate.rs", "RateConfig"),
    ("host.relay.autonat_v2_server.peer_rate", "relay/src/rate.rs", "RateConfig"),
    ("host.punching", "dcutr/src/coordinator/config.rs", "Config"),
    ("host.punching.addresses", "dcutr/src/candidate.rs", "Config"),
    ("record", "host/src/record/recorder.rs", "RecordConfig"),
    ("port_mapping", "adapters/common/src/portmap/mod.rs", "PortMapConfig"),
    ("port_mapping.mapper", "portmap/src/mapper/config.rs", "MapperConfig"),
    #[cfg(feature = "upnp")]
    ("port_mapping.upnp", "adapters/common/src/portmap/upnp.rs", "UpnpConfig"),
    ("link", "host/src/link/config.rs", "LinkConfig"),
    ("link.relay", "relay/src/exchange/config.rs", "Config"),
    ("link.dcutr", "dcutr/src/exchange/config.rs", "Config"),
    ("link.identify", "host/src/identify/mod.rs", "Config"),
    ("link.ping", "host/src/ping/mod.rs", "Config"),
    ("upgrade", "upgrade/src/pipeline/config.rs", "Config"),
    ("upgrade.multistream", "multistream/src/config.rs", "Config"),
    ("upgrade.muxer", "upgrade/src/muxer/any.rs", "MuxerConfig"),
    ("upgrade.muxer.yamux", "upgrade/src/muxer/yamux/config.rs", "Config"),
    ("upgrade.muxer.mplex", "upgrade/src/muxer/mplex/config.rs", "Config"),
    ("upgrade.connection", "upgrade/src/connection/mod.rs", "Config"),
    ("upgrade.connection.negotiation", "multistream/src/config.rs", "Config"),
];
/// A file of its own behind --psk, what the node itself serves, a table of all autonomous systems, what --auto-relay names; and
/// what this program may be built without.
const NO_SETTINGS: &[&str] = &[
    "upgrade.psk",
    "upgrade.connection.router",
    "asns",
    "host.relay.auto_relay.static_relays",
    #[cfg(not(feature = "upnp"))]
    "port_mapping.upnp",
];

fn fields(file: &str, name: &str) -> Option<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let source = std::fs::read_to_string(root.join(file)).ok()?;
    let (_, behind) = source.split_once(&format!("pub struct {name} {{\n"))?;
    let (body, _) = behind.split_once("\n}")?;
    let fields = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'));
    Some(fields.map(|(field, _)| field.to_owned()).collect())
}

fn default() -> NodeConfig {
    NodeConfig::default()
}

fn read_text(text: &str) -> Result<NodeConfig, String> {
    let table = DeTable::parse(text).unwrap();
    let mut config = default();
    take(table.get_ref(), &mut config).map(|()| config).map_err(|(at, why)| {
        let line = line(text, at);
        format!("{line}: {why}")
    })
}

#[test]
fn every_field_of_every_config_is_in_the_file_and_nothing_else() {
    let mut wanted = BTreeSet::new();
    let tables: BTreeSet<&str> = SOURCES.iter().map(|(key, ..)| *key).collect();
    for (key, file, name) in SOURCES {
        let fields = fields(file, name).unwrap_or_else(|| panic!("{name} is not in {file}"));
        assert!(!fields.is_empty(), "{name} in {file} has no fields");
        wanted.extend(fields.iter().map(|field| join(key, field)).filter(|path| !tables.contains(path.as_str())));
    }
    wanted.retain(|path| !NO_SETTINGS.contains(&path.as_str()));
    let there: BTreeSet<String> =
        sections().iter().flat_map(|s| s.entries.iter().map(|entry| join(s.key, entry.name))).collect();
    assert_eq!(wanted.difference(&there).collect::<Vec<_>>(), Vec::<&String>::new(), "missing in cli/src/settings");
    assert_eq!(there.difference(&wanted).collect::<Vec<_>>(), Vec::<&String>::new(), "in no struct, or not in SOURCES");
    assert!(there.len() > 140, "{}", there.len());
}

#[test]
fn every_struct_whose_name_says_configuration_is_looked_at() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut missing = Vec::new();
    let folders = [
        "host/src",
        "connmgr/src",
        "relay/src",
        "upgrade/src/muxer",
        "upgrade/src/pipeline",
        "upgrade/src/connection",
        "portmap/src",
        "adapters/common/src/portmap",
    ];
    for folder in folders {
        walk(&root.join(folder), &mut |path, source| {
            for line in source.lines().filter_map(|line| line.strip_prefix("pub struct ")) {
                let name = line.split(|c: char| !c.is_alphanumeric()).next().unwrap();
                let known = SOURCES.iter().any(|(_, file, known)| path.ends_with(file) && *known == name);
                if name.ends_with("Config") && !known && !NOT_OF_A_NODE.contains(&name) {
                    missing.push(format!("{name} in {}", path.display()));
                }
            }
        });
    }
    assert_eq!(missing, Vec::<String>::new());
}

/// Of machines that a node has not, or has inside under other numbers.
const NOT_OF_A_NODE: &[&str] = &[
    "SoloConfig",
    "SharedConfig",
    "ComponentsConfig",
    #[cfg(not(feature = "upnp"))]
    "UpnpConfig",
];

fn walk(folder: &Path, look: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, look);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            look(&path, &std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn what_is_printed_is_read_as_the_same() {
    let text = print(&default());
    let read = read_text(&text).unwrap();
    assert_eq!(print(&read), text);
    let mut expected = default();
    expected.record = Some(RecordConfig::default());
    expected.port_mapping = Some(PortMapConfig::default());
    let relay = &mut expected.host.relay;
    relay.server = Some(ServerConfig::default());
    relay.auto_relay = Some(AutoRelayConfig::default());
    relay.autonat_v1_server = Some(v1::ServerConfig::default());
    relay.autonat_v2_server = Some(v2::ServerConfig::default());
    assert_eq!(format!("{read:?}"), format!("{expected:?}"));
    assert!(text.lines().all(|line| line.chars().count() <= WIDTH + 1 || !line.starts_with('#')));
}

#[test]
fn every_setting_has_a_meaning() {
    for section in sections() {
        assert!(section.title.ends_with('.'), "{}", section.title);
        for entry in section.entries {
            assert!(entry.meaning.len() > 10 && !entry.meaning.contains("::"), "{}: {}", entry.name, entry.meaning);
        }
    }
}

#[test]
fn a_file_changes_what_is_in_it_and_leaves_the_rest() {
    let read = read_text(
        "host.identify = false\n[host.manager]\nlimits.established = 7\n[host.manager.keep_alive]\nidle = \"1m30s\"\n\
         [upgrade.muxer.yamux]\nmax_stream_window = \"1MiB\"\nkeep_alive = \"never\"\n",
    );
    let read = read.unwrap();
    assert!(!read.host.identify && read.host.push);
    assert_eq!(read.host.manager.limits.established, 7);
    assert_eq!(read.host.manager.keep_alive.idle, Some(Duration::from_secs(90)));
    assert_eq!(read.upgrade.muxer.yamux.max_stream_window, 1 << 20);
    assert_eq!(read.upgrade.muxer.yamux.keep_alive, None);
    assert_eq!(read.host.manager.limits.streams, default().host.manager.limits.streams);
}

#[test]
fn a_router_and_its_port_can_be_set() {
    let text = "[port_mapping]\ngateway = \"192.168.1.1\"\nannounced_at = \"off\"\nmapper.router_port = 1234\n";
    let read = read_text(text).unwrap().port_mapping.unwrap();
    assert_eq!(read.gateway, Some("192.168.1.1".parse().unwrap()));
    assert_eq!((read.announced_at, read.mapper.router_port), (None, 1234));
    assert_eq!(read.look, PortMapConfig::default().look);
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_what_was_meant() {
    let table = [
        ("\nhost.identfy = true", "2: there is no host.identfy; did you mean host.identify?"),
        (
            "[host.manager.limit]\nestablished = 1",
            "1: there is no host.manager.limit; did you mean host.manager.limits?",
        ),
        ("[host]\nestablished = 1", "2: there is no host.established; did you mean host.manager.limits.established?"),
        ("nonsense = 1", "1: there is no nonsense; tidewire config prints"),
        ("host = 1", "1: host is a table: expected [host]"),
        ("[host.manager.limits]\n\nestablished = -1", "3: host.manager.limits.established: expected a whole number"),
        ("[host.manager.limits]\nestablished = 5_000_000_000", "2: host.manager.limits.established: expected a whole"),
        ("[upgrade]\ntimeout = 10", "2: upgrade.timeout: expected a time such as \"10s\""),
        ("[upgrade]\nmuxers = []", "2: upgrade.muxers: expected \"yamux\" or \"mplex\" at least"),
        ("[upgrade]\nmuxers = [\"qmux\"]", "2: upgrade.muxers: expected \"yamux\" or \"mplex\", got \"qmux\""),
        ("[port_mapping]\ngateway = \"router\"", "2: port_mapping.gateway: expected an IP address such as"),
        (
            "[port_mapping.mapper]\nrouter_port = 65536",
            "2: port_mapping.mapper.router_port: expected a whole number up to",
        ),
        ("[host.punching]\ntries = 0", "2: host.punching.tries: expected 1 to 100, got 0"),
        ("[host.punching]\n\ntries = 100000", "3: host.punching.tries: expected 1 to 100, got 100_000"),
        (
            "[host.punching]\npunch_timeout = \"never\"",
            "2: host.punching.punch_timeout: expected \"1ms\" to \"1h\", got",
        ),
        ("[host.punching.addresses]\nmax = 0", "2: host.punching.addresses.max: expected 1 to 256, got 0"),
        (
            "[host.punching]\nbackoff = \"1s\"\nwait_floor = \"2s\"",
            "3: host.punching.wait_floor is \"2s\", but host.punching.wait_cap, which it may not exceed, is \"1s\"",
        ),
        ("host.punching.wait_cap = \"50ms\"", "1: host.punching.wait_floor is \"100ms\", but host.punching.wait_cap"),
        ("[upgrade]\nearly_muxer = \"yes\"", "2: upgrade.early_muxer: expected true or false, got \"yes\""),
    ];
    for (text, part) in table {
        let said = read_text(text).unwrap_err();
        assert!(said.starts_with(part), "{text:?}: {said}");
    }
}

#[test]
fn distances_are_those_of_levenshtein() {
    for (a, b, far) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("limits", "limit", 1)] {
        assert_eq!((distance(a, b), distance(b, a)), (far, far), "{a} {b}");
    }
}
