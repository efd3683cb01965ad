//! How requests prove who sends them: credentials that are placed, tokens that are fetched, signatures.
//!
//! Secrets are in [`SecretString`]s and headers that are marked sensitive; no type here shows one in its `Debug`, no error repeats one.

mod assertion;
mod hmac;
mod oauth;
mod oauth1;
mod place;
mod sigv4;
mod token;
mod vault;

use std::sync::Arc;
use std::time::SystemTime;

use backflow_core::code::{Code, Failure};
use backflow_core::sigv4::SigV4;
use secrecy::{ExposeSecret as _, SecretString};

pub(crate) use self::hmac::{HmacSignature, Mac};
pub(crate) use assertion::{Algorithm, Assertion, SigningKey};
pub(crate) use oauth::{ClientAuth, Grant, KNOWN_ERRORS, OAuth, Obtained, Refreshing, expires_in};
pub(crate) use oauth1::OAuth1;
pub(crate) use place::Place;
pub(crate) use token::{Expiry, Token, TokenClient, TokenError, TokenSource};
pub(crate) use vault::{Account, Vault};

use crate::http::Outgoing;

/// One thing that a scheme does to a request, in the order in which schemes name them. Signatures come last: they are over the rest.
pub(crate) enum Part {
    /// A credential of the Destination's Secrets.
    Fixed(Place, SecretString),
    /// A token that is fetched.
    Token(Place),
    /// A signature over body and time.
    Hmac(HmacSignature),
    /// A signature over the whole request, as AWS wants it.
    SigV4(SigV4),
    /// A signature over the request and its form, as OAuth 1.0a wants it.
    OAuth1(OAuth1),
}

impl Part {
    /// Whether it is over everything that the others add.
    pub(crate) fn signs(&self) -> bool {
        match self {
            Self::Fixed(..) | Self::Token(_) => false,
            Self::Hmac(_) | Self::SigV4(_) | Self::OAuth1(_) => true,
        }
    }
}

/// A Destination's way to authenticate.
pub(crate) struct Auth {
    pub(crate) parts: Vec<Part>,
    /// Where tokens come from, if any part or any captured value needs them.
    pub(crate) tokens: Option<TokenSource>,
}

impl Auth {
    /// The token that the next request goes with, fetched if there is none or it is about to expire.
    pub(crate) async fn token(&self, client: &dyn TokenClient) -> Result<Option<Arc<Token>>, TokenError> {
        match &self.tokens {
            Some(tokens) => tokens.token(client).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether asking for a token here would lose the refresh token that comes with it.
    pub(crate) fn unkept(&self) -> bool {
        self.tokens.as_ref().is_some_and(TokenSource::unkept)
    }

    /// The destination refused this token: whether another one may do. Each token is given up once, however many requests went with it.
    pub(crate) async fn refused(&self, token: &Token) -> bool {
        match &self.tokens {
            Some(tokens) => tokens.refused(token).await,
            None => false,
        }
    }

    /// Adds credentials and signatures to a request.
    pub(crate) fn apply(&self, request: &mut Outgoing, token: Option<&Token>, now: SystemTime) -> Result<(), Failure> {
        for part in &self.parts {
            match part {
                Part::Fixed(place, secret) => place.put(request, secret.expose_secret())?,
                Part::Token(place) => {
                    let token =
                        token.ok_or_else(|| Failure::new(Code::Internal, "a request has no token to go with"))?;
                    place.put(request, token.value.expose_secret())?;
                }
                Part::Hmac(signature) => signature.sign(request, now)?,
                Part::SigV4(scheme) => sigv4::sign(scheme, request, now)?,
                Part::OAuth1(scheme) => scheme.sign(request, now)?,
            }
        }
        Ok(())
    }
}

/// A credential that cannot be used as it is.
pub(crate) fn unusable(what: &str, why: &str) -> Failure {
    Failure::new(Code::DestinationUnauthorized, format!("{what} {why}; put the right value into its Secret"))
}
