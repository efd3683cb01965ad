//! Tokens: fetched once for all requests, renewed before they expire, given up when the destination refuses them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::Failure;
use backflow_expressions::Json;
use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::oauth::{OAuth, Obtained};
use crate::delivery::Trouble;
use crate::http::{Outgoing, RawAnswer};

/// Makes the requests for tokens. The destination's rates are not theirs.
#[async_trait]
pub(crate) trait TokenClient: Send + Sync {
    /// Sends a request and reads the answer.
    async fn exchange(&self, request: Outgoing) -> Result<RawAnswer, Trouble>;
}

/// A token in use.
pub(crate) struct Token {
    pub(crate) value: SecretString,
    /// What else the answer gave, under the names that the definition gives it.
    pub(crate) captured: Json,
    /// Which token it is.
    number: u64,
    /// When it should be renewed.
    renew: Option<Instant>,
    /// It was fetched because the one before it was refused.
    second: bool,
    /// A request went well with it.
    proved: AtomicBool,
}

impl Token {
    /// A request went well with it: when it is refused later, it has expired.
    pub(crate) fn accepted(&self) {
        self.proved.store(true, Relaxed);
    }
}

/// How long tokens live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expiry {
    /// If the answer does not say.
    pub(crate) unless_said: Option<Duration>,
    /// How long before its end a token is renewed.
    pub(crate) renew_before: Duration,
}

/// Why there is no token.
#[derive(Debug)]
pub(crate) enum TokenError {
    /// No answer.
    Trouble(Trouble),
    /// It may be given later: the status, and how long to wait if the answer says.
    Later(u16, Option<Duration>),
    /// It will not be given.
    Stop(Failure),
}

/// Fetches tokens, one at a time.
pub(crate) struct TokenSource {
    oauth: OAuth,
    expiry: Expiry,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Arc<Token>>,
    fetched: u64,
    /// The last token, if it was refused.
    refused: Option<SecretString>,
}

impl TokenSource {
    pub(crate) fn new(oauth: OAuth, expiry: Expiry) -> Self {
        Self { oauth, expiry, state: Mutex::default() }
    }

    /// The token to use now. Whoever comes while it is being fetched waits for that one.
    pub(crate) async fn token(&self, client: &dyn TokenClient) -> Result<Arc<Token>, TokenError> {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        if let Some(token) = state.token.as_ref().filter(|token| token.renew.is_none_or(|renew| renew > now)) {
            return Ok(Arc::clone(token));
        }
        let obtained = self.oauth.obtain(client, state.refused.as_ref(), self.expiry).await?;
        let Obtained { value, captured, expires_in } = obtained;
        state.fetched += 1;
        let lives = expires_in.or(self.expiry.unless_said);
        // A token that lives shorter than it is renewed early is used for half of its life.
        let renew = lives.map(|lives| now + lives.saturating_sub(self.expiry.renew_before).max(lives / 2));
        let (number, second) = (state.fetched, state.refused.take().is_some());
        let token = Arc::new(Token { value, captured, number, renew, second, proved: AtomicBool::new(false) });
        state.token = Some(Arc::clone(&token));
        Ok(token)
    }

    /// See [`super::Auth::unkept`].
    pub(crate) fn unkept(&self) -> bool {
        self.oauth.unkept()
    }

    /// See [`super::Auth::refused`]. A token that was fetched because the one before it was refused, and is refused before any request
    /// went well with it, shows that it is not the token: there is no use in a third.
    pub(crate) async fn refused(&self, token: &Token) -> bool {
        let mut state = self.state.lock().await;
        if state.token.as_ref().is_none_or(|current| current.number > token.number) {
            // Another request found out first.
            return true;
        }
        if token.second && !token.proved.load(Relaxed) {
            return false;
        }
        state.token = None;
        state.refused = Some(token.value.clone());
        true
    }
}
