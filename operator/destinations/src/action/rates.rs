//! The rates of an account, of an action and of its operations, as one list at the gate.

use std::time::Duration;

use backflow_definitions::{Rate as Defined, Template};

use crate::pace::{Kept, Rate};

/// All rates of a run.
#[derive(Default)]
pub(crate) struct Rates {
    all: Vec<(&'static Defined, Rate)>,
    /// Those that every request counts for.
    shared: Vec<usize>,
    /// What the Destination says, where the definition has no rate that it replaces.
    own: Option<Rate>,
}

impl Rates {
    /// The definition's rates. `per_second`: what the Destination says instead of those that may be tuned.
    pub(crate) fn new(defined: &'static [Defined], per_second: Option<u32>) -> Self {
        let mut rates = Self::default();
        for rate in defined {
            let place = rates.add(rate, per_second);
            rates.shared.push(place);
        }
        let replaced = defined.iter().any(|rate| rate.tunable);
        rates.own = per_second.filter(|_| !replaced).map(second);
        rates
    }

    /// Adds the rates of an action or operation, and gives their places.
    pub(crate) fn add_all(&mut self, defined: &'static [Defined], per_second: Option<u32>) -> Vec<usize> {
        defined.iter().map(|rate| self.add(rate, per_second)).collect()
    }

    fn add(&mut self, defined: &'static Defined, per_second: Option<u32>) -> usize {
        let rate = match per_second.filter(|_| defined.tunable) {
            Some(tuned) => second(tuned),
            None => Rate { limit: u64::from(defined.requests), per: defined.per },
        };
        self.all.push((defined, rate));
        self.all.len() - 1
    }

    /// The rates that a request counts for, each with its weight. `method` is none if it is not known before the request.
    pub(crate) fn of(
        &self,
        method: Option<&str>,
        path: &str,
        own: &[usize],
    ) -> Vec<(usize, Option<&'static Template>)> {
        let applies = |place: &&usize| {
            self.all.get(**place).is_some_and(|(defined, _)| {
                let by_method =
                    defined.only.method.as_deref().is_none_or(|wanted| method.is_none_or(|is| is == wanted));
                by_method && defined.only.path.as_ref().is_none_or(|wanted| wanted.is_match(path))
            })
        };
        let places = self.shared.iter().chain(own).filter(applies);
        let mut spend: Vec<_> = places.map(|place| (*place, self.all[*place].0.weight.as_ref())).collect();
        if self.own.is_some() {
            spend.push((self.all.len(), None));
        }
        spend
    }

    /// Those of which the next run has to know what is used.
    pub(crate) fn kept(&self) -> Vec<Kept> {
        let all = self.all.iter().enumerate();
        all.filter_map(|(place, (defined, rate))| Kept::of(place, &defined.id, rate.per)).collect()
    }

    /// What the gate is given, in the order of the places.
    pub(crate) fn gate(&self) -> Vec<Rate> {
        self.all.iter().map(|(_, rate)| *rate).chain(self.own).collect()
    }
}

fn second(limit: u32) -> Rate {
    Rate { limit: u64::from(limit.max(1)), per: Duration::from_secs(1) }
}
