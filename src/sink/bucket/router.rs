//! Spreads the rows of a batch over buckets.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Bucket, Bucketing, MINUTE_MS};
use crate::clock::EpochMillis;
use crate::ids::Split;
use crate::source::{Origin, SplitIndex};

/// Folders that are remembered; a row of another one costs some more.
const REMEMBERED: usize = 4_096;

/// The rows of a batch that belong to one bucket.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    pub bucket: Bucket,
    /// Of its first row.
    pub time: EpochMillis,
    /// Ascending, and not empty; `None` for all of the batch.
    pub rows: Option<Vec<u32>>,
}

/// Finds the buckets of rows, and remembers folders.
#[derive(Debug)]
pub struct Router {
    bucketing: Bucketing,
    /// By topic, of which the batch's splits are, and minute.
    known: HashMap<(Arc<str>, i64), Bucket>,
}

impl Router {
    pub fn new(bucketing: Bucketing) -> Self {
        Self {
            bucketing,
            known: HashMap::new(),
        }
    }

    /// Groups of the rows that come from `origins`, in the order of their first rows. A row's time is
    /// in `times`; without any it is `now` for all.
    pub fn groups(
        &mut self,
        origins: &[Origin],
        splits: &[Split],
        times: Option<&[EpochMillis]>,
        now: EpochMillis,
    ) -> Vec<Group> {
        let Some(first) = origins.first() else {
            return Vec::new();
        };
        if times.is_none() && !self.bucketing.by_topic {
            let topic = &splits[first.split.0 as usize].topic;
            return vec![Group {
                bucket: self.bucket(topic, now),
                time: now,
                rows: None,
            }];
        }
        let mut groups: Vec<Group> = Vec::new();
        let mut rows: Vec<Vec<u32>> = Vec::new();
        let mut places: HashMap<Bucket, usize> = HashMap::new();
        // Of the row before: most rows are of the same split and minute.
        let mut last: Option<((SplitIndex, i64), usize)> = None;
        for (row, origin) in (0..).zip(origins) {
            let time = times.map_or(now, |times| times[row as usize]);
            let key = (origin.split, time.0.div_euclid(MINUTE_MS));
            let place = match last {
                Some((of, place)) if of == key => place,
                _ => {
                    let topic = &splits[origin.split.0 as usize].topic;
                    let bucket = self.bucket(topic, time);
                    *places.entry(bucket.clone()).or_insert_with(|| {
                        groups.push(Group {
                            bucket,
                            time,
                            rows: None,
                        });
                        rows.push(Vec::new());
                        groups.len() - 1
                    })
                }
            };
            last = Some((key, place));
            rows[place].push(row);
        }
        if groups.len() > 1 {
            for (group, rows) in groups.iter_mut().zip(rows) {
                group.rows = Some(rows);
            }
        }
        groups
    }

    /// When the bucket of a time ends.
    pub fn end(&self, time: EpochMillis) -> EpochMillis {
        self.bucketing.end(time)
    }

    fn bucket(&mut self, topic: &Arc<str>, time: EpochMillis) -> Bucket {
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let key = (topic.clone(), time.0.div_euclid(MINUTE_MS));
        let make = || self.bucketing.bucket(time, topic);
        self.known.entry(key).or_insert_with(make).clone()
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;
    use crate::ids::Offset;
    use crate::sink::bucket::tests::{hours, millis};

    fn origins(splits: &[u32]) -> Vec<Origin> {
        let origins = (0..).zip(splits).map(|(offset, &split)| Origin {
            split: SplitIndex(split),
            offset: Offset(offset),
        });
        origins.collect()
    }

    #[test]
    fn rows_are_grouped_by_their_times_and_keep_their_order() {
        let splits = [Split::new("a", 0), Split::new("b", 0)];
        let times = ["07:00:00", "09:30:00", "07:59:59", "09:00:00", "07:10:00"];
        let times = times.map(|time| millis(&format!("2026-11-21T{time}Z")));
        let mut router = Router::new(hours(Tz::UTC));
        let groups = router.groups(
            &origins(&[0, 0, 1, 1, 1]),
            &splits,
            Some(&times),
            EpochMillis(0),
        );
        let found: Vec<_> = groups
            .iter()
            .map(|g| (g.bucket.to_string(), g.rows.clone().unwrap()))
            .collect();
        assert_eq!(
            found,
            [
                (
                    "year=2026/month=11/day=21/hour=07".to_owned(),
                    vec![0, 2, 4]
                ),
                ("year=2026/month=11/day=21/hour=09".to_owned(), vec![1, 3]),
            ]
        );
    }

    #[test]
    fn by_topic_each_topic_has_folders_of_its_own() {
        let splits = [Split::new("a", 0), Split::new("b", 0), Split::new("a", 1)];
        let bucketing = Bucketing {
            by_topic: true,
            ..hours(Tz::UTC)
        };
        let mut router = Router::new(bucketing);
        let groups = router.groups(
            &origins(&[0, 1, 2]),
            &splits,
            None,
            millis("2026-11-21T07:00:00Z"),
        );
        let folders: Vec<_> = groups.iter().map(|g| g.bucket.to_string()).collect();
        assert_eq!(
            folders,
            [
                "a/year=2026/month=11/day=21/hour=07",
                "b/year=2026/month=11/day=21/hour=07"
            ]
        );
        assert_eq!(groups[0].rows, Some(vec![0, 2]));
    }

    proptest::proptest! {
        #[test]
        fn every_row_is_in_exactly_one_group_and_in_the_folder_of_its_time(
            times in proptest::collection::vec(-1_000_000_000_000i64..4_000_000_000_000, 0..200)
        ) {
            let splits = [Split::new("t", 0)];
            let origins = origins(&vec![0; times.len()]);
            let times: Vec<_> = times.into_iter().map(EpochMillis).collect();
            let bucketing = hours(Tz::America__St_Johns);
            let mut router = Router::new(bucketing.clone());
            let groups = router.groups(&origins, &splits, Some(&times), EpochMillis(0));
            let mut seen = 0;
            for group in groups {
                let rows = group.rows.unwrap_or_else(|| (0..).take(times.len()).collect());
                proptest::prop_assert!(rows.is_sorted());
                for row in rows {
                    seen += 1;
                    proptest::prop_assert_eq!(&bucketing.bucket(times[row as usize], "t"), &group.bucket);
                }
            }
            proptest::prop_assert_eq!(seen, times.len());
        }
    }
}
