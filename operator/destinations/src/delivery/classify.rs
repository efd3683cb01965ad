//! What an answer means.

use backflow_core::code::{Code, Failure};

use super::Answer;

/// The classes of answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The batch is acknowledged.
    Delivered,
    /// A record's content is wrong.
    Rejected,
    /// The batch is too large.
    TooLarge,
    /// Too fast: the whole connection waits.
    Throttled,
    /// It may go better the next time.
    Transient,
    /// Credentials or configuration: the run ends, nothing is lost.
    Stop(Failure),
}

/// Classifies an answer by its status. `shown` names the destination in messages.
pub(crate) fn classify(answer: &Answer, shown: &str) -> Class {
    let status = answer.status;
    let misconfigured = |why: &str| {
        Class::Stop(Failure::new(Code::DestinationMisconfigured, format!("{shown} answers {status}: {why}")))
    };
    match status {
        200..=299 if answer.html => misconfigured(
            "a web page instead of a receiver, such as a login or a proxy; records are not taken as delivered; check settings.url",
        ),
        200..=299 => Class::Delivered,
        401 => Class::Stop(Failure::new(
            Code::DestinationUnauthorized,
            format!("{shown} refuses the credentials; check spec.secrets and the account"),
        )),
        403 => misconfigured(
            "the credentials are known, but may not send here; check the account's permissions and settings.url",
        ),
        404 | 410 => misconfigured("there is no receiver at this path; check settings.url"),
        405 => misconfigured("the receiver does not take this method; check settings.method and settings.url"),
        407 => misconfigured("a proxy on the way wants credentials; check the proxy of the worker's environment"),
        408 | 425 | 429 => Class::Throttled,
        // Another request holds what this one needs.
        423 => Class::Transient,
        413 => Class::TooLarge,
        400..=499 => Class::Rejected,
        501 => misconfigured("the receiver cannot do this; check settings.method and settings.url"),
        505 => misconfigured("the receiver does not speak this version of HTTP; check settings.url"),
        500..=599 if answer.retry_after.is_some() => Class::Throttled,
        500..=599 => Class::Transient,
        300..=399 => {
            misconfigured("a redirect, which is never followed; set settings.url to the address that it leads to")
        }
        _ => misconfigured("this is not an answer to a request; check settings.url"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn class(status: u16) -> Class {
        classify(&Answer { status, retry_after: None, html: false }, "http://a/b")
    }

    fn stop(class: Class) -> Code {
        match class {
            Class::Stop(failure) => failure.code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_status_has_one_class() {
        for status in [200, 201, 202, 204, 207, 299] {
            assert_eq!(class(status), Class::Delivered, "{status}");
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
        let busy = Answer { status: 503, retry_after: Some(Duration::from_secs(1)), html: false };
        assert_eq!(classify(&busy, "x"), Class::Throttled);
        let page = |status| classify(&Answer { status, retry_after: None, html: true }, "x");
        assert_eq!(stop(page(200)), Code::DestinationMisconfigured);
        assert_eq!(page(502), Class::Transient);
    }
}
