//! Refresh tokens that a destination gave in exchange for older ones, kept from run to run where the states are.
//!
//! A kept text says whose it is, and holds the tokens sealed by AES-256-GCM. Its name and key are made (HKDF-SHA256) of the refresh token
//! in the Secret: who can read the state and not the Secret learns nothing, runs with equal Secrets find one text whatever their
//! Destinations are called, and a Secret that somebody authorized anew begins a text of its own.
//!
//! A token that works once must be exchanged by one run at a time. Who exchanges it says so in the text before (until when, at the
//! latest), and the others wait and then find the access token that came of it, which is kept too: a destination may end the access
//! token of one run when it gives another to the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use backflow_core::code::{Class, Code, Failure};
use backflow_core::failpoint;
use backflow_core::notes::{Note, Notes};
use backflow_expressions::Json;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::oauth::Obtained;
use super::token::Expiry;
use crate::clock;
use crate::delivery::Backoff;
use crate::encode::hex;

/// How often who waits for another run's exchange looks again.
const LOOK: Duration = Duration::from_secs(1);
/// What an exchange may take beyond its request's own time.
const MARGIN: Duration = Duration::from_secs(15);
/// Attempts to keep a token that replaces one which works no more.
const ATTEMPTS: u32 = 6;

/// Whose tokens they are.
pub(crate) struct Account<'a> {
    /// `namespace/name` of the Destination, for people.
    pub(crate) destination: String,
    pub(crate) token_url: &'a str,
    pub(crate) client_id: &'a str,
    /// The refresh token in the Secret.
    pub(crate) first: &'a SecretString,
}

/// The kept tokens of one account.
pub(crate) struct Vault {
    notes: Arc<dyn Notes>,
    name: String,
    destination: String,
    key: RandomizedNonceKey,
    /// How long an exchange takes, at the longest.
    exchange: Duration,
    /// This run, in the text.
    me: String,
}

/// What is kept.
struct Kept {
    refresh: SecretString,
    access: Option<Access>,
}

struct Access {
    token: SecretString,
    captured: Json,
    /// Seconds since 1970; none: it ends when it is refused.
    until: Option<u64>,
}

/// An exchange that was begun, by whom, and when it has ended at the latest (seconds since 1970).
struct Begun {
    by: String,
    until: u64,
}

/// The right to exchange the refresh token, until it is used or has run out.
pub(crate) struct Lease {
    note: Note,
    pub(crate) refresh: SecretString,
    /// A run began an exchange before, and never said what came of it.
    pub(crate) interrupted: bool,
}

/// What there is to do for a token.
pub(crate) enum Turn {
    /// Nothing: there is one.
    Access(Obtained),
    /// It is this run's turn to exchange the refresh token.
    Exchange(Lease),
}

impl Vault {
    /// `request`: the longest that the request for a token takes.
    pub(crate) fn new(notes: Arc<dyn Notes>, account: &Account<'_>, request: Duration) -> Result<Self, Failure> {
        let failed = |_| Failure::new(Code::Internal, "the key of kept tokens cannot be made");
        let salt = Salt::new(HKDF_SHA256, b"backflow refresh tokens 1");
        let secret = salt.extract(account.first.expose_secret().as_bytes());
        let key = RandomizedNonceKey::new(&AES_256_GCM, &derived(&secret, b"key", account)?).map_err(failed)?;
        let name = hex(&derived(&secret, b"name", account)?[..16]);
        Ok(Self {
            notes,
            name: format!("account/{name}"),
            destination: account.destination.clone(),
            key,
            exchange: request + MARGIN,
            me: format!("{:032x}", fastrand::u128(..)),
        })
    }

    /// What to do now. `first`: the refresh token in the Secret; `refused`: the access token that the destination refuses.
    pub(crate) async fn turn(
        &self,
        first: &SecretString,
        refused: Option<&SecretString>,
        expiry: Expiry,
    ) -> Result<Turn, Failure> {
        loop {
            let note = self.notes.read(&self.name).await?;
            let (kept, begun) = match &note {
                Some(note) => self.open(note)?,
                None => (Kept { refresh: first.clone(), access: None }, None),
            };
            let now = seconds(clock::now());
            let usable = |access: &&Access| {
                let new = refused.is_none_or(|refused| refused.expose_secret() != access.token.expose_secret());
                new && access.until.is_none_or(|until| until > now + expiry.renew_before.as_secs())
            };
            if let Some(access) = kept.access.as_ref().filter(usable) {
                return Ok(Turn::Access(Obtained {
                    value: access.token.clone(),
                    captured: access.captured.clone(),
                    expires_in: access.until.map(|until| Duration::from_secs(until.saturating_sub(now))),
                }));
            }
            if begun.as_ref().is_some_and(|begun| begun.by != self.me && begun.until > now) {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            let mine = Begun { by: self.me.clone(), until: now + self.exchange.as_secs() };
            let text = self.seal(&kept, Some(&mine))?;
            if let Some(note) = self.notes.write(&self.name, note.as_ref(), &text).await? {
                return Ok(Turn::Exchange(Lease { note, refresh: kept.refresh, interrupted: begun.is_some() }));
            }
            // Somebody was faster: look again.
        }
    }

    /// Keeps what came of an exchange, before anything is done with it: the token before may be worth nothing from now on. `obtained` is
    /// absent if the answer has no access token.
    pub(crate) async fn keep(
        &self,
        lease: Lease,
        refresh: &SecretString,
        obtained: Option<&Obtained>,
        expiry: Expiry,
    ) -> Result<(), Failure> {
        failpoint::hit("after-refresh");
        let now = seconds(clock::now());
        let access = obtained.map(|obtained| Access {
            token: obtained.value.clone(),
            captured: obtained.captured.clone(),
            until: obtained.expires_in.or(expiry.unless_said).map(|lives| now + lives.as_secs()),
        });
        let text = self.seal(&Kept { refresh: refresh.clone(), access }, None)?;
        let mut note = lease.note;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let written = match self.notes.write(&self.name, Some(&note), &text).await {
                Ok(Some(_)) => return Ok(()),
                // The lease had run out, and somebody has taken it.
                Ok(None) => self.notes.read(&self.name).await,
                Err(failure) => Err(failure),
            };
            match written {
                Ok(Some(now)) if self.open(&now)?.0.refresh.expose_secret() == lease.refresh.expose_secret() => {
                    note = now
                }
                Ok(Some(_)) => {
                    tracing::warn!("another run has exchanged the same refresh token meanwhile: what it keeps counts");
                    return Ok(());
                }
                Ok(None) => return Err(unkept("it was removed from the state meanwhile")),
                Err(failure) if attempt >= ATTEMPTS || failure.code.class() != Class::Transient => {
                    return Err(unkept(&failure.message));
                }
                Err(_) => tokio::time::sleep(Backoff::default().after(attempt, fastrand::f64())).await,
            }
        }
    }

