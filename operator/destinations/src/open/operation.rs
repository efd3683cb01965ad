//! An operation's requests, prepared for one run.

use backflow_core::code::Failure;
use backflow_definitions::{
    Action, Asking, Http, Job as DefinedJob, Operation as Defined, Request as DefinedRequest, ResultsMode, Scope,
};

use crate::action::{Ensure, Job, Lookup, Operation, Rates, Request};
use crate::http::Reading;

pub(super) fn bind(
    http: &'static Http,
    action: &'static Action,
    defined: &'static Defined,
    constants: &Scope<'_>,
    rates: &Rates,
    own: &[usize],
) -> Result<Operation, Failure> {
    let binding = Binding { constants, rates, own };
    let ensure = defined.ensure.iter().map(|ensure| {
        Ok::<_, Failure>(Ensure::new(
            ensure,
            binding.asking(ensure.lookup.as_ref())?,
            binding.asking(ensure.create.as_ref())?,
        ))
    });
    let ensure = ensure.collect::<Result<_, _>>()?;
    let lookup = defined
        .lookup
        .as_ref()
        .map(|lookup| Ok::<_, Failure>(Lookup { defined: lookup, request: binding.request(&lookup.request)? }));
    let rules = [defined.errors.as_slice(), action.errors.as_slice(), http.errors.as_slice()];
    Ok(Operation {
        request: binding.request(&defined.request)?,
        ensure,
        lookup: lookup.transpose()?,
        job: defined.job.as_ref().map(|job| binding.job(job)).transpose()?,
        reading: reading(defined, http, &rules),
        rules,
        delivery: action.delivery,
        defined,
    })
}

struct Binding<'a> {
    constants: &'a Scope<'a>,
    rates: &'a Rates,
    own: &'a [usize],
}

impl Binding<'_> {
    fn request(&self, defined: &'static DefinedRequest) -> Result<Request, Failure> {
        Request::bind(defined, self.constants, self.rates, self.own)
    }

    fn optional(&self, defined: Option<&'static DefinedRequest>) -> Result<Option<Request>, Failure> {
        defined.map(|defined| self.request(defined)).transpose()
    }

    fn asking(&self, asking: Option<&'static Asking>) -> Result<Option<Request>, Failure> {
        self.optional(asking.map(|asking| &asking.request))
    }

    fn job(&self, defined: &'static DefinedJob) -> Result<Job, Failure> {
        Ok(Job {
            upload: self.optional(defined.upload.as_ref())?,
            start: self.optional(defined.start.as_ref())?,
            poll: self.request(&defined.poll.request)?,
            results: defined.results.iter().map(|results| self.request(&results.request)).collect::<Result<_, _>>()?,
            abort: self.optional(defined.abort.as_ref())?,
            defined,
        })
    }
}

/// Whether any rule reads the body of an answer to the write itself.
fn reading(defined: &Defined, http: &Http, rules: &[&'static [backflow_definitions::ErrorRule]; 3]) -> Reading {
    let silent = matches!(defined.results.mode, ResultsMode::Whole | ResultsMode::Accepted)
        && defined.results.requires.is_none()
        && defined.job.is_none()
        && http.limits.retry_after_body.is_none()
        && rules.iter().all(|rules| rules.is_empty());
    if silent { Reading::Sniff } else { Reading::Rules }
}
