//! The picture of a committed recording, on the terminal and as a page.

use super::picture::Picture;
use super::words::Kind;
use super::{html, text};
use crate::output::Output;
use std::path::Path;
use tidewire_host::record::Replay;

const CONVERSATION: &[u8] = include_bytes!("../../../host/tests/recordings/conversation.tidewire");
const TROUBLES: &[u8] = include_bytes!("../../../host/tests/recordings/troubles.tidewire");

fn picture(file: &[u8]) -> Picture {
    Picture::of(Replay::new(file).unwrap())
}

fn drawn(file: &[u8], width: usize) -> Vec<String> {
    text::lines(&picture(file), width, &Output::new(true))
}

/// As it is committed; `TIDEWIRE_RECORD=1` writes it again, after a look at what changed.
fn golden(name: &str, lines: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let now = lines.join("\n") + "\n";
    if std::env::var_os("TIDEWIRE_RECORD").is_some_and(|value| value == "1") {
        std::fs::write(&path, &now).unwrap();
    }
    let then = std::fs::read_to_string(&path).unwrap_or_default();
    for (n, (then, now)) in then.lines().zip(now.lines()).enumerate() {
        assert_eq!(now, then, "line {} of {name}", n + 1);
    }
    assert_eq!(now.len(), then.len(), "{name}");
}

#[test]
fn a_conversation_is_drawn_as_it_is_committed() {
    golden("conversation.txt", &drawn(CONVERSATION, 110));
}

#[test]
fn troubles_are_drawn_with_their_reasons() {
    let lines = drawn(TROUBLES, 100);
    golden("troubles.txt", &lines);
    let all = lines.join("\n");
    for reason in ["connection refused", "a bad day", "misuse", "◷"] {
        assert!(all.contains(reason), "{reason}");
    }
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [60, 80, 110, 160] {
        for line in drawn(CONVERSATION, width).iter().chain(&drawn(TROUBLES, width)) {
            let closing = line.contains(" steps, replayed identically; ");
            assert!(closing || line.chars().count() <= width, "{width}: {line}");
        }
    }
}

#[test]
fn the_lines_of_columns_stand_below_each_other() {
    let lines = drawn(CONVERSATION, 110);
    let lane = lines[0].chars().collect::<String>().find("..").unwrap();
    let through = lines.iter().filter(|line| line.chars().nth(lane).is_some_and(|c| "│┤▶".contains(c))).count();
    assert!(through * 3 > lines.len(), "{through} of {}", lines.len());
}

#[test]
fn what_comes_from_a_peer_is_in_its_column_before_it_is_known_who_it_is() {
    let picture = picture(CONVERSATION);
    let connects = picture.rows.iter().find(|row| row.label.starts_with("connects")).unwrap();
    let column = &picture.columns[connects.column.unwrap()];
    assert!(column.id.starts_with("12D3KooW"), "{column:?}");
    assert_eq!(picture.columns.len(), 2);
    assert!(picture.good());
}

#[test]
fn a_picture_has_messages_timers_and_decisions() {
    let picture = picture(CONVERSATION);
    for kind in [Kind::In, Kind::Out, Kind::Wish, Kind::Driver, Kind::Timer, Kind::Event] {
        assert!(picture.rows.iter().any(|row| row.kind == kind), "{kind:?}");
    }
}

#[test]
fn more_peers_than_fit_share_the_last_column() {
    let mut picture = picture(CONVERSATION);
    let column = picture.columns[0].clone();
    for n in 0..40 {
        picture.columns.push(super::picture::Column { name: format!("..peer{n:04}"), id: column.id.clone() });
    }
    let mut row = picture.rows.iter().find(|row| row.kind == Kind::Out).unwrap().clone();
    row.column = Some(41);
    picture.rows.push(row);
    let lines = text::lines(&picture, 100, &Output::new(true));
    assert!(lines[0].contains("others"), "{}", lines[0]);
    assert!(lines.iter().any(|line| line.contains("..peer0039")));
    assert!(lines.iter().rev().skip(1).all(|line| line.chars().count() <= 100));
}

#[test]
fn a_page_is_well_formed_and_asks_nobody() {
    for file in [CONVERSATION, TROUBLES] {
        let page = html::page(&picture(file));
        for word in ["http://", "https://", "src=", "@import", "url(", "href="] {
            assert!(!page.contains(word), "{word}");
        }
        assert_eq!(balanced(&page), Ok(()));
        let data = page.split_once("id=\"data\">").unwrap().1.split_once("</script>").unwrap().0;
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert!(data["rows"].as_array().unwrap().len() > 30);
    }
}

#[test]
fn what_a_peer_calls_itself_can_not_break_out_of_a_page() {
    let mut picture = picture(CONVERSATION);
    picture.rows[0].detail = "</script><script>alert('&')</script><!-- @script@ @style@".into();
    let page = html::page(&picture);
    assert_eq!(page.matches("<script").count(), 2);
    assert!(!page.contains("alert('&')</script>") && page.contains(r"\u003c/script\u003e"));
    assert_eq!(balanced(&page), Ok(()));
    let data = page.split_once("id=\"data\">").unwrap().1.split_once("</script>").unwrap().0;
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["rows"][0]["detail"], picture.rows[0].detail);
}

