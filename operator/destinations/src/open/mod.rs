//! From a plan to something that sends: settings and secrets are read, requests prepared, nothing is called.

mod auth;
mod operation;
mod secrets;

use std::collections::BTreeMap;
use std::sync::Arc;

use backflow_core::code::{Code, Failure};
use backflow_core::plan::{DestinationPlan, MappingPlan};
use backflow_core::secret::Secrets;
use backflow_core::sink::BatchLimits;
use backflow_definitions::{
    Action as DefinedAction, Definition, Hosts, Http, LimitHeaders, Ordering, Scope, Variable, complete,
};
use backflow_expressions::Json;
use reqwest::header::HeaderName;
use sha2::{Digest as _, Sha256};

use crate::Keeping;
use crate::action::{AROUND, Action, Connection, Ensured, Jobs, Rates, base, shown_or};
use crate::delivery::{Backoff, Settings};
use crate::encode::hex;
use crate::http::{Client, Timeouts};
use crate::pace::{Concurrency, HintHeaders, Usage};

pub(crate) use auth::{Building, pairs};
pub(crate) use secrets::read as read_secrets;

/// What is known of a Destination without a Mapping.
pub(crate) struct Opening<'a> {
    pub(crate) definition: &'static Definition,
    pub(crate) http: &'static Http,
    pub(crate) plan: &'a DestinationPlan,
    pub(crate) secrets: &'a dyn Secrets,
    /// Where the account is remembered; none where only a question is asked.
    pub(crate) keeping: Option<Keeping>,
}

/// Checks a plan against the definition that it was made for.
pub(crate) fn fitting(definition: &Definition, plan: &DestinationPlan) -> Result<(), Failure> {
    let invalid = |message: String| Failure::new(Code::PlanInvalid, message);
    if definition.version != plan.definition_version {
        return Err(invalid(format!(
            "the plan was made for version {} of the definition {}, this program has version {}; start the run again",
            plan.definition_version, definition.id, definition.version
        )));
    }
    match definition.check_settings(&plan.settings).into_iter().next() {
        Some(finding) => Err(invalid(finding.message)),
        None => Ok(()),
    }
}

impl<'a> Opening<'a> {
    /// Checks the plan against its definition.
    pub(crate) fn new(
        definition: &'static Definition,
        plan: &'a DestinationPlan,
        secrets: &'a dyn Secrets,
        keeping: Option<Keeping>,
    ) -> Result<Self, Failure> {
        fitting(definition, plan)?;
        let invalid = |message: String| Failure::new(Code::PlanInvalid, message);
        let http = definition
            .http()
            .ok_or_else(|| invalid(format!("{} is not spoken to by HTTP in this version", definition.title)))?;
        Ok(Self { definition, http, plan, secrets, keeping })
    }

    /// The most requests in flight.
    fn concurrency(&self) -> Concurrency {
        let defined = self.http.limits.concurrency;
        let max = self.plan.limits.concurrency.unwrap_or(defined.max).max(1) as usize;
        Concurrency { max, initial: (defined.initial as usize).clamp(1, max), adaptive: defined.adaptive }
    }

    /// What runs of this Destination use of its rates is kept by its account as far as settings say it: another account begins anew.
    fn usage(&self, rates: &Rates) -> Option<Usage> {
        let (keeping, kept) = (self.keeping.as_ref()?, rates.kept());
        if kept.is_empty() {
            return None;
        }
        let plan = self.plan;
        let settings = serde_json::to_string(&plan.settings).unwrap_or_default();
        let mut hash = Sha256::new();
        for part in [&keeping.cluster, &keeping.namespace, &plan.name, &plan.kind, &plan.auth, &settings] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let name = format!("rates/{}", &hex(&hash.finalize())[..32]);
        let destination = format!("{}/{}", keeping.namespace, plan.name);
        Some(Usage::new(Arc::clone(&keeping.notes), name, destination, kept))
    }

