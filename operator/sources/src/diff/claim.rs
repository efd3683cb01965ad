//! Taking a state for one run: whose it is, what it is bound to, and what the run's mode does to it.

use std::collections::BTreeMap;

use backflow_core::code::{Code, Failure};
use backflow_core::plan::{Mode, SyncPlan};
use backflow_core::result::{Counters, Phase};
use backflow_core::selection::{Selection, SyncMode};
use backflow_core::state::{Head, RunRow, StateStore};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::damage::internal;
use super::document::{Document, Engine, Full, Spec};
use super::packed::FORMAT;

/// How often a claim looks again because the run before it has just committed.
const LOOKS: usize = 20;

/// A claimed state.
pub(super) struct Claim {
    pub head: Head,
    pub document: Document,
    pub run: RunRow,
    /// What earlier pods of the run committed.
    pub carried: Counters,
}

/// Who claims, and for what.
pub(super) struct Claimant<'a> {
    pub plan: &'a SyncPlan,
    pub run: &'a str,
    pub owner: &'a str,
    /// Who is to keep the entries.
    pub engine: Engine,
    /// RFC 3339.
    pub now: String,
}

/// Claims the state of a Mapping: the next epoch is ours, or nothing has moved.
pub(super) async fn claim(store: &dyn StateStore, claimant: &Claimant<'_>, spec: Spec) -> Result<Claim, Failure> {
    let key = claimant.plan.mapping.state_key.as_str();
    let mut seen = store.head(key).await?;
    for _ in 1..LOOKS {
        match take(store, claimant, spec.clone(), seen.as_ref()).await {
            Err(failure) if failure.code == Code::Fenced => {
                let now = store.head(key).await?;
                let epoch = |head: &Option<Head>| head.as_ref().map(|head| head.epoch);
                if epoch(&now) != epoch(&seen) {
                    return Err(failure);
                }
                // Nobody else claims, but the pod that we replace still lives and has committed since we looked.
                seen = now;
            }
            other => return other,
        }
    }
    take(store, claimant, spec, seen.as_ref()).await
}

/// What a claim would be: nothing is written.
pub(super) async fn look(store: &dyn StateStore, claimant: &Claimant<'_>, spec: Spec) -> Result<Claim, Failure> {
    let seen = existing(store, &claimant.plan.mapping.state_key).await?;
    Ok(next(claimant, spec, seen.as_ref(), None)?.0)
}

/// The head of a key. Without a schema there is none.
async fn existing(store: &dyn StateStore, state_key: &str) -> Result<Option<Head>, Failure> {
    match store.head(state_key).await {
        Err(failure) if failure.code == Code::StateSchemaMissing => Ok(None),
        other => other,
    }
}

/// Claims the state if its head is still as it was seen.
async fn take(
    store: &dyn StateStore,
    claimant: &Claimant<'_>,
    spec: Spec,
    seen: Option<&Head>,
) -> Result<Claim, Failure> {
    let key = claimant.plan.mapping.state_key.as_str();
    let earlier = store.run(key, claimant.run).await?;
    let (claim, reset) = next(claimant, spec, seen, earlier)?;
    store.claim(key, seen, &claim.head, &claim.run, reset).await?;
    Ok(claim)
}

/// The next claim after what was seen, and whether it starts over.
fn next(
    claimant: &Claimant<'_>,
    spec: Spec,
    seen: Option<&Head>,
    earlier: Option<RunRow>,
) -> Result<(Claim, bool), Failure> {
    let key = claimant.plan.mapping.state_key.as_str();
    let (mut head, mut document, reset) = match seen {
        None => (empty_head(claimant.owner), fresh(claimant, spec.clone())?, false),
        Some(head) => {
            owned(key, &head.owner, claimant.owner, claimant.plan.options.adopt_state)?;
            match Document::read(key, head) {
                Ok(document) if claimant.plan.mode != Mode::Reset => (head.clone(), kept(claimant, document)?, false),
                Ok(document) if document.reset_by.as_deref() == Some(claimant.run) => {
                    (head.clone(), kept(claimant, document)?, false)
                }
                Ok(document) => (head.clone(), started_over(claimant, document.runs, head, spec.clone())?, true),
                // A Reset is the cure of damage. There were not more runs than claims.
                Err(failure) if claimant.plan.mode == Mode::Reset && failure.code == Code::StateDamaged => {
                    (head.clone(), started_over(claimant, head.epoch, head, spec.clone())?, true)
                }
                Err(failure) => return Err(failure),
            }
        }
    };
    if claimant.plan.mode == Mode::Reset {
        confirmed(claimant.plan)?;
        document.reset_by = Some(claimant.run.to_owned());
    }
    document.adopt_spec(spec);
    head.epoch += 1;
    head.format = FORMAT;
    claimant.owner.clone_into(&mut head.owner);
    if claimant.plan.mode == Mode::Full && document.full.as_ref().is_none_or(|full| full.by != claimant.run) {
        document.full = Some(Full { by: claimant.run.to_owned(), below: head.epoch });
    }
    let run = match earlier {
        Some(row) => RunRow { epoch: head.epoch, phase: Phase::Running, updated_at: claimant.now.clone(), ..row },
        None => {
            document.runs += 1;
            RunRow {
                name: claimant.run.to_owned(),
                number: document.runs,
                first_epoch: head.epoch,
                epoch: head.epoch,
                phase: Phase::Running,
                counters: Counters::default(),
                started_at: claimant.now.clone(),
                updated_at: claimant.now.clone(),
            }
        }
    };
    head.document = document.text()?;
    Ok((Claim { head, document, carried: run.counters.clone(), run }, reset))
}