    /// Gives the turn back: nothing came of it.
    pub(crate) async fn give_back(&self, lease: Lease) {
        let given = async {
            let text = self.seal(&self.open(&lease.note)?.0, None)?;
            self.notes.write(&self.name, Some(&lease.note), &text).await.map(drop)
        };
        if let Err(failure) = given.await {
            tracing::warn!(code = %failure.code, message = failure.message, "the next exchange of a refresh token has to wait");
        }
    }

    fn seal(&self, kept: &Kept, begun: Option<&Begun>) -> Result<String, Failure> {
        let failed = |_| Failure::new(Code::Internal, "tokens cannot be sealed");
        let access = kept.access.as_ref().map(|access| {
            json!({
                "token": access.token.expose_secret(),
                "captured": access.captured.to_string(),
                "until": access.until,
            })
        });
        let mut sealed = json!({"refresh": kept.refresh.expose_secret(), "access": access}).to_string().into_bytes();
        let nonce = self.key.seal_in_place_append_tag(Aad::from(self.name.as_bytes()), &mut sealed).map_err(failed)?;
        let mut bytes = nonce.as_ref().to_vec();
        bytes.append(&mut sealed);
        let mut text = json!({"destination": self.destination, "sealed": STANDARD.encode(bytes)});
        if let Some(Begun { by, until }) = begun {
            text["exchange"] = json!({"by": by, "until": until});
        }
        Ok(text.to_string())
    }

    fn open(&self, note: &Note) -> Result<(Kept, Option<Begun>), Failure> {
        let read = || {
            let text: Value = serde_json::from_str(&note.text).ok()?;
            let mut bytes = STANDARD.decode(text["sealed"].as_str()?).ok()?;
            let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let opened = self.key.open_in_place(nonce, Aad::from(self.name.as_bytes()), sealed).ok()?;
            let said: Value = serde_json::from_slice(opened).ok()?;
            let access = &said["access"];
            let access = access["token"].as_str().map(|token| Access {
                token: SecretString::from(token),
                captured: access["captured"]
                    .as_str()
                    .and_then(|text| Json::parse_answer(text).ok())
                    .unwrap_or_else(|| Json::Object(BTreeMap::new())),
                until: access["until"].as_u64(),
            });
            let exchange = &text["exchange"];
            let begun = exchange["by"]
                .as_str()
                .zip(exchange["until"].as_u64())
                .map(|(by, until)| Begun { by: by.to_owned(), until });
            Some((Kept { refresh: SecretString::from(said["refresh"].as_str()?), access }, begun))
        };
        read().ok_or_else(|| {
            let message = format!(
                "the tokens of Destination \"{}\" that are kept in the state as {} were changed by somebody else; authorize again and store \
                 the new refresh token in the Secret",
                self.destination, self.name
            );
            Failure::new(Code::StateDamaged, message)
        })
    }
}

fn derived(secret: &Prk, what: &[u8], account: &Account<'_>) -> Result<[u8; 32], Failure> {
    let failed = |_| Failure::new(Code::Internal, "the key of kept tokens cannot be made");
    let info = [what, b"\n", account.token_url.as_bytes(), b"\n", account.client_id.as_bytes()];
    let mut bytes = [0; 32];
    secret.expand(&info, &AES_256_GCM).map_err(failed)?.fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn unkept(why: &str) -> Failure {
    let message = format!(
        "the destination gave a new refresh token in exchange for the old one, and it could not be kept: {why}; if the next run is refused, \
         authorize again and store the new refresh token in the Secret"
    );
    Failure::new(Code::DestinationUnauthorized, message)
}

#[cfg(test)]
#[path = "vault_tests.rs"]
mod tests;
