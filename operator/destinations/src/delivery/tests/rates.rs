//! How fast a run may be.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_rate_is_never_exceeded_in_any_second_and_is_used() {
    for (rate, concurrency) in [(1, 4), (7, 4), (50, 2), (200, 16)] {
        let bench = Bench::with(concurrency, Some(rate), Retry::default(), |_, _| answer(200));
        let batches: Vec<Vec<Record>> = (0..rate as usize * 5).map(|_| records(1)).collect();
        join_all(batches.iter().map(|batch| bench.engine.deliver(batch))).await;
        let sent: Vec<Instant> = bench.sent().into_iter().map(|(at, _)| at).collect();
        for (at, begin) in sent.iter().enumerate() {
            let within = sent[at..].iter().filter(|other| **other - *begin < Duration::from_secs(1)).count();
            assert!(within <= rate as usize, "{within} of {rate} in a second");
        }
        let took = (sent[sent.len() - 1] - sent[0]).as_secs_f64();
        assert!(took < 5.0 / 0.95, "{took} s for 5 s of {rate}/s");
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_are_in_flight_than_allowed() {
    let bench = Bench::with(3, None, Retry::default(), |_, _| answer(200));
    let batches: Vec<Vec<Record>> = (0..9).map(|_| records(1)).collect();
    join_all(batches.iter().map(|batch| bench.engine.deliver(batch))).await;
    let sent = bench.sent();
    for begin in sent.iter().map(|(at, _)| *at) {
        let together = sent.iter().filter(|(at, _)| *at >= begin && *at - begin < Duration::from_millis(10)).count();
        assert!(together <= 3);
    }
}

#[tokio::test(start_paused = true)]
async fn several_rates_hold_at_once_and_the_tightest_is_used() {
    let rates =
        vec![Rate { limit: 20, per: Duration::from_secs(1) }, Rate { limit: 100, per: Duration::from_secs(10) }];
    let bench = Bench::of(16, rates.clone(), Retry::default(), true, |_, _| answer(200));
    let batches: Vec<Vec<Record>> = (0..400).map(|_| records(1)).collect();
    join_all(batches.iter().map(|batch| bench.engine.deliver(batch))).await;
    let sent: Vec<Instant> = bench.sent().into_iter().map(|(at, _)| at).collect();
    for rate in rates {
        for (at, begin) in sent.iter().enumerate() {
            let within = sent[at..].iter().filter(|other| **other - *begin < rate.per).count() as u64;
            assert!(within <= rate.limit, "{within} of {rate:?}");
        }
    }
    let took = (sent[sent.len() - 1] - sent[0]).as_secs_f64();
    assert!(took < 40.0 / 0.95, "{took} s for 4 windows of 10 s");
}

#[tokio::test(start_paused = true)]
async fn a_days_limit_that_is_used_up_ends_the_run_and_is_not_waited_for() {
    let rates = vec![Rate { limit: 2, per: Duration::from_secs(24 * 3600) }];
    let bench = Bench::of(1, rates, Retry::default(), true, |_, _| answer(200));
    let begin = Instant::now();
    for expected in [None, None, Some(Code::RetriesExhausted)] {
        assert_eq!(code(&bench.engine.deliver(&records(1)).await), expected);
    }
    assert!(Instant::now() - begin < Duration::from_secs(1));
    assert_eq!(bench.sent().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_throttle_pauses_every_batch_and_lets_fewer_go_on() {
    let bench = Bench::new(|n, _| if n <= 4 { wait(429, 60) } else { answer(200) });
    let batches: Vec<Vec<Record>> = (0..8).map(|_| records(2)).collect();
    let deliveries = join_all(batches.iter().map(|batch| bench.engine.deliver(batch))).await;
    assert!(deliveries.iter().all(|delivery| kinds(delivery) == [2, 0, 0]));
    let sent = bench.sent();
    let begin = sent[0].0;
    let early = sent.iter().filter(|(at, _)| *at - begin < Duration::from_secs(60)).count();
    assert_eq!(early, 4, "only what was in flight when the first was throttled");
    let after: Vec<Instant> = sent[4..].iter().map(|(at, _)| *at).collect();
    assert!(after[1] > after[0], "one goes first");
}

#[tokio::test(start_paused = true)]
async fn how_long_a_destination_wants_to_be_left_alone_is_known_until_then() {
    let bench = Bench::new(|n, _| if n == 1 { wait(429, 3600) } else { answer(429) });
    assert_eq!(bench.engine.throttled(), None);
    bench.engine.deliver(&records(1)).await;
    let left = bench.engine.throttled().unwrap();
    assert!(left > Duration::from_secs(3598) && left <= Duration::from_secs(3600), "{left:?}");
    tokio::time::advance(left).await;
    assert_eq!(bench.engine.throttled(), None);
    // Our own pauses are not its wish.
    let bench = Bench::with(1, None, Retry { max_attempts: 1, window_seconds: 60 }, |_, _| answer(429));
    bench.engine.deliver(&records(1)).await;
    assert_eq!(bench.engine.throttled(), None);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_is_down_is_tried_by_one_batch_at_a_time() {
    let down = |begin: Instant, seconds| move || begin.elapsed() < Duration::from_secs(seconds);
    let is_down = down(Instant::now(), 60);
    let bench = Bench::with(8, None, Retry { max_attempts: 100, window_seconds: 900 }, move |_, _| match is_down() {
        true => answer(503),
        false => answer(200),
    });
    let batches: Vec<Vec<Record>> = (0..8).map(|_| records(1)).collect();
    let deliveries = join_all(batches.iter().map(|batch| bench.engine.deliver(batch))).await;
    assert!(deliveries.iter().all(|delivery| kinds(delivery) == [1, 0, 0]));
    // Eight at first, then one at a time: after half a second, one, two, four and so on, until the minute is over.
    assert!(bench.sent().len() - 8 <= 8 + 8, "{} requests", bench.sent().len());
    assert_eq!(deliveries.iter().map(|delivery| delivery.traffic.breaks).sum::<u64>(), 1);
    let retries: u64 = deliveries.iter().map(|delivery| delivery.traffic.retries).sum();
    assert_eq!(retries as usize, bench.sent().len() - 8);
}

#[tokio::test(start_paused = true)]
async fn the_time_that_a_destination_is_waited_for_is_counted() {
    let bench = Bench::new(|number, _| if number == 1 { wait(429, 7) } else { answer(200) });
    let traffic = bench.engine.deliver(&records(1)).await.traffic;
    assert_eq!((traffic.throttled_ms, traffic.retries), (7_000, 1));
    let rates = vec![Rate { limit: 1, per: Duration::from_secs(10) }];
    let bench = Bench::of(1, rates, Retry::default(), true, |_, _| answer(200));
    bench.engine.deliver(&records(1)).await;
    let waited = bench.engine.deliver(&records(1)).await.traffic.throttled_ms;
    assert!((9_900..=10_300).contains(&waited), "{waited}");
}