/// Removes all state of a key. Whether there was any.
///
/// # Errors
/// [`Code::StateOwnedElsewhere`] unless `adopt`; [`Code::Fenced`] if a run claims it meanwhile; else what the store says.
pub async fn forget(store: &dyn StateStore, state_key: &str, owner: &str, adopt: bool) -> Result<bool, Failure> {
    // Without a schema there is nothing to forget, and no reason to make tables for it.
    match existing(store, state_key).await? {
        None => Ok(false),
        Some(head) => {
            owned(state_key, &head.owner, owner, adopt)?;
            store.forget(state_key, head.epoch).await
        }
    }
}

fn owned(key: &str, owner: &str, ours: &str, adopt: bool) -> Result<(), Failure> {
    if owner == ours || adopt {
        return Ok(());
    }
    Err(Failure::new(
        Code::StateOwnedElsewhere,
        format!(
            "state \"{key}\" belongs to cluster \"{owner}\", this is \"{ours}\"; if that cluster no longer runs this Mapping, take the \
             state over with a Sync with adoptState: true, else give the Mapping a stateKey of its own"
        ),
    ))
}

fn confirmed(plan: &SyncPlan) -> Result<(), Failure> {
    if plan.options.confirm || plan.mapping.selection != Selection::SyncMode(SyncMode::Mirror) {
        return Ok(());
    }
    Err(Failure::new(
        Code::ConfirmRequired,
        format!(
            "mapping \"{}\" is a Mirror: after a Reset, rows that were deleted since the last run stay at the destination; say confirm: true \
             in the Sync if that is meant",
            plan.mapping.name
        ),
    ))
}

fn empty_head(owner: &str) -> Head {
    Head { format: FORMAT, owner: owner.to_owned(), epoch: 0, generation: 0, segment: 0, document: String::new() }
}

fn fresh(claimant: &Claimant<'_>, spec: Spec) -> Result<Document, Failure> {
    Ok(Document {
        incarnation: incarnation()?,
        engine: claimant.engine,
        identity: claimant.plan.mapping.identity.clone(),
        primary_key: claimant.plan.model.primary_key.clone(),
        specs: BTreeMap::from([(0, spec)]),
        spec: 0,
        next_spec: 1,
        bits: 0,
        partitions: Vec::new(),
        folded: 0,
        rows: 0,
        committed_at: None,
        sync_name: None,
        runs: 0,
        reset_by: None,
        full: None,
        rev_floor: 0,
    })
}

/// A Reset: nothing stays but numbers that must not come again.
fn started_over(claimant: &Claimant<'_>, runs: u64, head: &Head, spec: Spec) -> Result<Document, Failure> {
    Ok(Document { folded: head.segment, runs, ..fresh(claimant, spec)? })
}

/// The next run on the same state, if it may go on.
fn kept(claimant: &Claimant<'_>, mut document: Document) -> Result<Document, Failure> {
    let plan = claimant.plan;
    if document.engine != claimant.engine {
        return Err(diff_changed(&plan.mapping.name, document.engine, claimant.engine));
    }
    if document.primary_key != plan.model.primary_key {
        return Err(Failure::new(
            Code::PrimaryKeyChanged,
            format!(
                "model \"{}\": the primary key was ({}) when the state was made and is now ({}); change it back, or start over with a Sync \
                 of mode Reset",
                plan.model.name,
                document.primary_key.join(", "),
                plan.model.primary_key.join(", ")
            ),
        ));
    }
    if document.identity != plan.mapping.identity {
        if !plan.options.adopt_state {
            return Err(identity_changed(&plan.mapping.name, &document.identity, &plan.mapping.identity));
        }
        document.identity.clone_from(&plan.mapping.identity);
    }
    Ok(document)
}

/// Hashes of one engine say nothing to the other: taken over, every row would look changed, and none deleted.
fn diff_changed(mapping: &str, old: Engine, new: Engine) -> Failure {
    Failure::new(
        Code::DiffChanged,
        format!(
            "mapping \"{mapping}\": its state was made by diff {old:?}, and the Source says {new:?} now; set the Source's diff back to {old:?}, or \
             start over with a Sync of mode Reset, which sends every row again"
        ),
    )
}

fn identity_changed(mapping: &str, old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Failure {
    let parts: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed: Vec<String> = parts
        .into_iter()
        .filter(|part| old.get(*part) != new.get(*part))
        .map(|part| match (old.get(part).map(|text| shown(text)), new.get(part).map(|text| shown(text))) {
            (Some(old), Some(new)) if old != new => format!("{part} was \"{old}\", is \"{new}\""),
            (Some(_), Some(_)) => format!("{part} changed"),
            (None, _) => format!("{part} is new"),
            (_, None) => format!("{part} is gone"),
        })
        .collect();
    Failure::new(
        Code::IdentityChanged,
        format!(
            "mapping \"{mapping}\": its state belongs to another place: {}; change it back, start over there with a Sync of mode Reset, or, if \
             it is the same place under another name, go on with a Sync with adoptState: true",
            backflow_core::code::cut(changed.join(", "), 240)
        ),
    )
}

/// A part of an identity as a message may show it. Of a URL only scheme and host: path and query are where webhooks carry their secrets.
fn shown(value: &str) -> String {
    let text = match value.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}")
        }
        None => value.to_owned(),
    };
    backflow_core::code::cut(text, 64)
}

/// 128 random bits of the operating system.
fn incarnation() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| internal("the operating system gives no random numbers"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
