//! What proves the user to the SQL API.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use backflow_core::code::Failure;
use backflow_core::plan::{Snowflake, SnowflakeCredential};
use backflow_core::secret::Secrets;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::SecretString;

use super::key::{Key, LIFETIME_SECONDS};
use crate::rest::Authorize;

const TOKEN_TYPE: HeaderName = HeaderName::from_static("x-snowflake-authorization-token-type");

/// A token is signed anew when it holds for less than this.
const MARGIN_SECONDS: i64 = 10 * 60;

/// The credential of a Source.
pub(super) enum Credential {
    /// Signs tokens.
    KeyPair {
        key: Box<Key>,
        /// `ACCOUNT.USER`.
        subject: String,
        /// The last token, and when it was signed.
        last: Mutex<Option<(SecretString, i64)>>,
    },
    /// Is a token, of this type.
    Token { token: SecretString, kind: &'static str },
}

impl Credential {
    pub(super) fn read(plan: &Snowflake, secrets: &dyn Secrets) -> Result<Self, Failure> {
        Ok(match &plan.credential {
            SnowflakeCredential::KeyPair { private_key, passphrase } => {
                let passphrase = passphrase.as_ref().map(|passphrase| secrets.read(passphrase)).transpose()?;
                Self::KeyPair {
                    key: Box::new(Key::read(&secrets.read(private_key)?, passphrase.as_ref())?),
                    subject: format!("{}.{}", account(&plan.account), plan.user),
                    last: Mutex::default(),
                }
            }
            SnowflakeCredential::AccessToken(token) => {
                Self::Token { token: secrets.read(token)?, kind: "PROGRAMMATIC_ACCESS_TOKEN" }
            }
            SnowflakeCredential::OauthToken(token) => Self::Token { token: secrets.read(token)?, kind: "OAUTH" },
        })
    }

    /// How to mend it, for a message.
    pub(super) fn cure(&self, user: &str) -> String {
        match self {
            Self::KeyPair { key, .. } => format!(
                "check account and user, the clock of this machine, and that DESC USER \"{user}\" shows RSA_PUBLIC_KEY_FP {}",
                key.fingerprint
            ),
            Self::Token { kind: "OAUTH", .. } => {
                "check account and user, and that the token in oauthToken has not expired: tokens of OAuth are short-lived".into()
            }
            Self::Token { .. } => format!(
                "check account and user, and that the token is listed and enabled in: SHOW USER PROGRAMMATIC ACCESS TOKENS FOR USER \"{user}\""
            ),
        }
    }
}

/// The account's name in a token: without region, in upper case.
fn account(account: &str) -> String {
    let end = if account.contains(".global") { account.find('-') } else { account.find('.') };
    account[..end.unwrap_or(account.len())].to_ascii_uppercase()
}

#[async_trait]
impl Authorize for Credential {
    async fn bearer(&self, stale: bool) -> Result<Option<SecretString>, Failure> {
        let (key, subject, last) = match self {
            Self::Token { token, .. } => return Ok(Some(token.clone())),
            Self::KeyPair { key, subject, last } => (key, subject, last),
        };
        let now = jiff::Timestamp::now().as_second();
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, signed)) = &*last
            && !stale
            && now - signed < LIFETIME_SECONDS - MARGIN_SECONDS
        {
            return Ok(Some(token.clone()));
        }
        let token = key.token(subject, now)?;
        *last = Some((token.clone(), now));
        Ok(Some(token))
    }

    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let kind = match self {
            Self::KeyPair { .. } => "KEYPAIR_JWT",
            Self::Token { kind, .. } => kind,
        };
        vec![(TOKEN_TYPE, HeaderValue::from_static(kind))]
    }
}

#[cfg(test)]
mod tests {
    use super::account;

    #[test]
    fn accounts_are_named_without_their_region() {
        for (written, named) in [
            ("myorg-account1", "MYORG-ACCOUNT1"),
            ("xy12345.eu-central-1", "XY12345"),
            ("xy12345.us-east-1.privatelink", "XY12345"),
            ("xy12345-hash.global", "XY12345"),
        ] {
            assert_eq!(account(written), named, "{written}");
        }
    }
}