#[test]
fn an_unbalanced_page_is_noticed() {
    assert!(balanced("<!DOCTYPE html><p><b></p></b>").is_err());
    assert!(balanced("<p>").is_err());
    assert_eq!(balanced("<p class=\"a\"><meta x><br></p>"), Ok(()));
}

/// Each element that is opened is closed, in order. What is in scripts and styles is no markup.
fn balanced(page: &str) -> Result<(), String> {
    const VOID: [&str; 4] = ["meta", "input", "br", "link"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, behind) = after.split_once('>').ok_or("a tag without end")?;
        rest = behind;
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap_or_default();
        if tag.starts_with('!') || VOID.contains(&name) {
            continue;
        }
        if tag.starts_with('/') {
            if open.pop() != Some(name) {
                return Err(format!("</{name}> closes nothing"));
            }
            continue;
        }
        open.push(name);
        if name == "script" || name == "style" {
            let end = format!("</{name}>");
            rest = &rest[rest.find(&end).ok_or(end)?..];
        }
    }
    if open.is_empty() { Ok(()) } else { Err(format!("open: {open:?}")) }
}

const PUNCH: &[u8] = include_bytes!("../../tests/golden/punch.trace");

fn simulated(file: &[u8], width: usize) -> Vec<String> {
    super::simulated::lines(&super::simulated::read(file).unwrap(), width, &Output::new(true))
}

#[test]
fn a_simulated_punch_is_drawn_packet_by_packet() {
    let lines = simulated(PUNCH, 110);
    golden("punch.txt", &lines);
    assert!(lines.iter().all(|line| line.chars().count() <= 110));
    let head = lines.iter().position(|line| line.trim_start().starts_with("h1  ")).unwrap();
    // Whose packet it is, though both ends have the same address inside.
    let sent: Vec<&String> = lines[head..].iter().filter(|line| line.contains("SYN seq 0 192.168.1.2:4001")).collect();
    let [early, second, first] = &sent[..] else { panic!("{sent:?}") };
    assert!(early.contains("├───────▶│        │        │        │"), "{early}");
    assert!(first.contains("├───────▶│        │        │        │"), "{first}");
    assert!(second.contains("│        │        │        │◀───────┤"), "{second}");
    assert!(lines.iter().any(|line| line.contains("✕") && line.contains("the NAT has no mapping for it")));
}

#[test]
fn a_simulated_world_of_many_fits_the_terminal_too() {
    let hosts: Vec<String> = (0..40).map(|n| format!("{{\"host\":\"h{n}\",\"addresses\":[\"11.0.0.{n}\"]}}")).collect();
    let record = |from: u32, to: u32| {
        format!(
            "{{\"at_ns\":5,\"what\":\"sent\",\"from\":\"11.0.0.{from}:1\",\"to\":\"11.0.0.{to}:2\",\"protocol\":\"udp\",\"len\":1}}\n"
        )
    };
    let file = format!(
        "{{\"tidewire_sim_trace\":1,\"seed\":7,\"why\":\"a\\u001b[2Jb {}\",\"hosts\":[{}],\"further\":1}}\n{}{}{{\"at_ns\":6,\"what\":\"unheard of\"}}\n",
        "Report { peer: 1,\\n }".repeat(40),
        hosts.join(","),
        record(0, 39),
        record(39, 3)
    );
    for width in [80, 110, 160] {
        let lines = simulated(file.as_bytes(), width);
        assert!(lines.iter().all(|line| !line.contains('\x1b')), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("others")), "{lines:#?}");
        assert!(lines[1].starts_with("it failed: a\\u{1b}[2Jb Report") && lines[1].ends_with(" .."), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("unheard of")), "{lines:#?}");
        assert!(lines.iter().all(|line| line.chars().count() <= width), "{lines:#?}");
    }
}

#[test]
fn what_is_wrong_with_a_simulators_file_is_said_with_its_line() {
    let head = "{\"tidewire_sim_trace\":1,\"seed\":7}\n";
    for (text, part) in [
        ("{\"tidewire_sim_trace\":2,\"seed\":7}\n".to_owned(), "format 2; this program reads format 1"),
        (format!("{head}{{\"at_ns\":1}}\n"), "line 2: missing field `what`"),
        (format!("{head}\n{{\"at_ns\":1,\"what\":\"sent\",\"from\":\"nobody\"}}\n"), "line 3:"),
        (format!("{head}{{\"at_ns\""), "line 2: EOF"),
    ] {
        assert!(super::simulated::is_one(text.as_bytes()), "{text}");
        let said = super::simulated::read(text.as_bytes()).unwrap_err();
        assert!(said.contains(part), "{text}: {said}");
    }
    assert!(
        !super::simulated::is_one(b"{\"seed\":7}")
            && !super::simulated::is_one(b"")
            && !super::simulated::is_one(CONVERSATION)
    );
}
