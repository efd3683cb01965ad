//! What an answer's headers say about when to come again.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// The longest wait that a destination can ask for: beyond any `retry.window`, and a time that a clock can tell.
pub(crate) const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Which headers say what.
#[derive(Clone, Debug)]
pub(crate) struct HintHeaders {
    /// Seconds, an HTTP date, or a time of ISO 8601.
    pub(crate) retry_after: HeaderName,
    /// Requests that are left.
    pub(crate) remaining: Option<HeaderName>,
    /// When there are some again: seconds since 1970.
    pub(crate) reset_epoch: Option<HeaderName>,
    /// The same in milliseconds.
    pub(crate) reset_epoch_ms: Option<HeaderName>,
    /// Seconds until then.
    pub(crate) reset_seconds: Option<HeaderName>,
}

impl Default for HintHeaders {
    fn default() -> Self {
        let none = || None;
        Self {
            retry_after: RETRY_AFTER,
            remaining: none(),
            reset_epoch: none(),
            reset_epoch_ms: none(),
            reset_seconds: none(),
        }
    }
}

/// What an answer asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hint {
    /// To wait so long.
    pub(crate) wait: Option<Duration>,
    /// To send nothing more for now, although this request was taken.
    pub(crate) used_up: bool,
    /// How long until there are requests again, when that is not asked for as a wait.
    pub(crate) reset: Option<Duration>,
}

impl Hint {
    /// Reads an answer's headers. Times are measured from the answer's own `Date`, so that clocks may differ.
    pub(crate) fn read(headers: &HeaderMap, names: &HintHeaders, now: SystemTime) -> Self {
        let text = |name: &HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
        let optional = |name: &Option<HeaderName>| name.as_ref().and_then(text);
        let now = text(&DATE).and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now);
        let reset = optional(&names.reset_seconds)
            .and_then(seconds)
            .or_else(|| until(optional(&names.reset_epoch)?.parse().ok()?, now))
            .or_else(|| until(optional(&names.reset_epoch_ms)?.parse::<f64>().ok()? / 1000.0, now));
        Self {
            wait: text(&names.retry_after).and_then(|text| retry_after(text, now)),
            used_up: optional(&names.remaining)
                .and_then(|left| left.parse::<f64>().ok())
                .is_some_and(|left| left < 1.0),
            reset,
        }
    }

    /// How long a throttled connection waits. Zero says nothing that a backoff would not say better.
    pub(crate) fn throttled(&self) -> Option<Duration> {
        self.wait.or(self.reset).filter(|wait| !wait.is_zero()).map(|wait| wait.min(LONGEST))
    }
}

/// `Retry-After` in each form.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(whole) = text.parse::<u64>() {
        return Some(Duration::from_secs(whole));
    }
    let date = httpdate::parse_http_date(text).ok().or_else(|| Some(text.parse::<jiff::Timestamp>().ok()?.into()));
    Some(date?.duration_since(now).unwrap_or_default())
}

/// A number of seconds, with or without a fraction; other tokens after it are windows of the same limit.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    let first = text.split([',', ';']).next()?.trim();
    Duration::try_from_secs_f64(first.parse().ok()?).ok().map(|wait| wait.min(LONGEST))
}

/// The time from `now` to an instant in seconds since 1970.
fn until(epoch: f64, now: SystemTime) -> Option<Duration> {
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(epoch).ok()?)?;
    Some(at.duration_since(now).unwrap_or_default().min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&'static str, &str)]) -> Hint {
        let name = |text| Some(HeaderName::from_static(text));
        let names = HintHeaders {
            remaining: name("x-left"),
            reset_epoch: name("x-epoch"),
            reset_epoch_ms: name("x-epoch-ms"),
            reset_seconds: name("x-seconds"),
            ..HintHeaders::default()
        };
        let headers = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("value")));
        // 784111777 s since 1970.
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("date");
        Hint::read(&headers.collect(), &names, now)
    }

    fn wait(pairs: &[(&'static str, &str)]) -> Option<u64> {
        read(pairs).throttled().map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_is_read_in_each_form() {
        let after = |text| read(&[("retry-after", text)]).wait.map(|wait| wait.as_secs());
        assert_eq!(after("7"), Some(7));
        assert_eq!(after(" 0 "), Some(0));
        assert_eq!(after("Sun, 06 Nov 1994 08:50:00 GMT"), Some(23));
        assert_eq!(after("Sunday, 06-Nov-94 08:50:00 GMT"), Some(23));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:00 GMT"), Some(0), "in the past");
        assert_eq!(after("1994-11-06T08:50:00Z"), Some(23));
        for nonsense in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(after(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn times_are_measured_by_the_answers_clock() {
        let date = ("date", "Sun, 06 Nov 1994 09:00:00 GMT");
        assert_eq!(wait(&[("retry-after", "Sun, 06 Nov 1994 09:00:10 GMT"), date]), Some(10));
        assert_eq!(wait(&[("x-epoch", "784112430"), date]), Some(30));
    }

    #[test]
    fn resets_are_read_in_each_form() {
        assert_eq!(wait(&[("x-epoch", "784111800")]), Some(23));
        assert_eq!(wait(&[("x-epoch-ms", "784111800000")]), Some(23));
        assert_eq!(wait(&[("x-seconds", "23")]), Some(23));
        assert_eq!(wait(&[("x-seconds", "23.9;w=60, 3")]), Some(23));
        assert_eq!(wait(&[("x-epoch", "0")]), None, "long past");
        assert_eq!(wait(&[("x-seconds", "-1")]), None);
        assert_eq!(wait(&[("x-epoch", "NaN")]), None);
        assert_eq!(wait(&[("retry-after", "5"), ("x-seconds", "60")]), Some(5), "what is asked for goes first");
        assert_eq!(wait(&[("retry-after", "99999999999999999")]), Some(LONGEST.as_secs()));
    }

    #[test]
    fn the_last_request_of_a_window_is_seen() {
        for (left, used_up) in [("0", true), ("-1", true), ("1", false), ("", false), ("many", false)] {
            assert_eq!(read(&[("x-left", left)]).used_up, used_up, "{left}");
        }
        let hint = read(&[("x-left", "0"), ("x-seconds", "9")]);
        assert_eq!((hint.wait, hint.reset), (None, Some(Duration::from_secs(9))));
    }
}
