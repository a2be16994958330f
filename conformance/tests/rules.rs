//! Every row of every table names tests that exist, or a reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use toml::{Table, Value};

/// RFC 2119, and SAYS for what a spec without such words merely describes.
const LEVELS: [&str; 6] = ["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "SAYS"];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// What is wrong with a table, one line each.
fn faults(text: &str, root: &Path) -> Vec<String> {
    let table = match text.parse::<Table>() {
        Ok(table) => table,
        Err(error) => return vec![format!("no TOML: {error}")],
    };
    let Some(rules) = table.get("rule").and_then(Value::as_array).filter(|rules| !rules.is_empty()) else {
        return vec!["expected at least one [[rule]]".into()];
    };
    let mut faults: Vec<String> = table
        .keys()
        .filter(|key| *key != "rule")
        .map(|key| format!("`{key}` is unknown: a table has only [[rule]] rows"))
        .collect();
    for (at, rule) in rules.iter().enumerate() {
        let asks = rule.get("asks").and_then(Value::as_str).unwrap_or("");
        let name = format!("row {} ({:?})", at + 1, asks.chars().take(60).collect::<String>());
        faults.extend(row_faults(rule, root).into_iter().map(|fault| format!("{name}: {fault}")));
    }
    faults
}

fn row_faults(rule: &Value, root: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for field in ["spec", "section", "level", "asks"] {
        if rule.get(field).and_then(Value::as_str).is_none_or(|text| text.trim().is_empty()) {
            faults.push(format!("`{field}` is missing or empty"));
        }
    }
    for key in rule.as_table().into_iter().flat_map(Table::keys) {
        if !["spec", "section", "level", "asks", "tests", "reason"].contains(&key.as_str()) {
            faults.push(format!("`{key}` is unknown"));
        }
    }
    if let Some(level) = rule.get("level").and_then(Value::as_str)
        && !LEVELS.contains(&level)
    {
        faults.push(format!("level {level:?} is none of {LEVELS:?}"));
    }
    match (rule.get("tests"), rule.get("reason")) {
        (Some(Value::Array(tests)), None) if !tests.is_empty() => {
            for test in tests {
                match test.as_str() {
                    Some(test) => faults.extend(missing(test, root)),
                    None => faults.push(format!("{test:?} is no \"path::function\"")),
                }
            }
        }
        (None, Some(Value::String(reason))) if !reason.trim().is_empty() => {}
        _ => faults.push("expected either `tests`, a list that is not empty, or `reason`, a text".into()),
    }
    faults
}

/// Why the test that is named does not exist; `None`: it does.
fn missing(test: &str, root: &Path) -> Option<String> {
    let Some((path, name)) = test.split_once("::") else {
        return Some(format!("{test:?} is no \"path::function\""));
    };
    let Ok(source) = fs::read_to_string(root.join(path)) else {
        return Some(format!("{test}: there is no file {path}"));
    };
    let name = name.rsplit("::").next().unwrap_or(name);
    // What is no Rust is a script of interop: a function there, or the name of a cell of its table.
    let found = if path.ends_with(".rs") {
        is_test(&source, name)
    } else {
        source.contains(&format!("def {name}(")) || source.contains(&format!("\"{name}\""))
    };
    (!found).then(|| format!("{test}: {path} has no test of that name"))
}

/// Whether `source` has a function `name` with `#[test]`, or a runtime's own, among its attributes.
fn is_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let function = format!("fn {name}(");
    let declares = |line: &str| line.strip_prefix("async ").unwrap_or(line).starts_with(&function);
    (0..lines.len()).filter(|at| declares(lines[*at])).any(|at| {
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with('#') || line.starts_with("//"));
        above.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

#[test]
fn every_row_names_tests_that_exist_or_a_reason() {
    let (mut tables, mut all) = (0, Vec::new());
    for entry in fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".toml") || name == "Cargo.toml" {
            continue;
        }
        tables += 1;
        let text = fs::read_to_string(&path).unwrap();
        all.extend(faults(&text, root()).into_iter().map(|fault| format!("conformance/{name}, {fault}")));
    }
    assert!(tables > 0, "no table was found");
    assert!(all.is_empty(), "{} faults:\n{}", all.len(), all.join("\n"));
}

#[test]
fn each_kind_of_broken_row_is_found() {
    let this = "conformance/tests/rules.rs";
    let row = |rest: &str| format!("[[rule]]\nspec = \"s\"\nsection = \"s\"\nlevel = \"MUST\"\nasks = \"a\"\n{rest}");
    let good = row(&format!("tests = [\"{this}::each_kind_of_broken_row_is_found\"]"));
    assert_eq!(faults(&good, root()), Vec::<String>::new());
    assert_eq!(faults(&row("reason = \"r\""), root()), Vec::<String>::new());

    let table = [
        ("spec = 1 2", "no TOML"),
        ("", "at least one [[rule]]"),
        (&format!("rules = 1\n{good}"), "`rules` is unknown"),
        (&good.replace("section = \"s\"", "section = \" \""), "`section` is missing or empty"),
        (&good.replace("asks = \"a\"\n", ""), "`asks` is missing or empty"),
        (&good.replace("MUST", "OUGHT"), "level \"OUGHT\" is none of"),
        (&row(""), "expected either"),
        (&row("tests = []"), "expected either"),
        (&row("reason = \"\""), "expected either"),
        (&format!("{good}\nreason = \"both\""), "expected either"),
        (&format!("{good}\nresaon = \"r\""), "`resaon` is unknown"),
        (&row("tests = [1]"), "is no \"path::function\""),
        (&row("tests = [\"no_separator\"]"), "is no \"path::function\""),
        (&row("tests = [\"core/nowhere.rs::x\"]"), "there is no file core/nowhere.rs"),
        (&row(&format!("tests = [\"{this}::not_there\"]")), "has no test of that name"),
        (&row(&format!("tests = [\"{this}::row_faults\"]")), "has no test of that name"),
    ];
    for (text, expected) in table {
        let found = faults(text, root());
        assert!(found.len() == 1 && found[0].contains(expected), "{text}\nexpected {expected:?}, found {found:?}");
    }
}
