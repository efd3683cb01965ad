//! Trying a Destination without sending rows, and asking it for the choices that it offers.

use std::time::Duration;

use backflow_core::code::{Code, Failure};
use backflow_definitions::{ErrorRule, Variable};
use backflow_expressions::Json;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;
use tokio::sync::watch;

use crate::action::{Ask, Connection, Exchanged, Rates, Request, pages};
use crate::delivery::{Backoff, Line, Reply, Stopper, Tally};
use crate::http::{Outgoing, Reading};
use crate::open::{Opening, no_config};
use crate::pace::{Concurrency, Gate};

/// How long a used-up rate is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Choices that are read.
const CHOICES: usize = 10_000;

/// A value that config or a field may have at this account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The value.
    pub value: String,
    /// What the destination calls it.
    pub label: Option<String>,
}

/// Makes the definition's check; what the destination calls the account, or its server.
pub(crate) async fn check(opening: &Opening<'_>) -> Result<String, Failure> {
    let connection = opening.connection(no_config())?;
    if connection.auth.unkept() {
        return reach(&connection).await;
    }
    let Some(check) = &opening.http.check else {
        // Without a request that does no harm, a token is all that can be tried.
        let token = connection.auth.token(&connection.client).await;
        return match token {
            Ok(_) => Ok(connection.shown.clone()),
            Err(error) => Err(failed(&connection, connection.no_token(error))),
        };
    };
    let rates = Rates::new(&opening.http.limits.rates, opening.plan.limits.requests_per_second);
    let request = Request::bind(&check.request, &connection.scope(), &rates, &[])?;
    let rules: [&'static [ErrorRule]; 2] = [&check.errors, &opening.http.errors];
    let judged = !check.errors.is_empty() || !opening.http.errors.is_empty();
    let reading =
        if check.expect.is_some() || check.account.is_some() || judged { Reading::Rules } else { Reading::Sniff };
    let ask = Ask {
        request: &request,
        scope: connection.scope(),
        sending: None,
        reading,
        rules: &rules,
        deletion: false,
        once: false,
    };
    let apart = Apart::new(&rates);
    match connection.exchange(ask, &apart.line()).await {
        Exchanged::Taken(answer) => {
            let scope = answer.scope(connection.scope());
            if check.expect.as_ref().is_some_and(|expect| !expect.holds(&scope)) {
                let message = format!(
                    "{} answers {} to the check, but not as an account does; check spec.settings and spec.secrets",
                    connection.shown, answer.status
                );
                return Err(Failure::new(Code::DestinationMisconfigured, message));
            }
            let account = check.account.as_ref().and_then(|template| template.text(&scope).ok().flatten());
            let account =
                account.filter(|name| !name.is_empty() && name.len() <= 256 && !name.contains(char::is_control));
            Ok(account.unwrap_or_else(|| connection.shown.clone()))
        }
        Exchanged::Ignored => Ok(connection.shown.clone()),
        other => Err(failed(&connection, other.reply(0))),
    }
}

/// Whether the server answers at all, whatever it says to a request without credentials.
async fn reach(connection: &Connection) -> Result<String, Failure> {
    if let Some(base) = &connection.base {
        let request =
            Outgoing { method: Method::HEAD, url: base.clone(), headers: HeaderMap::new(), body: Bytes::new() };
        connection.client.send(request, Reading::Sniff).await.map_err(|trouble| trouble.failure)?;
    }
    Ok(connection.shown.clone())
}

/// The choices of one of the definition's lists.
pub(crate) async fn discover(opening: &Opening<'_>, id: &str) -> Result<Vec<Choice>, Failure> {
    let defined = opening.http.discover.iter().find(|discover| discover.id == id);
    let defined = defined.ok_or_else(|| {
        Failure::new(Code::PlanInvalid, format!("{} has no list of choices \"{id}\"", opening.definition.title))
    })?;
    let connection = opening.connection(no_config())?;
    let rates = Rates::new(&opening.http.limits.rates, opening.plan.limits.requests_per_second);
    let request = Request::bind(&defined.request, &connection.scope(), &rates, &[])?;
    let rules: [&'static [ErrorRule]; 1] = [&opening.http.errors];
    let ask = Ask {
        request: &request,
        scope: connection.scope(),
        sending: None,
        reading: Reading::Rules,
        rules: &rules,
        deletion: false,
        once: false,
    };
    let mut choices: Vec<Choice> = Vec::new();
    let apart = Apart::new(&rates);
    let line = apart.line();
    let unreadable = || {
        let message = format!("the list \"{id}\" of {} is not as the definition says", connection.shown);
        Reply::Unreadable(Failure::new(Code::DestinationMisconfigured, message))
    };
    let read = pages(&connection, &ask, defined.paginate.as_ref(), &line, |answer| {
        let scope = answer.scope(connection.scope());
        let items = match defined.from.value(&scope) {
            Ok(Some(Json::List(items))) => items,
            Ok(None | Some(Json::Null)) => Vec::new(),
            _ => return Err(unreadable()),
        };
        for (index, it) in (0..).map(Json::Int).zip(&items) {
            let scope = scope.with(Variable::It, it).with(Variable::Index, &index);
            let value = defined.value.text(&scope).map_err(|_| unreadable())?;
            let label = defined.label.as_ref().and_then(|label| label.text(&scope).ok().flatten());
            choices.extend(value.map(|value| Choice { value, label }));
        }
        if choices.len() > CHOICES {
            let message = format!("the list \"{id}\" has more than {CHOICES} entries; name the value yourself");
            return Err(Reply::Stop(Failure::new(Code::LimitExceeded, message)));
        }
        Ok((items.len(), answer))
    });
    match read.await {
        Ok(()) => Ok(choices),
        Err(reply) => Err(failed(&connection, reply)),
    }
}

/// The way of requests that belong to no run.
struct Apart {
    gate: Gate,
    stopper: Stopper,
    tally: Tally,
}

impl Apart {
    fn new(rates: &Rates) -> Self {
        let concurrency = Concurrency { max: 1, initial: 1, adaptive: false };
        let stopper = Stopper::new(watch::channel(None).1);
        Self { gate: Gate::new(concurrency, &rates.gate(), Backoff::default(), None), stopper, tally: Tally::default() }
    }

    fn line(&self) -> Line<'_> {
        Line { gate: &self.gate, stopper: &self.stopper, tally: &self.tally, patience: PATIENCE }
    }
}

/// Why a request that is made once came to nothing.
fn failed(connection: &Connection, reply: Reply) -> Failure {
    let misconfigured = |message: String| Failure::new(Code::DestinationMisconfigured, message);
    match reply {
        Reply::Stop(failure) | Reply::Unreadable(failure) => failure,
        Reply::Again { why, .. } if why.code == Code::RetriesExhausted => {
            Failure::new(Code::DestinationUnreachable, format!("{}; it is tried again", why.message))
        }
        Reply::Again { why, .. } => why,
        Reply::Refused { status, .. } => misconfigured(format!(
            "{} answers {status} to the check; check spec.settings and the account",
            connection.shown
        )),
        Reply::TooLarge | Reply::Unknown | Reply::Verdicts { .. } => {
            misconfigured(format!("{} does not answer the check as its definition says", connection.shown))
        }
    }
}
