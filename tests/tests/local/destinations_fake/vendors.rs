//! Each vendor: a first sync, changes and deletions in a storm of refusals, records that the vendor rejects, tokens that end.

use std::collections::BTreeSet;

use backflow_core::change::ChangeKind;
use backflow_core::result::{Phase, RunResult};
use backflow_core::selection::{Selection, SyncMode};
use backflow_tests::destinations::{Account, Fault, Script};
use futures::{StreamExt as _, stream};

use super::checks;
use super::clock::FastClock;
use super::exact::{Report, Rows, exact, taken};
use super::fixture::{Fixture, fixtures};
use super::remote::Remote;
use super::route::Route;

/// Definitions that are played at once: most of the time they wait.
const AT_ONCE: usize = 28;
/// The most runs that a storm may take.
const RUNS: usize = 6;

/// Vendors that answer success to everything: nothing can be rejected.
const SILENT: [&str; 1] = ["google-analytics-4"];
/// Vendors that only say how many records they rejected: halves are sent until these are alone, and the others come again.
const COUNTING: [&str; 1] = ["facebook-custom-audiences"];

/// How many rows there are.
#[derive(Clone, Copy)]
struct Sizes {
    /// Of the first sync: more than one request of many a vendor.
    rows: usize,
    /// New after that, and once more.
    more: usize,
    changed: usize,
    gone: usize,
    /// Every so manyth of the last rows is rejected.
    rejected: usize,
}

impl Sizes {
    fn of(fixture: &Fixture) -> Self {
        // Vendors count requests: a record for each is slow.
        match fixture.action().batch.max_records {
            1 => Self { rows: 5, more: 3, changed: 2, gone: 1, rejected: 3 },
            _ => Self { rows: 120, more: 30, changed: 20, gone: 10, rejected: 7 },
        }
    }
}

fn delivered(result: &RunResult) -> usize {
    usize::try_from(result.counters.delivered()).unwrap()
}

/// One action: rows, changes, refusals.
struct Play<'a> {
    fixture: &'a Fixture,
    remote: &'a Remote,
    route: Route<'a>,
    sizes: Sizes,
    script: Script,
    report: Report,
}

impl<'a> Play<'a> {
    async fn new(fixture: &'a Fixture, remote: &'a Remote) -> Self {
        remote.clear(&fixture.name).await;
        let only_new = [Selection::SyncMode(SyncMode::Insert), Selection::Records(vec![ChangeKind::Added])];
        let script = Script { everything_exists: !only_new.contains(&fixture.selection), ..Script::default() };
        let route = Route::new(fixture, &remote.credentials[&fixture.name]).await;
        Self { fixture, remote, route, sizes: Sizes::of(fixture), script, report: Report::default() }
    }

    async fn account(&self) -> Account {
        self.remote.account(&self.fixture.name).await
    }

    fn mirror(&self) -> bool {
        self.fixture.selection == Selection::SyncMode(SyncMode::Mirror)
    }

    fn ended(&mut self, what: &str, result: &RunResult, phase: Phase) {
        if result.phase != phase || (phase == Phase::Succeeded && !result.errors.is_empty()) {
            self.report.0.push(format!("{what}: {:?} {:?} {:?}", result.phase, result.failure, result.errors));
        }
    }

    /// All of it; what went wrong.
    async fn goes_as_it_should(mut self, storm: bool) -> Vec<String> {
        let mut rows = Rows::new();
        let first = self.first_sync(&mut rows).await;
        // An event may be several at the vendor's, each row as many as the others.
        let each = (taken(&first) / self.sizes.rows).max(1);
        exact(&mut self.report, self.fixture, &first, &rows, each);
        if self.report.0.is_empty() {
            let second = self.changes(&mut rows, &first, storm).await;
            exact(&mut self.report, self.fixture, &second, &rows, each);
        }
        if self.report.0.is_empty() && !SILENT.contains(&self.fixture.name.as_str()) {
            self.refusals(&mut rows, each).await;
        }
        self.report.0
    }

    async fn first_sync(&mut self, rows: &mut Rows) -> Account {
        self.remote.script(&self.fixture.name, &self.script).await;
        self.route.write(0..self.sizes.rows, 0).await;
        let result = self.route.run().await;
        self.ended("first sync", &result, Phase::Succeeded);
        self.report.check("delivered at first", delivered(&result), self.sizes.rows);
        rows.extend((0..self.sizes.rows).map(|n| (n, (1, false))));
        let account = self.account().await;
        self.report.check("violations", account.violations.clone(), Vec::new());
        account
    }

