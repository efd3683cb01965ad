//! Work that a request begins and that ends later: upload, start, poll, read the results.

use std::collections::BTreeMap;
use std::time::Duration;

use backflow_core::code::{Code, Failure};
use backflow_definitions::{Encoding, Job as Defined, Scope, Template, Variable};
use backflow_expressions::Json;
use tokio::time::Instant;

use super::report::Answers;
use super::request::{Request, Sending};
use super::{Action, Answer, Ask, Exchanged, Keep, Operation, pages};
use crate::delivery::{Backoff, Line, Reply, Stopper};
use crate::encode::read_csv;
use crate::http::Reading;

/// Polls that may fail one after the other.
const FAILED_POLLS: u32 = 10;
/// How long ending a job is tried before the run ends itself.
const ABORT_TIME: Duration = Duration::from_secs(10);
/// Entries of all results of a job, at most: as many as a batch has records, and as many failures of each.
const LONGEST: usize = 200_000;

/// A job, prepared for one run.
pub(crate) struct Job {
    pub(crate) defined: &'static Defined,
    pub(crate) upload: Option<Request>,
    pub(crate) start: Option<Request>,
    pub(crate) poll: Request,
    /// In the order of the definition's results.
    pub(crate) results: Vec<Request>,
    pub(crate) abort: Option<Request>,
}

/// The answers that tell what became of the records.
pub(super) struct JobResults {
    named: Vec<(&'static str, Answer)>,
    polled: Answer,
}

impl JobResults {
    pub(super) fn answers(&self) -> Answers<'_> {
        let named: Vec<_> = self.named.iter().map(|(name, answer)| (*name, answer)).collect();
        let default = named.first().map_or(&self.polled, |(_, answer)| *answer);
        Answers { named, default }
    }
}

/// How a job goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Done,
    Failed,
}

/// What all requests of a job share.
struct Running<'a> {
    job: &'a Job,
    action: &'a Action,
    operation: &'a Operation,
    scope: Scope<'a>,
    line: &'a Line<'a>,
    /// Where it is remembered.
    keep: Option<Keep<'a>>,
}

impl Job {
    /// Goes on from the answer of the first request to the results.
    pub(super) async fn run(
        &self,
        (action, operation): (&Action, &Operation),
        scope: Scope<'_>,
        sending: Sending<'_>,
        answer: &Answer,
        keep: Option<Keep<'_>>,
        line: &Line<'_>,
    ) -> Result<JobResults, Box<Reply>> {
        let about = self.about(&answer.scope(scope)).map_err(Box::new)?;
        let scope = scope.with(Variable::Job, &about);
        let running = Running { job: self, action, operation, scope, line, keep };
        let complete = self.upload.is_none() && self.start.is_none();
        if let Some(keep) = keep {
            keep.begun(&about, complete).await;
        }
        let results = match running.filled(sending).await {
            Ok(()) => {
                if let Some(keep) = keep.filter(|_| !complete) {
                    keep.begun(&about, true).await;
                }
                running.followed().await
            }
            Err(reply) => Err(reply),
        };
        running.ended(results).await
    }

    /// What became of the job of this request, if an earlier pod began it and it can be asked for: nothing means that its records are to be
    /// sent anew.
    pub(super) async fn resumed(
        &self,
        action: &Action,
        operation: &Operation,
        scope: Scope<'_>,
        keep: Keep<'_>,
        line: &Line<'_>,
    ) -> Option<Result<JobResults, Box<Reply>>> {
        let begun = keep.jobs.take(keep.batch).await?;
        let about = begun.about()?;
        let scope = scope.with(Variable::Job, &about);
        let running = Running { job: self, action, operation, scope, line, keep: Some(keep) };
        if !begun.started {
            tracing::info!("a job that an earlier pod did not fill is ended, and its records are sent anew");
            running.abort().await;
            return None;
        }
        tracing::info!("going on with a job that an earlier pod began");
        match running.followed().await {
            // The run ends, or the destination is away: the job goes on.
            Err(reply @ Reply::Again { .. }) => {
                keep.jobs.give_back(begun).await;
                Some(Err(Box::new(reply)))
            }
            Err(reply) if line.stopper.stopped().is_none() => {
                tracing::warn!(?reply, "a job that an earlier pod began came to nothing; its records are sent anew");
                None
            }
            results => Some(running.ended(results).await),
        }
    }

