//! Which hosts a definition may call. Judged of every URL after rendering: settings, tokens and answers have a say in URLs.

use std::net::IpAddr;

use backflow_core::code::{Code, Failure};
use backflow_definitions::Hosts;
use reqwest::Url;
use url::Host;

use crate::address::{forbidden, private};

/// Judges a URL. `local`: the run may call loopback, and may do so without TLS.
///
/// # Errors
/// [`Code::AddressForbidden`], with the host but nothing else of the URL.
pub(crate) fn admit(hosts: &Hosts, url: &Url, local: bool) -> Result<(), Failure> {
    let forbidden_host = |why: &str| {
        let host = url.host_str().unwrap_or_default();
        Err(Failure::new(Code::AddressForbidden, format!("{host} {why}")))
    };
    let literal: Option<IpAddr> = match url.host() {
        Some(Host::Ipv4(address)) => Some(address.into()),
        Some(Host::Ipv6(address)) => Some(address.into()),
        Some(Host::Domain(_)) => None,
        None => return Err(Failure::new(Code::PlanInvalid, "a URL of the definition names no host")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return forbidden_host("is called with user and password in the URL; credentials belong into secrets");
    }
    if !local && literal.is_some_and(forbidden) {
        return forbidden_host(
            "is a loopback, link-local or metadata address, which a run in a cluster never calls; name a Service or a public host",
        );
    }
    if !local && hosts.deny_private_networks() && literal.is_some_and(private) {
        return forbidden_host("is a private address, which this destination never has; name its public host");
    }
    match hosts {
        Hosts::UserDefined { .. } if matches!(url.scheme(), "http" | "https") => Ok(()),
        Hosts::UserDefined { .. } => forbidden_host("is called by neither http nor https"),
        Hosts::Allow { names, .. } if !hosts.allow(url.host_str().unwrap_or_default()) => forbidden_host(&format!(
            "is not a host of this destination (its definition allows {}); check settings and credentials",
            names.join(", ")
        )),
        Hosts::Allow { .. } if url.scheme() == "https" || (local && loopback(url)) => Ok(()),
        Hosts::Allow { .. } => {
            forbidden_host("is called without TLS, which only a local run may do to its own machine")
        }
    }
}

/// Whether a URL's host is this machine.
pub(crate) fn loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.trim_end_matches('.').eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(names: &[&str]) -> Hosts {
        Hosts::Allow { names: names.iter().map(|name| (*name).to_owned()).collect(), deny_private_networks: true }
    }

    fn admitted(hosts: &Hosts, url: &str, local: bool) -> bool {
        let admitted = admit(hosts, &Url::parse(url).expect(url), local);
        if let Err(failure) = &admitted {
            assert_eq!(failure.code, Code::AddressForbidden);
            assert!(!failure.message.contains("canary"), "{failure}");
        }
        admitted.is_ok()
    }

    #[test]
    fn only_hosts_on_the_list_are_called_and_only_by_tls() {
        let hosts = allow(&["api.example.com", "*.force.com"]);
        for good in ["https://api.example.com/a", "https://API.example.com./", "https://na1.my.force.com:443/"] {
            assert!(admitted(&hosts, good, false), "{good}");
        }
        for bad in [
            "http://api.example.com/",
            "https://api.example.com.evil.test/canary",
            "https://evilapi.example.com/",
            "https://force.com/",
            "https://evilforce.com/",
            "https://.force.com/",
            "https://api.example.com@evil.test/",
            "https://user:canary@api.example.com/",
            "https://10.0.0.1/",
            "https://127.0.0.1/",
            "http://169.254.169.254/latest",
            "ftp://api.example.com/",
        ] {
            assert!(!Url::parse(bad).is_ok_and(|_| admitted(&hosts, bad, false)), "{bad}");
        }
    }

    #[test]
    fn a_local_run_may_call_its_own_machine_without_tls_if_the_list_has_it() {
        let hosts = allow(&["127.0.0.1", "api.example.com"]);
        assert!(admitted(&hosts, "http://127.0.0.1:8080/", true));
        assert!(!admitted(&hosts, "http://127.0.0.1:8080/", false));
        assert!(!admitted(&hosts, "http://api.example.com/", true));
        assert!(!admitted(&hosts, "http://localhost/", true), "not on the list");
    }

    #[test]
    fn private_addresses_are_called_where_the_definition_allows_them() {
        for (deny_private_networks, admits) in [(true, false), (false, true)] {
            let hosts =
                Hosts::Allow { names: vec!["10.0.0.7".into(), "169.254.169.254".into()], deny_private_networks };
            assert_eq!(admitted(&hosts, "https://10.0.0.7/", false), admits);
            assert!(!admitted(&hosts, "https://10.0.0.8/", false), "not on the list");
            assert!(!admitted(&hosts, "https://169.254.169.254/", false));
        }
    }

    #[test]
    fn users_choose_hosts_but_not_the_pod_and_the_metadata() {
        let hosts = Hosts::UserDefined { deny_private_networks: false };
        let public_only = Hosts::UserDefined { deny_private_networks: true };
        assert!(admitted(&hosts, "http://10.0.0.7:8080/a", false));
        assert!(!admitted(&public_only, "http://10.0.0.7:8080/a", false));
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://[::1]:80/",
            "http://169.254.169.254/latest",
        ] {
            assert!(!admitted(&hosts, url, false), "{url}");
            assert!(admitted(&hosts, url, true), "{url}");
        }
    }
}
