//! A page of a result, as it arrives.

use backflow_core::code::{Code, Failure};
use reqwest::Response;

use super::Service;
use super::body::Body;
use super::scan::{Scanner, Unreadable};

/// A page that is being read.
pub(crate) struct Page<'a> {
    service: &'a Service,
    body: Body,
    scanner: Option<Scanner>,
    /// Rows that it has.
    rows: u64,
    /// Rows that were read before, by a page that broke off.
    skip: u64,
    seen: u64,
}

impl<'a> Page<'a> {
    /// Of `rows` rows, which `scanner` finds; the first `skip` of them are passed over.
    pub(crate) fn new(service: &'a Service, response: Response, scanner: Scanner, rows: u64, skip: u64) -> Self {
        Self { service, body: Body::new(response), scanner: Some(scanner), rows, skip, seen: 0 }
    }

    /// Rows that were handed out.
    pub(crate) fn passed(&self) -> u64 {
        self.seen.saturating_sub(self.skip)
    }

    /// Reads a bounded piece and hands out the rows that end in it. Whether there is more.
    ///
    /// # Errors
    /// What `row` says; `ConnectionFailed` if the page is not whole.
    pub(crate) async fn piece(&mut self, mut row: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<bool, Failure> {
        let broken = || self.service.broken();
        let Some(scanner) = &mut self.scanner else { return Ok(false) };
        let Some(piece) = self.body.next().await.map_err(|_| broken())? else {
            let whole = self.scanner.take().and_then(Scanner::around).is_some();
            return if whole && self.seen == self.rows { Ok(false) } else { Err(broken()) };
        };
        let (seen, skip) = (&mut self.seen, self.skip);
        let read = scanner.feed::<Unfit>(&piece, |bytes| {
            if *seen >= skip {
                row(bytes).map_err(Unfit::Row)?;
            }
            *seen += 1;
            Ok(())
        });
        read.map_err(|unfit| unfit.failure(self.service, 200))?;
        Ok(true)
    }
}

/// Why a piece is no use.
pub(crate) enum Unfit {
    Row(Failure),
    Form(Unreadable),
}

impl From<Unreadable> for Unfit {
    fn from(unreadable: Unreadable) -> Self {
        Self::Form(unreadable)
    }
}

impl Unfit {
    pub(crate) fn failure(self, service: &Service, status: u16) -> Failure {
        match self {
            Self::Row(failure) => failure,
            Self::Form(Unreadable::Malformed) => service.strange(status),
            Self::Form(Unreadable::TooLong) => {
                let message = format!("{} sent a row of more than 64 MiB; leave its long columns out", service.name);
                Failure::new(Code::LimitExceeded, message)
            }
        }
    }
}
