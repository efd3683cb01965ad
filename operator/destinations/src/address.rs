//! Which addresses may be called.
//!
//! Users choose a webhook's host, and settings and answers have a say in others. In a cluster, loopback is the pod itself and link-local addresses are the node and the cloud's metadata
//! service, which hands out credentials: neither is ever a destination. Private ranges are, they hold the cluster's own services. The
//! check is on the address that a connection is really made to, at each connection, so that a name cannot change its mind in between.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Metadata services of clouds that are outside the link-local ranges (AWS over IPv6, Azure, Alibaba).
const METADATA: &[IpAddr] = &[
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
];

/// Whether nothing at this address is a destination.
pub(crate) fn forbidden(address: IpAddr) -> bool {
    let address = embedded(address.to_canonical());
    let by_kind = match address {
        IpAddr::V4(v4) => {
            v4.is_loopback() || v4.is_link_local() || v4.octets()[0] == 0 || v4.is_broadcast() || v4.is_multicast()
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast(),
    };
    by_kind || METADATA.contains(&address)
}

/// The IPv4 address that an IPv6 address stands for: a translator (`64:ff9b::/96`), 6to4 (`2002::/16`) or the old compatible form.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, .., y, z] = v6.segments();
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => v4(y, z),
        [0x2002, ..] => v4(b, c),
        [0, 0, 0, 0, 0, 0, ..] if a == 0 && (y, z) > (0, 1) => v4(y, z),
        _ => address,
    }
}

/// Whether an address belongs to a network of someone's own: where no vendor's host is.
pub(crate) fn private(address: IpAddr) -> bool {
    match embedded(address.to_canonical()) {
        IpAddr::V4(v4) => v4.is_private() || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

/// A name that resolves to forbidden addresses only.
#[derive(Debug, thiserror::Error)]
#[error("forbidden address")]
pub(crate) struct Forbidden {
    /// They are private ones.
    pub(crate) private: bool,
}

/// A name without addresses.
#[derive(Debug, thiserror::Error)]
#[error("name not found")]
pub(crate) struct NotFound;

/// Resolves names, leaving out forbidden addresses. A proxy is the administrator's choice and may be anywhere.
pub(crate) struct Guard {
    /// The destination's host: guarded even if a proxy has its name.
    always: Option<String>,
    /// Hosts of the environment's proxies.
    proxies: Vec<String>,
    deny_private: bool,
}

impl Guard {
    pub(crate) fn new(always: Option<String>, deny_private: bool) -> Self {
        let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
        let host = |text: String| {
            let url = url::Url::parse(&text).ok().filter(|url| url.has_host());
            url.or_else(|| url::Url::parse(&format!("http://{text}")).ok())?.host_str().map(str::to_owned)
        };
        let proxies = names.iter().filter_map(|name| std::env::var(name).ok()).filter_map(host).collect();
        Self { always, proxies, deny_private }
    }

    fn guards(&self, name: &str) -> bool {
        let is = |other: &String| other.eq_ignore_ascii_case(name);
        self.always.as_ref().is_some_and(is) || !self.proxies.iter().any(is)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (guarded, deny_private) = (self.guards(name.as_str()), self.deny_private);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| NotFound)?;
            let addresses = choose(found.collect(), guarded, deny_private)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn choose(
    found: Vec<SocketAddr>,
    guarded: bool,
    deny_private: bool,
) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
    if found.is_empty() {
        return Err(NotFound.into());
    }
    let refused = |ip: IpAddr| forbidden(ip) || (deny_private && private(ip));
    let all_private = found.iter().all(|address| private(address.ip()));
    let allowed: Vec<SocketAddr> = found.into_iter().filter(|address| !guarded || !refused(address.ip())).collect();
    if allowed.is_empty() { Err(Forbidden { private: all_private }.into()) } else { Ok(allowed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_the_node_and_metadata_services_are_nobodys_destination() {
        for address in [
            "127.0.0.1",
            "127.8.9.1",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.0.1",
            "255.255.255.255",
            "224.0.0.1",
            "168.63.129.16",
            "100.100.100.200",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
        ] {
            assert!(forbidden(address.parse().expect(address)), "{address}");
        }
    }

    #[test]
    fn services_of_the_cluster_and_the_internet_are() {
        for address in [
            "10.96.0.10",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "8.8.8.8",
            "fd00::1",
            "fc00::7",
            "2001:db8::1",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert!(!forbidden(address.parse().expect(address)), "{address}");
        }
    }

    #[test]
    fn a_name_keeps_its_good_addresses() {
        let addresses =
            |texts: &[&str]| texts.iter().map(|text| text.parse().expect("address")).collect::<Vec<SocketAddr>>();
        let mixed = addresses(&["127.0.0.1:0", "10.0.0.1:0"]);
        assert_eq!(choose(mixed.clone(), true, false).expect("one is left"), addresses(&["10.0.0.1:0"]));
        assert_eq!(choose(mixed.clone(), false, true).expect("all"), mixed);
        assert!(choose(addresses(&["127.0.0.1:0"]), true, false).unwrap_err().is::<Forbidden>());
        assert!(choose(mixed, true, true).unwrap_err().is::<Forbidden>(), "no private ones where none can be right");
        assert!(choose(Vec::new(), true, false).unwrap_err().is::<NotFound>());
    }

    #[test]
    fn private_networks_are_known() {
        for address in ["10.1.2.3", "172.31.0.1", "192.168.0.1", "100.64.0.1", "fd00::1", "::ffff:10.0.0.1"] {
            assert!(private(address.parse().expect(address)), "{address}");
        }
        for address in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:db8::1"] {
            assert!(!private(address.parse().expect(address)), "{address}");
        }
    }

    #[test]
    fn every_name_is_guarded_but_a_proxys() {
        let guard = Guard {
            always: Some("same.test".into()),
            proxies: vec!["proxy.test".into(), "same.test".into()],
            deny_private: true,
        };
        assert!(guard.guards("api.example.com") && guard.guards("SAME.test"));
        assert!(!guard.guards("Proxy.test"));
    }
}