    /// The connection of all requests. `cfg`: the Mapping's config.
    pub(crate) fn connection(&self, cfg: Json) -> Result<Connection, Failure> {
        let settings = complete(&self.definition.settings, &self.plan.settings);
        let known = secrets::read(self.definition, self.plan, self.secrets, &settings)?;
        let scheme = self.definition.auth_scheme(Some(&self.plan.auth));
        let scheme = scheme.map_err(|finding| Failure::new(Code::PlanInvalid, finding.message))?;
        let schemes: Vec<_> = std::iter::once(scheme)
            .chain(&self.definition.auth.always)
            .filter(|scheme| scheme.applies(&known))
            .collect();
        let user_url = matches!(self.http.hosts, Hosts::UserDefined { .. });

        let url = auth::base_url(&schemes).unwrap_or(&self.http.base_url);
        let base = if url.names(Variable::Auth) {
            None
        } else {
            let scope = Scope::new().with(Variable::Settings, &known).with(Variable::Cfg, &cfg);
            Some(base(url, &scope).map_err(|error| Failure::new(Code::PlanInvalid, error.0))?)
        };
        let timeouts = Timeouts { connect: self.http.connect_timeout, request: self.http.timeout };
        let connections = self.concurrency().max;
        let client = Client::new(&self.http.hosts, base.as_ref(), self.plan.allow_loopback, connections, timeouts)?;
        if let Some(base) = &base {
            client.admit(base)?;
        }
        let auth = auth::Building { opening: self, settings: &known, base: base.as_ref() }.build(&schemes)?;
        Ok(Connection {
            http: self.http,
            client,
            auth,
            shown: shown_or(base.as_ref(), &self.definition.title),
            base,
            settings,
            cfg,
            hints: hints(&self.http.limits.headers),
            user_url,
        })
    }

    /// An action, and how its destination is spoken to.
    pub(crate) fn action(&self, mapping: &MappingPlan) -> Result<(Action, Settings), Failure> {
        let invalid = |message: String| Failure::new(Code::PlanInvalid, message);
        let defined: &'static DefinedAction =
            self.definition.action(&mapping.action).map_err(|finding| invalid(finding.message))?;
        let settings = complete(&self.definition.settings, &self.plan.settings);
        if let Some(finding) = defined.check_config(&mapping.config, &settings).into_iter().next() {
            return Err(invalid(finding.message));
        }
        let connection = self.connection(complete(&defined.config, &mapping.config))?;
        let per_second = self.plan.limits.requests_per_second;
        let mut rates = Rates::new(&self.http.limits.rates, per_second);
        let shared = rates.add_all(&defined.rates, per_second);
        let operations = defined.operations.iter().map(|operation| {
            let mut own = shared.clone();
            own.extend(rates.add_all(&operation.rates, per_second));
            operation::bind(self.http, defined, operation, &connection.scope(), &rates, &own)
        });
        let operations = operations.collect::<Result<Vec<_>, _>>()?;
        let mut concurrency = self.concurrency();
        if defined.ordering == Ordering::Serial {
            concurrency = Concurrency { max: 1, initial: 1, ..concurrency };
        }
        let limits = BatchLimits {
            max_records: defined.batch.max_records.max(1) as usize,
            max_bytes: data_bytes(defined),
            concurrency: concurrency.max,
        };
        let settings = Settings {
            limits,
            concurrency,
            rates: rates.gate(),
            usage: self.usage(&rates),
            retry: mapping.retry,
            backoff: Backoff { base: self.http.limits.retry_base, max: self.http.limits.retry_max },
        };
        let (match_by, group_by) = (mapping.match_by.clone(), mapping.group_by.clone());
        let has_jobs = defined.operations.iter().any(|operation| operation.job.is_some());
        let jobs = self
            .keeping
            .as_ref()
            .filter(|_| has_jobs)
            .map(|keeping| Jobs::new(Arc::clone(&keeping.notes), &mapping.state_key));
        Ok((
            Action { defined, connection, operations, ensured: Ensured::default(), jobs, match_by, group_by },
            settings,
        ))
    }
}

/// Bytes of data that fill a request: less than its body has, by what stands around each record.
fn data_bytes(defined: &DefinedAction) -> usize {
    let most = usize::try_from(defined.batch.max_bytes).unwrap_or(usize::MAX);
    most.saturating_sub(defined.batch.max_records as usize * AROUND).max(most / 2)
}

/// The config of something that is asked for without a Mapping.
pub(crate) fn no_config() -> Json {
    Json::Object(BTreeMap::new())
}

fn hints(headers: &LimitHeaders) -> HintHeaders {
    let name = |text: &Option<String>| text.as_ref().and_then(|text| HeaderName::from_bytes(text.as_bytes()).ok());
    let default = HintHeaders::default();
    HintHeaders {
        retry_after: name(&headers.retry_after).unwrap_or(default.retry_after),
        remaining: name(&headers.remaining),
        reset_epoch: name(&headers.reset_epoch),
        reset_epoch_ms: name(&headers.reset_epoch_ms),
        reset_seconds: name(&headers.reset_seconds),
    }
}
