//! Accounts whose refresh tokens work once, over several runs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use async_trait::async_trait;
use futures::future::join_all;
use reqwest::Url;
use reqwest::header::HeaderMap;

use super::super::oauth::{ClientAuth, Grant, OAuth, Refreshing, expires_in};
use super::super::token::{TokenClient, TokenError, TokenSource};
use super::*;
use crate::delivery::Trouble;
use crate::http::{Outgoing, RawAnswer};
use crate::testing::MemoryNotes;

/// A vendor that takes each refresh token once, and each access token until the next one is given.
#[derive(Default)]
struct Vendor {
    given: AtomicU32,
    /// What it was asked with.
    asked: Mutex<Vec<String>>,
    /// Refresh tokens that work twice: the answer to the first may have been lost.
    forgives: bool,
}

impl Vendor {
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl TokenClient for Vendor {
    async fn exchange(&self, request: Outgoing) -> Result<RawAnswer, Trouble> {
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(&request.body).into_owned().collect();
        let token = form["refresh_token"].clone();
        // Others get their turn meanwhile.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        self.asked.lock().unwrap().push(token.clone());
        let given = self.given.load(SeqCst);
        let valid =
            token == format!("canary-r{given}") || self.forgives && token == format!("canary-r{}", given.max(1) - 1);
        let (status, body) = if valid {
            let n = if token == format!("canary-r{given}") { given + 1 } else { given };
            self.given.store(n, SeqCst);
            let body = json!({"access_token": format!("canary-a{n}"), "refresh_token": format!("canary-r{n}"), "expires_in": 3600});
            (200, body)
        } else {
            (400, json!({"error": "invalid_grant"}))
        };
        Ok(RawAnswer { status, headers: HeaderMap::new(), body: body.to_string().into(), cut: false })
    }
}

fn access_token(answer: &RawAnswer) -> Result<Obtained, String> {
    let body: Value = serde_json::from_slice(&answer.body).map_err(|_| "no JSON".to_owned())?;
    let token = body["access_token"].as_str().ok_or("token.access_token is not there")?;
    let captured = BTreeMap::from([("host".to_owned(), Json::Text("h".to_owned()))]);
    Ok(Obtained { value: SecretString::from(token), captured: Json::Object(captured), expires_in: expires_in(answer) })
}

/// A run's source of tokens, with this refresh token in the Secret.
fn run(notes: &Arc<MemoryNotes>, secret: &str) -> TokenSource {
    let url: Url = "https://login.example.com/token".parse().unwrap();
    let first = SecretString::from(secret);
    let account = Account { destination: "shop/crm".into(), token_url: url.as_str(), client_id: "app", first: &first };
    let vault = Vault::new(Arc::clone(notes) as Arc<dyn Notes>, &account, Duration::from_secs(30)).unwrap();
    let oauth = OAuth {
        url: url.clone(),
        grant: Grant::RefreshToken(Refreshing::Kept(first, Box::new(vault))),
        client: ClientAuth::Body("app".into(), None),
        params: Vec::new(),
        headers: HeaderMap::new(),
        read: Box::new(access_token),
    };
    TokenSource::new(oauth, Expiry { unless_said: None, renew_before: Duration::from_secs(60) })
}

async fn token(source: &TokenSource, vendor: &Vendor) -> String {
    match source.token(vendor).await {
        Ok(token) => token.value.expose_secret().to_owned(),
        Err(error) => panic!("{error:?}"),
    }
}

async fn failure(source: &TokenSource, vendor: &Vendor) -> Failure {
    match source.token(vendor).await {
        Err(TokenError::Stop(failure)) => failure,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("there is a token"),
    }
}

fn at(seconds: u64) {
    clock::set(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds));
}

