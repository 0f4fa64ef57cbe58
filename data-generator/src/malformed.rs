//! Records that no decoder can read, for tests of what happens to them.

/// One way to break a record. Each leaves something that is not exactly one whole event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ends within the uuid.
    CutInUuid,
    /// Lacks the last byte, so that the timestamp announces one more than there is.
    CutInTimestamp,
    /// A whole event and one byte more.
    TrailingByte,
    /// Two whole events: a reader that does not look at the length takes the first.
    SecondEvent,
    /// A value of zero bytes.
    Empty,
    /// No value at all: Kafka's null.
    Tombstone,
    /// Announces a uuid of 2^63 - 1 bytes: a reader must not allocate it.
    LengthHuge,
    /// Announces a uuid of -1 bytes.
    LengthNegative,
    /// Announces a uuid of 10,000 bytes, plausible but not there.
    LengthBeyondEnd,
    /// A length of eleven bytes, one more than 64 bits ever need.
    VarintTooLong,
    /// A uuid that is not UTF-8, as an Avro string has to be.
    NotUtf8,
}

impl Kind {
    /// Their number is prime to 10, the usual number of partitions.
    pub const ALL: [Kind; 11] = [
        Kind::CutInUuid,
        Kind::CutInTimestamp,
        Kind::TrailingByte,
        Kind::SecondEvent,
        Kind::Empty,
        Kind::Tombstone,
        Kind::LengthHuge,
        Kind::LengthNegative,
        Kind::LengthBeyondEnd,
        Kind::VarintTooLong,
        Kind::NotUtf8,
    ];

    /// Breaks `whole`, an encoded event whose timestamp takes more than one byte, into `broken`. `None` is
    /// the null value.
    pub fn apply<'a>(self, whole: &[u8], broken: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let behind_length = whole.get(1..).unwrap_or_default();
        let with_length = |length: &[u8], broken: &mut Vec<u8>| {
            broken.extend_from_slice(length);
            broken.extend_from_slice(behind_length);
        };
        broken.clear();
        match self {
            Kind::CutInUuid => broken.extend_from_slice(&whole[..whole.len() / 2]),
            Kind::CutInTimestamp => {
                broken.extend_from_slice(&whole[..whole.len().saturating_sub(1)]);
            }
            Kind::TrailingByte => {
                broken.extend_from_slice(whole);
                broken.push(0);
            }
            Kind::SecondEvent => {
                broken.extend_from_slice(whole);
                broken.extend_from_slice(whole);
            }
            Kind::Empty => {}
            Kind::Tombstone => return None,
            Kind::LengthHuge => with_length(
                &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                broken,
            ),
            Kind::LengthNegative => with_length(&[0x01], broken),
            Kind::LengthBeyondEnd => with_length(&[0xa0, 0x9c, 0x01], broken),
            Kind::VarintTooLong => with_length(&[0xff; 11], broken),
            Kind::NotUtf8 => {
                broken.extend_from_slice(whole);
                if let Some(byte) = broken.get_mut(10) {
                    *byte = 0xff;
                }
            }
        }
        Some(broken)
    }
}

/// Which records are to be broken, and how: always the same for the same ratio and partitions.
///
/// Each partition counts for itself, in exact billionths, and the partitions take turns: so the
/// broken ones are spread evenly over time and partitions, and each partition sees every kind.
pub struct Plan {
    /// Broken records in a billion.
    ratio: u32,
    partitions: Vec<Turn>,
    broken: u64,
}

struct Turn {
    /// Billionths of a broken record that are due; one is broken when they make a whole.
    due: u32,
    next_kind: usize,
}

const WHOLE: u32 = 1_000_000_000;

impl Plan {
    /// `ratio` from 0 to 1; what lies outside counts as the nearer end.
    pub fn new(ratio: f64, partitions: usize) -> Self {
        let turn = |partition: usize| Turn {
            due: (u64::from(WHOLE) * partition as u64 / partitions.max(1) as u64) as u32,
            next_kind: partition % Kind::ALL.len(),
        };
        Self {
            ratio: (ratio.clamp(0.0, 1.0) * f64::from(WHOLE)).round() as u32,
            partitions: (0..partitions).map(turn).collect(),
            broken: 0,
        }
    }

