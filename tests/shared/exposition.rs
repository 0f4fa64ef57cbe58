//! What `/metrics` says, read back from the text.

use std::collections::{BTreeMap, BTreeSet};

/// Names with values: `[("partition", "3")]`.
pub type Labels = BTreeMap<String, String>;

#[derive(Debug)]
pub struct Sample {
    pub name: String,
    pub labels: Labels,
    pub value: f64,
}

#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    pub help: String,
    /// Of all its samples, without the bounds of a histogram.
    pub labels: BTreeSet<String>,
}

#[derive(Debug, Default)]
pub struct Exposition {
    pub families: BTreeMap<String, Family>,
    pub samples: Vec<Sample>,
}

impl Exposition {
    /// Every sample must be below the line that says what its family is.
    #[track_caller]
    pub fn read(text: &str) -> Self {
        let mut read = Self::default();
        let mut family = String::new();
        for line in text.lines() {
            if let Some(described) = line.strip_prefix("# HELP ") {
                let (name, help) = described.split_once(' ').unwrap();
                name.clone_into(&mut family);
                let new = Family {
                    help: help.to_owned(),
                    ..Family::default()
                };
                let before = read.families.insert(family.clone(), new);
                assert!(before.is_none(), "twice: {line}");
            } else if let Some(typed) = line.strip_prefix("# TYPE ") {
                let (name, kind) = typed.split_once(' ').unwrap();
                assert_eq!(name, family, "{line}");
                kind.clone_into(&mut read.families.get_mut(&family).unwrap().kind);
            } else {
                let sample = sample(line);
                let known = read.families.get_mut(&family).unwrap();
                let suffix = sample.name.strip_prefix(&family);
                let suffixes: &[&str] = match &*known.kind {
                    "histogram" => &["_bucket", "_sum", "_count"],
                    _ => &[""],
                };
                assert!(suffixes.iter().any(|s| suffix == Some(s)), "{line}");
                let labels = sample.labels.keys().filter(|label| *label != "le");
                known.labels.extend(labels.cloned());
                read.samples.push(sample);
            }
        }
        read
    }

    /// The values of all samples that have the name, and these labels among theirs.
    pub fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let named = self.samples.iter().filter(|sample| sample.name == name);
        let found = named.filter(|sample| {
            let mut wanted = labels.iter();
            wanted.all(|(label, value)| sample.labels.get(*label).is_some_and(|v| v == value))
        });
        found.map(|sample| sample.value).collect()
    }

    /// The one of them.
    #[track_caller]
    pub fn one(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        match self.all(name, labels).as_slice() {
            [value] => *value,
            others => panic!("{name}{labels:?} is there {} times", others.len()),
        }
    }

    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.all(name, labels).iter().sum()
    }
}

fn sample(line: &str) -> Sample {
    let (named, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = match named.split_once('{') {
        None => (named, Labels::new()),
        Some((name, labels)) => (name, pairs(labels.strip_suffix('}').unwrap())),
    };
    Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().unwrap_or_else(|e| panic!("{line}: {e}")),
    }
}

/// No value of ours holds a quote or a comma.
fn pairs(text: &str) -> Labels {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (label, value) = pair.split_once('=').unwrap();
        (label.to_owned(), value.trim_matches('"').to_owned())
    });
    pairs.collect()
}