#[tokio::test]
async fn a_run_goes_on_from_what_the_one_before_it_was_given() {
    let (notes, vendor) = (Arc::new(MemoryNotes::default()), Vendor::default());
    at(0);
    assert_eq!(token(&run(&notes, "canary-r0"), &vendor).await, "canary-a1");
    at(600);
    assert_eq!(token(&run(&notes, "canary-r0"), &vendor).await, "canary-a1", "it is valid for an hour");
    let second = run(&notes, "canary-r0");
    let first = second.token(&vendor).await.unwrap();
    assert_eq!(first.captured, Json::parse(r#"{"host": "h"}"#).unwrap());
    assert!(second.refused(&first).await);
    assert_eq!(token(&second, &vendor).await, "canary-a2", "one that is refused is not used again");
    at(600 + 3600 - 30);
    assert_eq!(token(&run(&notes, "canary-r0"), &vendor).await, "canary-a3", "it is about to expire");
    assert_eq!(vendor.asked(), ["canary-r0", "canary-r1", "canary-r2"]);
}

#[tokio::test(start_paused = true)]
async fn runs_at_once_exchange_a_token_once_and_share_what_comes_of_it() {
    let (notes, vendor) = (Arc::new(MemoryNotes::default()), Vendor::default());
    at(0);
    let runs: Vec<TokenSource> = (0..8).map(|_| run(&notes, "canary-r0")).collect();
    let tokens = join_all(runs.iter().map(|run| token(run, &vendor))).await;
    assert_eq!(tokens, ["canary-a1"; 8]);
    assert_eq!(vendor.asked(), ["canary-r0"]);
    // All find out at once that it has ended.
    for run in &runs {
        let current = run.token(&vendor).await.unwrap();
        assert!(run.refused(&current).await);
    }
    let tokens = join_all(runs.iter().map(|run| token(run, &vendor))).await;
    assert_eq!(tokens, ["canary-a2"; 8]);
    assert_eq!(vendor.asked(), ["canary-r0", "canary-r1"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_kept_is_not_used() {
    // The turn is taken, the exchange made, and from then on the store is away.
    let notes = Arc::new(MemoryNotes { writings: Some(AtomicU32::new(1)), ..MemoryNotes::default() });
    let vendor = Vendor::default();
    at(0);
    let failed = failure(&run(&notes, "canary-r0"), &vendor).await;
    assert_eq!(failed.code, Code::DestinationUnauthorized);
    assert!(failed.message.contains("could not be kept") && !failed.message.contains("canary"), "{failed}");
}

/// What is left when a run dies between the exchange and its keeping.
async fn died(vendor: &Vendor) -> Arc<MemoryNotes> {
    let notes = Arc::new(MemoryNotes { writings: Some(AtomicU32::new(1)), ..MemoryNotes::default() });
    failure(&run(&notes, "canary-r0"), vendor).await;
    let left = notes.notes.lock().unwrap().clone();
    Arc::new(MemoryNotes { notes: Mutex::new(left), writings: None })
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_run_was_given_is_asked_for_again_or_explained() {
    at(0);
    let strict = Vendor::default();
    let notes = died(&strict).await;
    at(46);
    let failed = failure(&run(&notes, "canary-r0"), &strict).await;
    assert!(failed.message.contains("a run ended while it exchanged the refresh token"), "{failed}");
    // A person authorizes again: the new Secret has nothing to do with the lost token.
    strict.given.store(10, SeqCst);
    assert_eq!(token(&run(&notes, "canary-r10"), &strict).await, "canary-a11");
    assert_eq!(token(&run(&notes, "canary-r10"), &strict).await, "canary-a11");

    at(0);
    let forgiving = Vendor { forgives: true, ..Vendor::default() };
    let notes = died(&forgiving).await;
    at(46);
    assert_eq!(token(&run(&notes, "canary-r0"), &forgiving).await, "canary-a1");
    assert_eq!(forgiving.asked(), ["canary-r0", "canary-r0"]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_gives_the_turn_back() {
    let (notes, vendor) = (Arc::new(MemoryNotes::default()), Vendor::default());
    at(0);
    let failed = failure(&run(&notes, "canary-r7"), &vendor).await;
    assert!(!failed.message.contains("a run ended"), "{failed}");
    // The vendor takes it after all: nobody has to wait for a turn that is over.
    vendor.given.store(7, SeqCst);
    assert_eq!(token(&run(&notes, "canary-r7"), &vendor).await, "canary-a8");
}

#[tokio::test]
async fn what_is_kept_says_whose_it_is_and_shows_no_token() {
    let (notes, vendor) = (Arc::new(MemoryNotes::default()), Vendor::default());
    at(0);
    token(&run(&notes, "canary-r0"), &vendor).await;
    let kept = format!("{:?}", notes.notes.lock().unwrap());
    assert!(kept.contains("shop/crm") && !kept.contains("canary") && !kept.contains("exchange"), "{kept}");
    // Neither with another Secret nor under another name, nor a byte of it changed.
    let note = notes.only();
    let moved = Arc::new(MemoryNotes::default());
    token(&run(&moved, "canary-r1"), &vendor).await;
    moved.notes.lock().unwrap().values_mut().for_each(|other| other.text.clone_from(&note.text));
    let failed = failure(&run(&moved, "canary-r1"), &vendor).await;
    assert_eq!(failed.code, Code::StateDamaged);
}
