//! Tokens that a service gives for a while.

use std::future::Future;

use backflow_core::code::Failure;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::body::Body;
use super::{Authorize, Call, Service};

/// A token is renewed when it holds for less than this, in seconds.
const MARGIN: i64 = 5 * 60;
/// The longest that a token is believed to hold.
const LONGEST: i64 = 24 * 3600;
/// The longest answer of a token server.
const ANSWER: usize = 64 * 1024;

/// A token and until when it holds, in Unix seconds.
pub(crate) type Token = (SecretString, i64);

/// The last token.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Option<Token>>);

impl Kept {
    /// One that holds, and whether it is new: the last one, unless it was refused (`stale`) or ends soon, or what comes of `made`.
    ///
    /// # Errors
    /// Those of `made`.
    pub(crate) async fn token(
        &self,
        stale: bool,
        made: impl Future<Output = Result<Token, Failure>> + Send,
    ) -> Result<(SecretString, bool), Failure> {
        let mut last = self.0.lock().await;
        if let Some((token, until)) = &*last
            && !stale
            && jiff::Timestamp::now().as_second() + MARGIN < *until
        {
            return Ok((token.clone(), false));
        }
        let made = made.await?;
        let token = made.0.clone();
        *last = Some(made);
        Ok((token, true))
    }
}

/// Asks a token server of OAuth 2.0. `denied`: what a status and a body mean that bring no token.
///
/// # Errors
/// Those of [`Service::send`]; `denied`.
pub(crate) async fn ask(
    service: &Service,
    call: &Call,
    authorize: &dyn Authorize,
    denied: impl FnOnce(u16, &[u8]) -> Failure + Send,
) -> Result<Token, Failure> {
    #[derive(Deserialize)]
    struct Made {
        access_token: String,
        expires_in: i64,
    }
    let now = jiff::Timestamp::now().as_second();
    let response = service.send(call, authorize).await?;
    let status = response.status().as_u16();
    let body = Body::new(response).whole(ANSWER).await.map_err(|_| service.broken())?;
    if status != 200 {
        return Err(denied(status, &body));
    }
    let made: Made = serde_json::from_slice(&body).map_err(|_| service.strange(status))?;
    Ok((made.access_token.into(), now + made.expires_in.clamp(0, LONGEST)))
}

/// Where Microsoft Entra makes tokens of the cloud that a host is in.
pub(crate) fn entra(host: &str) -> &'static str {
    let host = host.to_ascii_lowercase();
    if host.ends_with(".us") || host.ends_with(".usgovcloudapi.net") {
        "login.microsoftonline.us"
    } else if host.ends_with(".cn") {
        "login.partner.microsoftonline.cn"
    } else {
        "login.microsoftonline.com"
    }
}
