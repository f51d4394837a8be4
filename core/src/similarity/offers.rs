//! From the sums of a row to the lists: screen, evaluation, offers.

use super::{
    Neighbor, SimilarityError,
    inverted::{Ids, Kind},
    lists::Lists,
    measure::{FIELDS, LANES, Lanes, Measure, N, Own, evaluate},
    popular::{Sums, TILE},
    screen::Screen,
    select::Keep,
};
use crate::simd;

/// Which lists pairs are offered to, and which pairs are.
pub(super) struct Takers<'a> {
    pub(super) measure: Measure,
    pub(super) lists: &'a Lists,
    pub(super) keep: Keep,
    pub(super) screen: Screen,
}

/// Pairs that passed the screen, to be evaluated together.
pub(super) struct Passed {
    lanes: Box<Lanes>,
    ids: Vec<u32>,
}

impl Default for Passed {
    fn default() -> Self {
        Self {
            lanes: Box::new(Lanes::new()),
            ids: Vec::with_capacity(LANES),
        }
    }
}

/// Puts a row's sums together, screens them, and offers what passes. Leaves the slots empty.
pub(super) struct Finish<'a, 'b, K: Kind> {
    pub(super) kind: &'a K,
    pub(super) slots: &'a mut [K::Slot],
    pub(super) lanes: &'a mut Lanes,
    pub(super) sums: Option<&'a [Sums]>,
    pub(super) others: &'a [f64],
    pub(super) own: Own,
    /// The entity of the first slot.
    pub(super) first: usize,
    pub(super) offers: &'a mut Offers<'b>,
    pub(super) passed: &'a mut Passed,
}

impl<K: Kind> simd::Kernel for Finish<'_, '_, K> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let takers = self.offers.takers;
        let bar = takers.screen.bar(takers.lists.bar(self.offers.a));
        let place = self.first - self.offers.block;
        let mut flags = [0; LANES];
        for (i, slots) in self.slots.chunks_mut(LANES).enumerate() {
            let (from, len) = (i * LANES, slots.len());
            self.kind.unpack(slots, &mut self.lanes.sums);
            slots.fill(K::ZERO);
            if let Some(sums) = self.sums {
                let fields = takers.measure.fields();
                add_sums(&sums[from / TILE..], fields, len, &mut self.lanes.sums);
            }
            let bars = &self.offers.bars[place + from..][..len];
            let others = &self.others[from..][..len];
            let sides = (self.own, others);
            if takers
                .screen
                .pass(&self.lanes.sums, sides, (bar, bars), &mut flags)
            {
                let lanes = (&*self.lanes, others, self.first + from);
                self.offers.gather(lanes, &flags[..len], self.passed);
                if !self.passed.ids.is_empty() {
                    self.offers.take(self.kind, self.passed, self.own);
                }
            }
        }
    }
}

/// Adds the sums of tiles to those of their lanes.
#[inline(always)]
fn add_sums(tiles: &[Sums], fields: &[usize], len: usize, sums: &mut [[f64; LANES]; FIELDS]) {
    for &field in fields {
        for (sums, tile) in sums[field][..len].chunks_exact_mut(TILE).zip(tiles) {
            for (sum, &added) in sums.iter_mut().zip(&tile[field]) {
                *sum += f64::from(added);
            }
        }
    }
}

/// Where pairs of a row with entities of a block go.
pub(super) struct Offers<'a> {
    pub(super) takers: &'a Takers<'a>,
    pub(super) a: u32,
    pub(super) block: usize,
    pub(super) bars: &'a mut [f64],
    pub(super) error: Option<SimilarityError>,
}

impl Offers<'_> {
    /// Offers one evaluated pair to both lists, if it is to be kept.
    pub(super) fn offer(&mut self, lanes: &Lanes, lane: usize, b: u32) {
        let (common, similarity) = (lanes.sums[N][lane], lanes.values[lane]);
        if !self.takers.keep.keeps(common, similarity) || self.error.is_some() {
            return;
        }
        let common = common as u32;
        for (entity, other) in [(self.a, b), (b, self.a)] {
            let neighbor = Neighbor {
                entity: other,
                common,
                similarity,
            };
            match self.takers.lists.offer(entity, neighbor) {
                Ok(Some(bar)) => {
                    let place = (entity as usize).checked_sub(self.block);
                    if let Some(place) = place.and_then(|place| self.bars.get_mut(place)) {
                        *place = self.takers.screen.bar(bar);
                    }
                }
                Ok(None) => {}
                Err(error) => self.error = Some(error),
            }
        }
    }

    /// Collects the flagged lanes that stand for later entities than the row's.
    #[inline(never)]
    fn gather(
        &mut self,
        (lanes, others, first): (&Lanes, &[f64], usize),
        flags: &[u8],
        passed: &mut Passed,
    ) {
        for (i, eight) in flags.chunks(8).enumerate() {
            if eight.iter().all(|&flag| flag == 0) {
                continue;
            }
            for (lane, _) in (i * 8..).zip(eight).filter(|(_, flag)| **flag != 0) {
                let b = (first + lane) as u32;
                if b <= self.a {
                    continue;
                }
                let to = passed.ids.len();
                for (to_sums, sums) in passed.lanes.sums.iter_mut().zip(&lanes.sums) {
                    to_sums[to] = sums[lane];
                }
                passed.lanes.other[to] = others[lane];
                passed.ids.push(b);
            }
        }
    }

    /// Evaluates the pairs that passed the screen and offers them.
    #[inline(never)]
    fn take<K: Kind>(&mut self, kind: &K, passed: &mut Passed, own: Own) {
        let len = passed.ids.len();
        let ids = Ids {
            first: 0,
            list: Some(&passed.ids),
        };
        evaluate(self.takers.measure, &mut passed.lanes, len, own);
        kind.refine(self.a, &ids, &mut passed.lanes, len);
        for lane in 0..len {
            self.offer(&passed.lanes, lane, passed.ids[lane]);
        }
        passed.ids.clear();
    }
}
