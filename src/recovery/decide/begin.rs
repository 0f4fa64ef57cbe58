//! The first start of a job: where each of its splits begins to be archived.

use std::collections::{BTreeMap, BTreeSet};

use super::{Facts, Plan, Refusal, first_start};
use crate::ids::{NextOffset, Split};
use crate::source::kafka::Watermarks;
use crate::source::start_from::StartFrom;

pub(super) fn begin(facts: &Facts<'_>) -> Result<Plan, Refusal> {
    if let StartFrom::Offsets(_) = facts.start_from {
        all_are_named(facts)?;
    }
    let splits = facts.held.splits.iter();
    let begins = splits.map(|(split, &held)| Ok((split.clone(), begin_of(facts, split, held)?)));
    let begins: BTreeMap<_, _> = begins.collect::<Result<_, Refusal>>()?;
    Ok(first_start(facts, begins))
}

fn begin_of(facts: &Facts<'_>, split: &Split, held: Watermarks) -> Result<NextOffset, Refusal> {
    match facts.start_from {
        StartFrom::Earliest => Ok(held.earliest),
        StartFrom::Latest => Ok(held.end),
        // Nothing of that time or later: what comes next is.
        StartFrom::Time(_) => Ok(facts.held.at_time.get(split).copied().unwrap_or(held.end)),
        start_from @ StartFrom::Offsets(_) => {
            let offset = start_from.offset(&split.topic, split.partition);
            let offset = offset.unwrap_or(held.earliest);
            if held.earliest <= offset && offset <= held.end {
                return Ok(offset);
            }
            Err(Refusal::OffsetNotHeld {
                start_from: start_from.to_string(),
                split: split.clone(),
                offset,
                held,
            })
        }
    }
}

/// Every partition that is there is named, and every one that is named is there.
fn all_are_named(facts: &Facts<'_>) -> Result<(), Refusal> {
    let StartFrom::Offsets(offsets) = facts.start_from else {
        return Ok(());
    };
    let start_from = facts.start_from;
    let topics: BTreeSet<_> = facts.held.splits.keys().map(|split| &split.topic).collect();
    if topics.len() > 1
        && let Some(place) = start_from.without_topic()
    {
        return Err(Refusal::OfWhichTopic {
            start_from: start_from.to_string(),
            place: place.to_string(),
            topics: topics.into_iter().map(|topic| topic.to_string()).collect(),
        });
    }
    let splits = facts.held.splits.keys();
    let unnamed = splits.filter(|s| start_from.offset(&s.topic, s.partition).is_none());
    let splits: Vec<_> = unnamed.cloned().collect();
    if !splits.is_empty() {
        return Err(Refusal::NoOffset {
            start_from: start_from.to_string(),
            splits,
        });
    }
    let is_there = |topic: &Option<String>, partition: i32| {
        let topic = topic.as_deref();
        let mut splits = facts.held.splits.keys();
        splits.any(|s| s.partition == partition && topic.is_none_or(|t| *s.topic == *t))
    };
    let mut places = offsets.keys();
    match places.find(|place| !is_there(&place.topic, place.partition)) {
        None => Ok(()),
        Some(place) => Err(Refusal::NoPartition {
            start_from: start_from.to_string(),
            place: place.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::slot::tests::sample;
    use crate::recovery::decide::{Held, decide};

    /// Two partitions of one topic that hold 5 to 10 and 0 to 7, with the first record of some time at
    /// 8 of the first.
    fn start(from: &str) -> Result<Vec<i64>, String> {
        let marks = |earliest, end| Watermarks {
            earliest: NextOffset(earliest),
            end: NextOffset(end),
        };
        let split = |partition| Split::new("lineage-input", partition);
        let held = Held {
            splits: BTreeMap::from([(split(0), marks(5, 10)), (split(1), marks(0, 7))]),
            at_time: BTreeMap::from([(split(0), NextOffset(8))]),
            ..Held::default()
        };
        let facts = Facts {
            newest: None,
            identity: &sample(0).identity,
            topics: &"lineage-input".parse().unwrap(),
            held: &held,
            start_from: &from.parse().unwrap(),
            savepoint: None,
            allow_lost_offsets: false,
        };
        let plan = decide(&facts).map_err(|refusal| refusal.to_string())?;
        assert_eq!(plan.begins, plan.next_offsets);
        Ok(plan.next_offsets.values().map(|next| next.0).collect())
    }

    #[test]
    fn a_job_begins_where_it_is_told_to() {
        assert_eq!(start("earliest"), Ok(vec![5, 0]));
        assert_eq!(start("latest"), Ok(vec![10, 7]));
        assert_eq!(start("2026-11-21T07:00:00"), Ok(vec![8, 7]));
        assert_eq!(start("0=5,1=0"), Ok(vec![5, 0]));
        assert_eq!(start("0=10,lineage-input/1=3"), Ok(vec![10, 3]));
    }

    #[test]
    fn an_offset_that_is_not_held_is_refused_also_offset_0() {
        let refusal = start("0=0,1=0").unwrap_err();
        assert!(
            refusal.contains("lineage-input-0 holds the offsets 5 to 10"),
            "{refusal}"
        );
        assert!(start("0=11,1=0").is_err());
    }

    #[test]
    fn a_partition_without_its_topic_is_refused_where_there_are_several() {
        let split = |topic: &str| Split::new(topic, 0);
        let marks = Watermarks {
            earliest: NextOffset(0),
            end: NextOffset(7),
        };
        let held = Held {
            splits: BTreeMap::from([(split("a"), marks), (split("b"), marks)]),
            ..Held::default()
        };
        let begin = |from: &str| {
            decide(&Facts {
                newest: None,
                identity: &sample(0).identity,
                topics: &"a,b".parse().unwrap(),
                held: &held,
                start_from: &from.parse().unwrap(),
                savepoint: None,
                allow_lost_offsets: false,
            })
        };
        let refusal = begin("0=3").unwrap_err().to_string();
        assert!(
            refusal.contains("several: a, b. Name it, as in a/0"),
            "{refusal}"
        );
        assert_eq!(
            begin("a/0=3,b/0=4").unwrap().next_offsets[&split("b")],
            NextOffset(4)
        );
    }

    #[test]
    fn a_partition_that_is_not_named_or_not_there_is_refused_by_its_name() {
        let refusal = start("0=5").unwrap_err();
        assert!(
            refusal.contains("no offset for lineage-input-1"),
            "{refusal}"
        );
        let refusal = start("0=5,1=0,2=0").unwrap_err();
        assert!(refusal.contains("partition 2"), "{refusal}");
        let refusal = start("0=5,1=0,other/1=0").unwrap_err();
        assert!(refusal.contains("other/1"), "{refusal}");
    }
}