    /// `job`, as its requests see it.
    fn about(&self, scope: &Scope<'_>) -> Result<Json, Reply> {
        let value = |template: &Template| template.value(scope).ok().flatten().filter(|value| *value != Json::Null);
        let id = value(&self.defined.id).ok_or_else(|| {
            Reply::Unreadable(Failure::new(
                Code::DestinationMisconfigured,
                "the answer that begins a job has no id of it",
            ))
        })?;
        let mut members = BTreeMap::from([("id".to_owned(), id)]);
        for (name, template) in &self.defined.capture {
            if let Some(value) = value(template) {
                members.insert(name.clone(), value);
            }
        }
        Ok(Json::Object(members))
    }
}

impl Running<'_> {
    /// Gives it its records.
    async fn filled(&self, sending: Sending<'_>) -> Result<(), Reply> {
        if let Some(upload) = &self.job.upload {
            let values = upload.values(Some(sending), false).map_err(|error| Exchanged::from(error).reply(0))?;
            let scope = values.as_ref().map_or(self.scope, |values| self.scope.with(Variable::Items, values));
            self.ask(upload, scope, Some(sending), Reading::Rules).await?;
        }
        if let Some(start) = &self.job.start {
            self.ask(start, self.scope, None, Reading::Rules).await?;
        }
        Ok(())
    }

    /// Waits for its end, and reads what came of it.
    async fn followed(&self) -> Result<JobResults, Reply> {
        let polled = self.poll().await?;
        let mut named = Vec::with_capacity(self.job.results.len());
        for (defined, request) in self.job.defined.results.iter().zip(&self.job.results) {
            named.push((defined.id.as_str(), self.results(defined, request).await?));
        }
        Ok(JobResults { named, polled })
    }

    /// A job whose outcome nobody waits for is ended at the destination, unless another pod will ask for it.
    async fn ended(&self, results: Result<JobResults, Reply>) -> Result<JobResults, Box<Reply>> {
        match &results {
            Ok(_) => {
                if let Some(keep) = self.keep {
                    keep.through();
                }
            }
            Err(Reply::Unreadable(_)) => {}
            Err(Reply::Stop(failure)) if self.keep.is_some() && goes_on(failure) => {}
            Err(_) => self.abort().await,
        }
        results.map_err(Box::new)
    }

    async fn ask(
        &self,
        request: &Request,
        scope: Scope<'_>,
        sending: Option<Sending<'_>>,
        reading: Reading,
    ) -> Result<Option<Answer>, Reply> {
        match self.action.connection.exchange(self.asking(request, scope, sending, reading), self.line).await {
            Exchanged::Taken(answer) => Ok(Some(*answer)),
            Exchanged::Ignored => Ok(None),
            other => Err(other.reply(0)),
        }
    }

    fn asking<'r>(
        &'r self,
        request: &'r Request,
        scope: Scope<'r>,
        sending: Option<Sending<'r>>,
        reading: Reading,
    ) -> Ask<'r> {
        Ask { request, scope, sending, reading, rules: &self.operation.rules, deletion: false, once: false }
    }

    /// Asks until the job is through.
    async fn poll(&self) -> Result<Answer, Reply> {
        let poll = &self.job.defined.poll;
        let end = Instant::now() + poll.max;
        let mut failed = 0;
        loop {
            self.line.wait(poll.every).await.map_err(Reply::Stop)?;
            match self.ask(&self.job.poll, self.scope, None, Reading::Rules).await {
                Ok(answer) => {
                    failed = 0;
                    let answer = answer.ok_or_else(|| self.lost("is not there any more"))?;
                    match self.state(&answer)? {
                        State::Done => return Ok(answer),
                        State::Failed => return Err(self.lost("failed at the destination")),
                        State::Running => {}
                    }
                }
                // The job goes on, whether it can be asked for or not.
                Err(Reply::Again { wait, throttled, .. }) if failed < FAILED_POLLS => {
                    failed += 1;
                    let wait = wait.unwrap_or_else(|| Backoff::default().after(failed, fastrand::f64()));
                    if throttled {
                        self.line.pause(wait, true);
                    }
                    self.line.wait(wait).await.map_err(Reply::Stop)?;
                }
                Err(reply) => return Err(reply),
            }
            if Instant::now() >= end {
                return Err(self.lost(&format!("did not end within {} s", poll.max.as_secs())));
            }
        }
    }

    fn state(&self, answer: &Answer) -> Result<State, Reply> {
        let state = self.job.defined.poll.state.text(&answer.scope(self.scope)).ok().flatten();
        match state.as_deref() {
            Some("running") => Ok(State::Running),
            Some("done") => Ok(State::Done),
            Some("failed") => Ok(State::Failed),
            _ => {
                let message = format!("{} does not say how a job goes", self.action.connection.shown);
                Err(Reply::Unreadable(Failure::new(Code::DestinationMisconfigured, message)))
            }
        }
    }

    fn lost(&self, how: &str) -> Reply {
        let message = format!("a job of {} {how}", self.action.connection.shown);
        Reply::Again { why: Failure::new(Code::RetriesExhausted, message), wait: None, throttled: false }
    }

    /// Reads one list of results, all pages of it, as one answer.
    async fn results(
        &self,
        defined: &'static backflow_definitions::JobResult,
        request: &Request,
    ) -> Result<Answer, Reply> {
        let shown = &self.action.connection.shown;
        let unreadable = |why: &str| {
            let message = format!("{shown} gives results of a job that are not understood: {why}");
            Reply::Unreadable(Failure::new(Code::DestinationMisconfigured, message))
        };
        let mut rows: Vec<Json> = Vec::new();
        let mut last = None;
        let ask = self.asking(request, self.scope, None, Reading::Results);
        pages(&self.action.connection, &ask, defined.paginate.as_ref(), self.line, |answer| {
            if answer.raw.cut {
                return Err(unreadable("they are too long"));
            }
            let body = decoded(&answer, defined.decode).map_err(|why| unreadable(&why))?;
            let mut read = 0;
            match body {
                Json::List(items) => {
                    read = items.len();
                    rows.extend(items);
                    last = Some(Json::Null);
                }
                // A document with its list somewhere inside: of several pages, lists of equal names are put together.
                other => last = Some(joined(last.take(), other)),
            }
            if rows.len() > LONGEST {
                return Err(unreadable("they are too many"));
            }
            Ok((read, answer))
        })
        .await?;
        let body = match last {
            Some(Json::Null) | None => Json::List(rows),
            Some(document) => document,
        };
        let raw = crate::http::RawAnswer {
            status: 200,
            headers: reqwest::header::HeaderMap::new(),
            body: bytes::Bytes::new(),
            cut: false,
        };
        Ok(Answer::new(raw, &self.action.connection.hints, true).with_body(body))
    }

    /// Ends the job at the destination, as far as that goes.
    async fn abort(&self) {
        let Some(abort) = &self.job.abort else { return };
        let asking = self.asking(abort, self.scope, None, Reading::Sniff);
        // Also when the run is asked to stop.
        let unstopped = Stopper::new(tokio::sync::watch::channel(None).1);
        let line = Line { stopper: &unstopped, ..*self.line };
        let aborted = self.action.connection.exchange(asking, &line);
        if tokio::time::timeout(ABORT_TIME, aborted).await.is_err() {
            tracing::warn!("a job could not be ended at the destination");
        }
    }
}

