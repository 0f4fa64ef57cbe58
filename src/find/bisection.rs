//! Where, among many places in order, does a number lie? Each place holds a span of numbers, or
//! nothing; the spans grow with the places. To look at a place costs requests, so few are looked at, and
//! some of them at the same time.
//!
//! It says which places to look at next and is told what is there. Where the middle holds nothing it
//! asks for its neighbours, twice as many each time.

use std::collections::BTreeSet;
use std::ops::Range;

/// Places to look at at once, at the most.
const AT_ONCE: usize = 32;
/// Into so many parts it divides what is open, the middle among the marks. Two would need fewer requests,
/// and more than twice the steps, each of which waits for answers.
const PARTS: u64 = 6;

/// Least and greatest number of a place; `None` where it holds nothing.
pub type Span = Option<(i64, i64)>;

pub struct Bisection {
    sought: i64,
    /// Where it may be, and nobody has looked at all of it.
    open: Range<u64>,
    /// What is known of the places in `open`: that they hold nothing.
    empty: BTreeSet<u64>,
    below: Option<u64>,
    within: Option<u64>,
    above: Option<u64>,
}

/// Where it is, once there is nothing more to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lies {
    /// In the span of this place, though the place need not hold it: spans have gaps.
    Within(u64),
    /// In no span: between these two, of which neither, one or both are there.
    Between(Option<u64>, Option<u64>),
}

impl Bisection {
    pub fn new(places: Range<u64>, sought: i64) -> Self {
        Self {
            sought,
            open: places,
            empty: BTreeSet::new(),
            below: None,
            within: None,
            above: None,
        }
    }

    /// Places to look at next, each once; none when the answer is there.
    pub fn next(&self) -> Vec<u64> {
        if self.within.is_some() || self.open.is_empty() {
            return Vec::new();
        }
        let Range { start, end } = self.open;
        let middle = start + (end - start) / 2;
        let unknown = |place: &u64| !self.empty.contains(place);
        let known = (middle..end).take_while(|place| !unknown(place)).count();
        if known == 0 {
            // Ids are far from the end of their range.
            let mark = |n| start + (end - start).saturating_mul(n) / PARTS;
            let marks: BTreeSet<_> = (1..PARTS).map(mark).filter(unknown).collect();
            return marks.into_iter().collect();
        }
        let wanted = (2 * known).clamp(1, AT_ONCE);
        let mut up = (middle..end).filter(unknown);
        let mut down = (start..middle).rev().filter(unknown);
        let mut places = Vec::with_capacity(wanted);
        while places.len() < wanted {
            let found = places.len();
            places.extend(up.next());
            if places.len() < wanted {
                places.extend(down.next());
            }
            if places.len() == found {
                break;
            }
        }
        places
    }

    pub fn learn(&mut self, place: u64, span: Span) {
        if !self.open.contains(&place) {
            return;
        }
        match span {
            None => {
                self.empty.insert(place);
            }
            Some((_, greatest)) if greatest < self.sought => {
                self.below = Some(place);
                self.open.start = place + 1;
            }
            Some((least, _)) if least > self.sought => {
                self.above = Some(place);
                self.open.end = place;
            }
            Some(_) => self.within = Some(place),
        }
        let open = self.open.clone();
        self.empty.retain(|place| open.contains(place));
    }

    pub fn lies(&self) -> Lies {
        match self.within {
            Some(place) => Lies::Within(place),
            None => Lies::Between(self.below, self.above),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bisects until nothing is left; where it lies, and how many places were looked at.
    fn run(spans: &[Span], sought: i64) -> (Lies, usize) {
        let mut bisection = Bisection::new(0..spans.len() as u64, sought);
        let mut looked = BTreeSet::new();
        loop {
            let places = bisection.next();
            if places.is_empty() {
                return (bisection.lies(), looked.len());
            }
            for place in places {
                assert!(looked.insert(place), "{place} twice");
                bisection.learn(place, spans[place as usize]);
            }
        }
    }

    /// Ascending spans with gaps between them, and places that hold nothing.
    fn spans() -> impl Strategy<Value = Vec<Span>> {
        let place = prop_oneof![
            2 => Just(None),
            3 => (1i64..4, 0i64..5).prop_map(Some),
        ];
        prop::collection::vec(place, 0..200).prop_map(|places| {
            let mut next = 0;
            let of = |place: Option<(i64, i64)>| {
                let (gap, length) = place?;
                let least = next + gap;
                next = least + length;
                Some((least, next))
            };
            places.into_iter().map(of).collect()
        })
    }

    proptest! {
        #[test]
        fn it_ends_at_the_span_that_holds_the_number_or_between_its_neighbours(
            spans in spans(), sought in -3i64..900
        ) {
            let of = |place: &usize| spans[*place];
            let holds = |place: &usize| of(place).is_some_and(|(l, g)| l <= sought && sought <= g);
            let is_below = |place: &usize| of(place).is_some_and(|(_, g)| g < sought);
            let is_above = |place: &usize| of(place).is_some_and(|(l, _)| l > sought);
            let wanted = match (0..spans.len()).find(holds) {
                Some(place) => Lies::Within(place as u64),
                None => Lies::Between(
                    (0..spans.len()).rev().find(is_below).map(|p| p as u64),
                    (0..spans.len()).find(is_above).map(|p| p as u64),
                ),
            };
            prop_assert_eq!(run(&spans, sought).0, wanted);
        }

        #[test]
        fn where_every_place_holds_something_few_are_looked_at(
            places in 1usize..20_000, sought in -3i64..20_003
        ) {
            let spans: Vec<_> = (0..places as i64).map(|n| Some((n, n))).collect();
            let (_, looked) = run(&spans, sought);
            let steps = places.ilog(PARTS as usize) as usize + 2;
            prop_assert!(looked <= steps * PARTS as usize, "{looked}");
        }

        #[test]
        fn a_long_stretch_of_nothing_is_looked_at_once(
            before in 0usize..500, nothing in 0usize..500, after in 0usize..500
        ) {
            let full = |n: usize| Some((n as i64, n as i64));
            let mut spans: Vec<_> = (0..before).map(full).collect();
            spans.extend(vec![None; nothing]);
            spans.extend((before + 1..before + 1 + after).map(full));
            let (lies, looked) = run(&spans, before as i64);
            let below = before.checked_sub(1).map(|p| p as u64);
            let above = (after > 0).then_some((before + nothing) as u64);
            prop_assert_eq!(lies, Lies::Between(below, above));
            prop_assert!(looked <= nothing + 6 * PARTS as usize + 2 * AT_ONCE, "{looked}");
        }
    }
}
