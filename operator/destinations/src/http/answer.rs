//! How much of an answer is read.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::HeaderMap;

/// The most of a body that is read when only its kind counts, and for how long: enough to recognise a web page and to use the
/// connection again.
const SNIFF: usize = 64 * 1024;
const SNIFF_TIME: Duration = Duration::from_secs(2);
/// The most of a body that rules read.
const LONGEST: usize = 8 * 1024 * 1024;
/// The most of a job's results.
const LONGEST_RESULTS: usize = 64 * 1024 * 1024;

/// What an answer's body is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// No rule reads it: the status line is the acknowledgement, and the body's end is waited for only shortly.
    Sniff,
    /// Rules read it.
    Rules,
    /// It is a job's list of results.
    Results,
}

/// An answer.
#[derive(Clone)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The body was longer than is ever read: it is no document.
    pub(crate) cut: bool,
}

impl RawAnswer {
    /// Reads what counts.
    ///
    /// # Errors
    /// The connection broke before the end of a body that is needed.
    pub(crate) async fn read(mut response: Response, reading: Reading) -> Result<Self, reqwest::Error> {
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        let most = match reading {
            Reading::Sniff => SNIFF,
            Reading::Rules => LONGEST,
            Reading::Results => LONGEST_RESULTS,
        };
        let reading_all = async {
            while let Some(chunk) = response.chunk().await? {
                let room = most - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let cut = match reading {
            // Whatever happens to the rest of the body: it was taken.
            Reading::Sniff => matches!(tokio::time::timeout(SNIFF_TIME, reading_all).await, Ok(Ok(true)) | Err(_)),
            Reading::Rules | Reading::Results => reading_all.await?,
        };
        Ok(Self { status, headers, body: body.into(), cut })
    }

    /// Whether the body is a web page. Its content type does not tell: many a small framework calls its plain `ok` text/html.
    pub(crate) fn is_html(&self) -> bool {
        let start = self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.body).trim_ascii_start();
        [&b"<!doctype html"[..], b"<html"]
            .iter()
            .any(|tag| start.len() >= tag.len() && start[..tag.len()].eq_ignore_ascii_case(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_pages_are_recognised_and_a_plain_ok_is_not_one() {
        let is_html = |text: &str| {
            let body = Bytes::copy_from_slice(text.as_bytes());
            RawAnswer { status: 200, headers: HeaderMap::new(), body, cut: false }.is_html()
        };
        for page in ["<!DOCTYPE html><p>", " \r\n<html lang=en>", "\u{feff}<!doctype HTML>"] {
            assert!(is_html(page), "{page}");
        }
        for other in ["", "ok", "{\"a\":\"<html>\"}", "<htm", "<?xml version=\"1.0\"?>"] {
            assert!(!is_html(other), "{other}");
        }
    }
}
