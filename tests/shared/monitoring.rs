//! What is written of the metrics elsewhere (docs/metrics.md, the alerts, the dashboard), held against
//! what a service says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::exposition::Exposition;

/// Labels that a scrape adds.
const OF_THE_SCRAPE: [&str; 2] = ["job", "instance"];

fn file(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The table of docs/metrics.md has every metric with its type, labels and meaning, and no other.
#[track_caller]
pub fn the_documented_are_the_exposed(exposed: &Exposition) {
    let documented = documented();
    let names: BTreeSet<_> = documented.keys().map(String::as_str).collect();
    let given: BTreeSet<_> = exposed.families.keys().map(String::as_str).collect();
    let missing: Vec<_> = given.difference(&names).collect();
    let gone: Vec<_> = names.difference(&given).collect();
    assert!(missing.is_empty(), "not in docs/metrics.md: {missing:?}");
    assert!(gone.is_empty(), "only in docs/metrics.md: {gone:?}");
    for (name, family) in &exposed.families {
        let row = &documented[name];
        let labels: Vec<_> = family.labels.iter().map(|l| format!("`{l}`")).collect();
        let mut written: Vec<_> = row[1].split(", ").filter(|l| !l.is_empty()).collect();
        written.sort_unstable();
        assert_eq!(row[0], family.kind, "the type of {name}");
        assert_eq!(written, labels, "the labels of {name}");
        assert_eq!(format!("{}.", row[2]), family.help, "the meaning of {name}");
    }
}

/// By name: type, labels, meaning, alerts.
fn documented() -> BTreeMap<String, Vec<String>> {
    let text = file("docs/metrics.md");
    let rows = text.lines().filter(|line| line.starts_with("| `lineage_"));
    let rows = rows.map(|line| {
        let mut cells = line
            .trim_matches('|')
            .split('|')
            .map(|c| c.trim().to_owned());
        let name = cells.next().unwrap().trim_matches('`').to_owned();
        (name, cells.collect())
    });
    rows.collect()
}

/// The alerts that docs/metrics.md names are those of monitoring/alerts.yml.
#[track_caller]
pub fn the_documented_alerts_are_the_rules() {
    let rules = file("monitoring/alerts.yml");
    let rules = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let rules: BTreeSet<_> = rules.map(str::to_owned).collect();
    assert!(rules.len() > 5, "{rules:?}");
    let page = file("docs/metrics.md");
    let named = page.split(|c: char| !c.is_ascii_alphanumeric());
    let named = named.filter(|word| word.starts_with("Lineage") && word.len() > "Lineage".len());
    let named: BTreeSet<_> = named.map(str::to_owned).collect();
    assert_eq!(rules, named);
    let tested = file("monitoring/alerts.test.yml");
    for rule in &rules {
        let test = format!("alertname=\"{rule}\"");
        assert!(tested.contains(&test), "no test of {rule}");
    }
}

/// Every metric and label that the alerts and the dashboard use is one that the service gives; where
/// they ask for a value of a label, there is a sample with it.
#[track_caller]
pub fn the_used_are_exposed(exposed: &Exposition) {
    let mut labels: BTreeSet<_> = OF_THE_SCRAPE.map(str::to_owned).into();
    labels.extend(
        exposed
            .samples
            .iter()
            .flat_map(|s| s.labels.keys().cloned()),
    );
    let expressions = expressions();
    let mut seen = 0;
    for expression in &expressions {
        for used in selectors(expression) {
            seen += 1;
            let mut samples = exposed.samples.iter().filter(|s| s.name == used.name);
            let wanted = |sample: &super::exposition::Sample| {
                used.matchers.iter().all(|(label, value)| {
                    OF_THE_SCRAPE.contains(&label.as_str())
                        || sample
                            .labels
                            .get(label)
                            .is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
                })
            };
            assert!(samples.any(wanted), "{used:?} is not there: {expression}");
        }
        for label in grouped(expression) {
            assert!(labels.contains(&label), "no label {label}: {expression}");
        }
    }
    assert!(seen > 40, "only {seen} uses were found");
}

/// The rules' lines one by one, and all texts of the dashboard.
fn expressions() -> Vec<String> {
    let rules = file("monitoring/alerts.yml");
    let mut found: Vec<_> = rules.lines().map(str::to_owned).collect();
    let dashboard = file("monitoring/grafana/dashboards/lineage.json");
    texts(&serde_json::from_str(&dashboard).unwrap(), &mut found);
    found
}

fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

#[derive(Debug)]
struct Selector {
    name: String,
    /// A label, and the value that it must have if it is one that is written out.
    matchers: Vec<(String, Option<String>)>,
}

fn selectors(expression: &str) -> Vec<Selector> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (at, _) in expression.match_indices("lineage_") {
        if expression[..at].ends_with(is_name) {
            continue;
        }
        let rest = &expression[at..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let matchers = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let matchers = matchers.map_or("", |(matchers, _)| matchers).split(',');
        let matchers = matchers
            .filter(|matcher| !matcher.trim().is_empty())
            .map(|matcher| {
                let (label, value) = matcher.split_once('=').unwrap();
                let label = label.trim();
                let value = value.strip_prefix('"').filter(|_| !label.ends_with('!'));
                let value = value.map(|value| value.trim_end_matches('"').to_owned());
                (label.trim_end_matches('!').to_owned(), value)
            });
        found.push(Selector {
            name: name.to_owned(),
            matchers: matchers.collect(),
        });
    }
    found
}

/// Labels in `by (…)` and the like, and in what people read.
fn grouped(expression: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in ["by", "without", "on", "ignoring"] {
        for (_, rest) in expression
            .match_indices(&format!("{word} ("))
            .map(|(at, found)| (at, &expression[at + found.len()..]))
        {
            let (labels, _) = rest.split_once(')').unwrap();
            found.extend(labels.split(',').map(|label| label.trim().to_owned()));
        }
    }
    for (open, close) in [("{{", "}}"), ("$labels.", " ")] {
        for (at, _) in expression.match_indices(open) {
            let rest = &expression[at + open.len()..];
            let (label, _) = rest.split_once(close).unwrap_or((rest, ""));
            // What is no name of a label is of the template's own language.
            if label.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                found.push(label.to_owned());
            }
        }
    }
    found
}