    /// How to break the next record of `partition`; `None` leaves it whole.
    pub fn next(&mut self, partition: usize) -> Option<Kind> {
        if self.ratio == 0 {
            return None;
        }
        let turn = self.partitions.get_mut(partition)?;
        turn.due += self.ratio;
        if turn.due < WHOLE {
            return None;
        }
        turn.due -= WHOLE;
        let kind = Kind::ALL[turn.next_kind];
        turn.next_kind = (turn.next_kind + 1) % Kind::ALL.len();
        self.broken += 1;
        Some(kind)
    }

    /// Records broken so far.
    pub fn broken(&self) -> u64 {
        self.broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Encoder;
    use crate::event::tests::decode;
    use uuid::Uuid;

    /// Breaks as `count` records over `partitions` would be: how many each partition got.
    fn broken_per_partition(ratio: f64, partitions: usize, count: usize) -> Vec<usize> {
        let mut plan = Plan::new(ratio, partitions);
        let mut broken = vec![0; partitions];
        for n in 0..count {
            broken[n % partitions] += usize::from(plan.next(n % partitions).is_some());
        }
        assert_eq!(plan.broken(), broken.iter().sum::<usize>() as u64);
        broken
    }

    #[test]
    fn no_kind_decodes_as_exactly_one_whole_event() {
        let mut encoder = Encoder::new().unwrap();
        let schema = encoder.schema().clone();
        let whole = encoder
            .encode(Uuid::from_u128(7), 1_763_000_000_123)
            .unwrap();
        assert!(decode(&schema, whole).is_some());
        let mut buffer = Vec::new();
        for kind in Kind::ALL {
            if let Some(broken) = kind.apply(whole, &mut buffer) {
                assert_eq!(decode(&schema, broken), None, "{kind:?}");
            }
        }
    }

    #[test]
    fn only_the_tombstone_has_no_value_and_only_the_empty_one_has_no_bytes() {
        let mut encoder = Encoder::new().unwrap();
        let whole = encoder.encode(Uuid::from_u128(7), 1).unwrap();
        let mut buffer = Vec::new();
        for kind in Kind::ALL {
            match kind.apply(whole, &mut buffer) {
                None => assert_eq!(kind, Kind::Tombstone),
                Some(broken) => assert_eq!(broken.is_empty(), kind == Kind::Empty, "{kind:?}"),
            }
        }
    }

    #[test]
    fn a_malformed_ratio_of_one_percent_breaks_one_record_in_a_hundred() {
        assert_eq!(broken_per_partition(0.01, 10, 10_000), [10; 10]);
        assert_eq!(broken_per_partition(0.01, 1, 10_000), [100]);
    }

    #[test]
    fn ratios_that_are_no_whole_part_keep_their_sum() {
        assert_eq!(broken_per_partition(0.3, 7, 70_000), [3_000; 7]);
        let third: usize = broken_per_partition(1.0 / 3.0, 10, 300_000).iter().sum();
        assert!((99_990..=100_010).contains(&third), "{third}");
    }

    #[test]
    fn the_ends_of_the_range_break_none_and_all() {
        assert_eq!(broken_per_partition(0.0, 10, 1_000), [0; 10]);
        assert_eq!(broken_per_partition(1.0, 10, 1_000), [100; 10]);
    }

    #[test]
    fn broken_records_do_not_come_in_heaps() {
        let mut plan = Plan::new(0.01, 10);
        let broken: Vec<usize> = (0..10_000)
            .filter(|n| plan.next(n % 10).is_some())
            .collect();
        let widest = broken.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(widest <= Some(200), "{widest:?}");
    }

    #[test]
    fn every_partition_gets_every_kind_in_turn() {
        let mut plan = Plan::new(0.5, 10);
        let mut seen = vec![Vec::new(); 10];
        for n in 0..10 * 2 * Kind::ALL.len() {
            seen[n % 10].extend(plan.next(n % 10));
        }
        for kinds in seen {
            assert!(
                Kind::ALL.iter().all(|kind| kinds.contains(kind)),
                "{kinds:?}"
            );
        }
    }

    #[test]
    fn the_same_ratio_and_partitions_break_the_same_records() {
        let kinds = || {
            let mut plan = Plan::new(0.17, 10);
            (0..1_000)
                .map(|n| plan.next(n % 10))
                .collect::<Vec<Option<Kind>>>()
        };
        assert_eq!(kinds(), kinds());
    }
}