    /// Rows change, come and go; the vendor is throttling, ill, and ends tokens.
    async fn changes(&mut self, rows: &mut Rows, first: &Account, storm: bool) -> Account {
        let Sizes { rows: old, more, changed, gone, .. } = self.sizes;
        let throttled = || Fault::Throttled { after: Some(1) };
        let mut faults = vec![throttled(), Fault::Unavailable, throttled()];
        if first.tokens > 0 {
            faults.push(Fault::ExpireTokens);
        }
        faults.retain(|_| storm);
        self.remote.script(&self.fixture.name, &Script { next: faults.into(), ..self.script.clone() }).await;
        if self.fixture.can_change() {
            self.route.write(0..changed, 1).await;
        }
        self.route.write(old..old + more, 0).await;
        self.route.remove(old - gone..old).await;
        let mut all = 0;
        for run in 1..=RUNS {
            let result = self.route.run().await;
            all += delivered(&result);
            if result.phase == Phase::Succeeded || run == RUNS {
                self.ended("second sync", &result, Phase::Succeeded);
                break;
            }
        }
        if self.fixture.can_change() && self.script.everything_exists {
            rows.values_mut().take(changed).for_each(|row| row.0 += 1);
        }
        rows.extend((old..old + more).map(|n| (n, (1, false))));
        if self.mirror() {
            rows.range_mut(old - gone..old).for_each(|(_, row)| *row = (row.0 + 1, true));
        }
        let deliveries: usize = rows.values().map(|row| row.0).sum();
        self.report.check("delivered in the storm", all, deliveries - old);
        let second = self.account().await;
        self.report.check("violations", second.violations.clone(), Vec::new());
        if first.tokens > 0 && storm {
            self.report.check("another token", second.tokens > first.tokens, true);
        }
        second
    }

    /// The vendor rejects some records in its own form; all, where nothing tells them apart.
    async fn refusals(&mut self, rows: &mut Rows, each: usize) {
        let Sizes { rows: old, more, rejected, .. } = self.sizes;
        let fixture = self.fixture;
        let new = old + more..old + 2 * more;
        let (mut reject, mut refused) = (BTreeSet::new(), Vec::new());
        for n in new.clone() {
            match fixture.needles(n) {
                Some(needles) if n % rejected == 0 => reject.extend(needles),
                Some(_) => continue,
                None => reject.extend([String::new()]),
            }
            refused.push(n);
        }
        self.remote.script(&fixture.name, &Script { reject, ..self.script.clone() }).await;
        self.route.write(new.clone(), 0).await;
        let result = self.route.run().await;
        self.ended("third sync", &result, Phase::PartiallySucceeded);
        self.report.check("rejected", usize::try_from(result.counters.rejected).unwrap(), refused.len());
        self.report.check("delivered of the last", delivered(&result), more - refused.len());
        rows.extend(new.map(|n| (n, (usize::from(!refused.contains(&n)), false))));
        let account = self.account().await;
        self.report.check("violations", account.violations.clone(), Vec::new());
        if !COUNTING.contains(&fixture.name.as_str()) {
            exact(&mut self.report, fixture, &account, rows, each);
        }
    }
}

/// All actions of a definition, the first of them in a storm: it costs seconds, and is the connection's matter.
async fn play(name: &str, remote: &Remote) -> Vec<(String, Vec<String>)> {
    let mut reports = Vec::new();
    for (n, fixture) in fixtures(name).iter().enumerate() {
        let started = std::time::Instant::now();
        let report = Play::new(fixture, remote).await.goes_as_it_should(n == 0).await;
        let place = format!("{name}/{} {:?}", fixture.action, fixture.selection);
        let said = if report.is_empty() { "right".to_owned() } else { report.join("\n    ") };
        eprintln!("{place} ({:.1} s): {said}", started.elapsed().as_secs_f32());
        reports.push((place, report));
    }
    reports
}

/// Plays all definitions. `FAKE` in the environment names some, for the one who writes them.
pub(crate) async fn play_all(url: String) {
    let remote = Remote::new(url).await;
    let _clock = FastClock::start(remote.clone());
    let only = std::env::var("FAKE").ok();
    let ids = remote.credentials.keys().map(String::as_str);
    let names: Vec<&str> = only.as_deref().map_or_else(|| ids.collect(), |only| only.split(',').collect());
    let playing = stream::iter(names).map(|name| play(name, &remote)).buffer_unordered(AT_ONCE);
    let reports: Vec<_> = playing.collect::<Vec<_>>().await.into_iter().flatten().collect();
    let wrong: Vec<_> = reports.iter().filter(|(_, report)| !report.is_empty()).collect();
    eprintln!("{} of {} actions go as they should", reports.len() - wrong.len(), reports.len());
    assert!(!reports.is_empty() && wrong.is_empty(), "{wrong:#?}");
    assert_eq!(remote.ledger().await.violations, Vec::<String>::new(), "requests for nobody");
    checks::play(&remote, only.as_deref()).await;
}