/// Whether the run goes on in another pod, or is taken up by the next.
fn goes_on(failure: &Failure) -> bool {
    matches!(failure.code, Code::Terminated | Code::DeadlineExceeded)
}

/// A body of results.
fn decoded(answer: &Answer, decode: Encoding) -> Result<Json, String> {
    let text = || std::str::from_utf8(&answer.raw.body).map_err(|_| "they are no text".to_owned());
    match decode {
        Encoding::Csv => read_csv(&answer.raw.body).map(|rows| Json::from(&rows)).map_err(|error| error.to_string()),
        Encoding::Ndjson => {
            let lines = text()?.lines().filter(|line| !line.trim().is_empty());
            let rows = lines.map(|line| Json::parse_answer(line).map_err(|error| error.to_string()));
            Ok(Json::List(rows.collect::<Result<_, _>>()?))
        }
        Encoding::Json | Encoding::Form | Encoding::Text | Encoding::Multipart if answer.readable() => {
            Ok(answer.body().clone())
        }
        _ => Err("they are no JSON document".to_owned()),
    }
}

/// Two pages of a document as one: lists are put together, of everything else the later page counts.
fn joined(before: Option<Json>, page: Json) -> Json {
    match (before, page) {
        (Some(Json::List(mut before)), Json::List(page)) => {
            before.extend(page);
            Json::List(before)
        }
        (Some(Json::Object(mut before)), Json::Object(page)) => {
            for (name, value) in page {
                let value = joined(before.remove(&name), value);
                before.insert(name, value);
            }
            Json::Object(before)
        }
        (_, page) => page,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_document_are_put_together() {
        let page = |text: &str| Json::parse(text).unwrap();
        let first = joined(None, page(r#"{"data": [1, 2], "links": {"next": "b"}}"#));
        let both = joined(Some(first), page(r#"{"data": [3], "links": {"next": null}}"#));
        assert_eq!(both, page(r#"{"data": [1, 2, 3], "links": {"next": null}}"#));
    }
}
