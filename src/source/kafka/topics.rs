//! Which topics are archived: one, several, or all whose names a pattern is found in.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use regex_lite::Regex;

/// As in the setting KAFKA_TOPIC.
#[derive(Debug, Clone)]
pub enum Topics {
    /// These, all of them.
    Named(BTreeSet<String>),
    /// Those that are there, also when they come later.
    Matching(Regex),
}

impl Topics {
    /// Whether a topic is one of them.
    pub fn include(&self, topic: &str) -> bool {
        match self {
            Self::Named(names) => names.contains(topic),
            // Names that begin so are of Kafka's own topics.
            Self::Matching(pattern) => !topic.starts_with("__") && pattern.is_match(topic),
        }
    }

    /// The topic, if it can only be one.
    pub fn only(&self) -> Option<&str> {
        match self {
            Self::Named(names) if names.len() == 1 => names.first().map(String::as_str),
            _ => None,
        }
    }
}

impl FromStr for Topics {
    type Err = String;

    /// Names with commas between them; what begins with `^` is a regular expression, as it is for
    /// librdkafka.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('^') {
            let pattern = Regex::new(text);
            return pattern.map(Self::Matching).map_err(|e| {
                format!("'{text}' begins with ^ and is not a regular expression: {e}")
            });
        }
        let mut names = BTreeSet::new();
        for name in text.split(',').map(str::trim) {
            check_name(name)?;
            if !names.insert(name.to_owned()) {
                return Err(format!("topic '{name}' is named twice"));
            }
        }
        Ok(Self::Named(names))
    }
}

/// What Kafka takes for the name of a topic.
fn check_name(name: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() {
        return Err("a name of a topic is empty".into());
    }
    if !name.chars().all(legal) || name.len() > 249 || name == "." || name == ".." {
        return Err(format!(
            "'{name}' is no name of a topic: these have letters, digits, '.', '_' and '-'. Give one, \
             several with commas between them, or a regular expression that begins with ^"
        ));
    }
    Ok(())
}

impl fmt::Display for Topics {
    /// As it is parsed; names in their order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(names) => {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                f.write_str(&names.join(","))
            }
            Self::Matching(pattern) => f.write_str(pattern.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(text: &str) -> Topics {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_those_topics_and_no_others_in_any_order() {
        let two = topics("orders, invoices");
        assert!(two.include("orders") && two.include("invoices"));
        assert!(!two.include("order") && !two.include("orders2"));
        assert_eq!(two.to_string(), topics("invoices,orders").to_string());
        assert_eq!(
            (two.only(), topics("orders").only()),
            (None, Some("orders"))
        );
    }

    #[test]
    fn a_pattern_is_found_in_names_and_takes_none_of_kafkas_own_topics() {
        let pattern = topics("^orders-(eu|us)$");
        assert!(pattern.include("orders-eu") && !pattern.include("orders-eu-old"));
        assert!(topics("^orders").include("orders-eu-old"));
        assert!(!topics("^.*").include("__consumer_offsets"));
        assert_eq!(pattern.to_string(), "^orders-(eu|us)$");
    }

    #[test]
    fn what_is_no_name_and_no_pattern_is_refused_with_the_cure() {
        for text in ["", " ", "a,", "a,a", "a b", "a/b", "..", "^(", "näme"] {
            assert!(text.parse::<Topics>().is_err(), "{text}");
        }
        assert!(
            "a|b"
                .parse::<Topics>()
                .unwrap_err()
                .contains("begins with ^"),
        );
    }
}
