//! `backflow authorize`: a person's consent for a Destination, as a Secret manifest.

mod listen;
mod manifest;

use std::process::{Command, Stdio};
use std::time::Duration;

use backflow_core::code::Failure;
use backflow_core::secret::Secrets as _;
use backflow_destinations::{Consent, NoConsent};
use secrecy::SecretString;
use tokio::time::timeout;
use url::{Host, Url};

use crate::args::AuthorizeArgs;
use crate::console::Console;
use crate::secrets::{Given, LocalSecrets};
use crate::{exit, local, select, validate};
use listen::{Listener, Visit};

/// Runs the command and returns the exit code. Standard output has the manifest and nothing else.
pub(crate) async fn run(args: &AuthorizeArgs) -> u8 {
    let console = Console::new(true);
    let given = match Given::parse(&args.secrets.secrets) {
        Ok(given) => given,
        Err(message) => return select::usage(&message, &console),
    };
    let (manifests, problems) = validate::load(&args.input, &given);
    let destination = match select::one(&manifests, "Destination", args.destination.as_ref()) {
        Ok(destination) => destination,
        Err(why) => return select::stopped(why.into(), &problems, &console),
    };
    if let Some(code) = select::refused(&problems, Some(&[destination]), &console) {
        return code;
    }
    let Ok(plan) = local::destination(&manifests.definitions, destination) else {
        return select::usage("the Destination cannot be planned; see backflow validate", &console);
    };
    let secrets = LocalSecrets::new(&given, &manifests.secrets, &destination.namespace);
    let listener = match Listener::bind(&args.redirect_url).await {
        Ok(listener) => listener,
        Err(message) => return select::usage(&message, &console),
    };
    let consent = match Consent::begin(&plan, listener.redirect(), &secrets) {
        Ok(consent) => consent,
        Err(failure) => return failed(&destination.title(), &failure, &console),
    };
    let setting = consent.setting().to_owned();
    let Some(reference) = plan.secrets.get(&setting).cloned() else {
        let message =
            format!("{} does not say which Secret its {setting} is in; add it to spec.secrets", destination.title());
        return select::usage(&message, &console);
    };
    ask(&consent, listener.redirect(), args.no_browser, &console);
    let code = match timeout(args.timeout, answer(&consent, listener, &console)).await {
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => return failed(&destination.title(), &failure, &console),
        Err(_) => {
            let waited = backflow_core::duration::format_duration(args.timeout);
            console.error(format_args!(
                "{}: nobody agreed within {waited}; begin again, or give more --timeout",
                destination.title()
            ));
            return exit::FAILED;
        }
    };
    let token = match consent.redeem(code).await {
        Ok(token) => token,
        Err(failure) => return failed(&destination.title(), &failure, &console),
    };
    // The other secrets were read for the consent already, as far as it needs them.
    let others = plan.secrets.iter().filter(|(name, _)| **name != setting);
    let others = others.filter_map(|(_, reference)| Some((reference.clone(), secrets.read(reference).ok()?)));
    let all: Vec<_> = others.chain([(reference, token)]).collect();
    for secret in manifest::secrets(&all, args.input.namespace_of(destination)) {
        console.print(secret.trim_end());
    }
    console.error("Agreed. The manifest on standard output holds credentials: pipe it into kubectl apply -f -, or store it where secrets are stored.");
    exit::OK
}

fn failed(title: &str, failure: &Failure, console: &Console) -> u8 {
    console.error(format_args!("{title}: {} ({})", failure.message, failure.code));
    exit::FAILED
}

/// Shows the page on which the person agrees.
fn ask(consent: &Consent, redirect: &Url, no_browser: bool, console: &Console) {
    let address = consent.address();
    let opened = !no_browser && open(address);
    let how = if opened { "A browser opens this address" } else { "Open this address in a browser on this machine" };
    console.error(format_args!("{how} and agree there:\n\n  {address}\n\nThe answer comes to {redirect}, which the application must know as a redirect address."));
}

/// Asks the desktop to open an address; false where there is none.
fn open(address: &Url) -> bool {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let quiet = || (Stdio::null(), Stdio::null(), Stdio::null());
    let (input, output, errors) = quiet();
    let child = Command::new(program).arg(address.as_str()).stdin(input).stdout(output).stderr(errors).spawn();
    let Ok(mut child) = child else { return false };
    // It ends by itself as soon as a browser has the address.
    std::thread::spawn(move || child.wait());
    true
}

/// The code of the consent. Visits that have nothing to do with it are turned away, and the answer is waited for.
async fn answer(consent: &Consent, mut listener: Listener, console: &Console) -> Result<SecretString, Failure> {
    loop {
        let Visit { query, reply } = listener.next().await;
        match consent.code(&query) {
            Ok(code) => {
                reply.send(200, "Agreed. You can close this page and go back to the terminal.").await;
                return Ok(code);
            }
            Err(NoConsent::Denied(failure)) => {
                reply.send(200, "There was no consent. The terminal says why.").await;
                return Err(failure);
            }
            Err(NoConsent::Foreign) => {
                console.error("An answer that does not belong to this consent (its state is another) was turned away; still waiting.");
                reply
                    .send(400, "This answer belongs to another consent. Use the address that the terminal shows now.")
                    .await;
            }
        }
    }
}

/// Reads `--redirect-url`: an address of this machine.
pub(crate) fn redirect_url(text: &str) -> Result<Url, String> {
    let wrong = "must be an address of this machine by http, such as http://localhost:8123/callback";
    let url = Url::parse(text).map_err(|_| wrong.to_owned())?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if loopback && plain && url.scheme() == "http" { Ok(url) } else { Err(wrong.to_owned()) }
}

/// Reads `--timeout`.
pub(crate) fn patience(text: &str) -> Result<Duration, String> {
    let duration = backflow_core::duration::parse_duration(text).map_err(|error| error.to_string())?;
    let bounds = Duration::from_secs(1)..=Duration::from_secs(3600);
    if bounds.contains(&duration) { Ok(duration) } else { Err("must be from 1s to 1h".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_to_this_machine_only() {
        for good in ["http://127.0.0.1:0/callback", "http://localhost:8123", "http://[::1]:80/a/b"] {
            assert!(redirect_url(good).is_ok(), "{good}");
        }
        for bad in [
            "https://localhost/",
            "http://example.com/",
            "http://localhost.example.com/",
            "http://10.0.0.1/",
            "http://localhost/?a=b",
            "callback",
        ] {
            assert!(redirect_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn waiting_is_bounded() {
        assert_eq!(patience("90s"), Ok(Duration::from_secs(90)));
        for bad in ["0s", "2h", "soon"] {
            assert!(patience(bad).is_err(), "{bad}");
        }
    }
}
