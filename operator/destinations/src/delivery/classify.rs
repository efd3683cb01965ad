//! What an answer means by its status, where no rule of the definition says otherwise.

use backflow_core::code::{Code, Failure};

/// The classes of answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The request was taken: the rules of results say what became of each record.
    Taken,
    /// All is already as it should be.
    Ignored,
    /// A record's content is wrong.
    Rejected,
    /// The batch is too large.
    TooLarge,
    /// Too fast: the whole connection waits.
    Throttled,
    /// It may go better the next time.
    Transient,
    /// The credentials are refused: another token may do.
    Unauthorized(Failure),
    /// Configuration: the run ends, nothing is lost.
    Stop(Failure),
}

/// The place that a user looks at, in messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'a> {
    /// What the destination is called.
    pub(crate) shown: &'a str,
    /// The user chose the URL.
    pub(crate) user_url: bool,
}

impl Words<'_> {
    /// The failure of credentials that are refused.
    pub(crate) fn unauthorized(&self) -> Failure {
        let message = format!("{} refuses the credentials; check spec.secrets and the account", self.shown);
        Failure::new(Code::DestinationUnauthorized, message)
    }

    /// The failure of a wrong configuration.
    pub(crate) fn misconfigured(&self, status: u16, why: &str) -> Failure {
        Failure::new(Code::DestinationMisconfigured, format!("{} answers {status}: {why}", self.shown))
    }

    fn cure(&self) -> &'static str {
        if self.user_url { "settings.url" } else { "spec.settings of the Destination and spec.config of the Mapping" }
    }
}

/// Classifies an answer by its status. `hinted`: it says how long to wait. `html`: its body is a web page.
pub(crate) fn by_status(status: u16, hinted: bool, html: bool, deletion: bool, words: Words<'_>) -> Class {
    let misconfigured = |why: &str| Class::Stop(words.misconfigured(status, why));
    let cure = words.cure();
    match status {
        200..=299 if html => misconfigured(&format!(
            "a web page instead of a receiver, such as a login or a proxy; records are not taken as delivered; check {cure}"
        )),
        200..=299 => Class::Taken,
        401 => Class::Unauthorized(words.unauthorized()),
        403 => misconfigured(&format!(
            "the credentials are known, but may not send here; check the account's permissions and {cure}"
        )),
        // What is to be deleted is not there: as it should be. A user's own receiver must say so by 2xx.
        404 if deletion && !words.user_url => Class::Ignored,
        404 | 410 => misconfigured(&format!("there is no receiver at this path; check {cure}")),
        405 if words.user_url => {
            misconfigured("the receiver does not take this method; check settings.method and settings.url")
        }
        405 => misconfigured(&format!("the receiver does not take this method; check {cure}")),
        407 => misconfigured("a proxy on the way wants credentials; check the proxy of the worker's environment"),
        408 | 425 | 429 => Class::Throttled,
        // Another request holds what this one needs.
        423 => Class::Transient,
        413 => Class::TooLarge,
        400..=499 => Class::Rejected,
        501 if words.user_url => misconfigured("the receiver cannot do this; check settings.method and settings.url"),
        501 => misconfigured(&format!("the receiver cannot do this; check {cure}")),
        505 => misconfigured(&format!("the receiver does not speak this version of HTTP; check {cure}")),
        500..=599 if hinted => Class::Throttled,
        500..=599 => Class::Transient,
        300..=399 => {
            misconfigured(&format!("a redirect, which is never followed; set {cure} to the address that it leads to"))
        }
        _ => misconfigured(&format!("this is not an answer to a request; check {cure}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: Words<'_> = Words { shown: "http://a", user_url: true };

    fn class(status: u16) -> Class {
        by_status(status, false, false, false, WORDS)
    }

    fn stop(class: Class) -> Code {
        match class {
            Class::Stop(failure) | Class::Unauthorized(failure) => failure.code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_status_has_one_class() {
        for status in [200, 201, 202, 204, 207, 299] {
            assert_eq!(class(status), Class::Taken, "{status}");
        }
        for status in [400, 402, 406, 409, 411, 412, 415, 418, 422, 431, 451] {
            assert_eq!(class(status), Class::Rejected, "{status}");
        }
        for status in [408, 425, 429] {
            assert_eq!(class(status), Class::Throttled, "{status}");
        }
        for status in [423, 500, 502, 503, 504, 507, 520, 599] {
            assert_eq!(class(status), Class::Transient, "{status}");
        }
        assert_eq!(class(413), Class::TooLarge);
        assert_eq!(stop(class(401)), Code::DestinationUnauthorized);
        for status in [101, 300, 301, 302, 303, 304, 307, 308, 403, 404, 405, 407, 410, 501, 505, 600, 999] {
            assert_eq!(stop(class(status)), Code::DestinationMisconfigured, "{status}");
        }
    }

    #[test]
    fn a_hint_makes_a_server_error_a_throttle_and_a_page_no_acknowledgement() {
        assert_eq!(by_status(503, true, false, false, WORDS), Class::Throttled);
        let page = |status| by_status(status, false, true, false, WORDS);
        assert_eq!(stop(page(200)), Code::DestinationMisconfigured);
        assert_eq!(page(502), Class::Transient);
    }

    #[test]
    fn what_is_to_be_deleted_and_not_there_is_as_it_should_be() {
        let vendor = Words { user_url: false, ..WORDS };
        assert_eq!(by_status(404, false, false, true, vendor), Class::Ignored);
        assert_eq!(stop(by_status(404, false, false, false, vendor)), Code::DestinationMisconfigured);
        assert_eq!(stop(by_status(404, false, false, true, WORDS)), Code::DestinationMisconfigured, "a wrong path");
    }
}
