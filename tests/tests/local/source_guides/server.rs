//! What a guide is about: a server, or the fake of a service.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::ensure;
use backflow_tests::guide::Reader;
use backflow_tests::mariadb::MariaDb;
use backflow_tests::postgres::{PostgresServer, ServerTls};
use backflow_tests::redshift::{RedshiftGuard, reworded};
use backflow_tests::tunnel::Tunnel;
use backflow_tests::warehouse::{FakeWarehouse, Service};
use serde_json::json;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The database of the guides whose servers have several.
const DATABASE: &str = "shop";

/// One that is reached encrypted, as it is when nobody sets anything; but for Redshift's.
pub(super) enum Server {
    MySql(Box<MariaDb>),
    Postgres(Box<PostgresServer>),
    Redshift(Box<PostgresServer>, RedshiftGuard),
    Fake(Box<FakeWarehouse>),
    /// One that is known by the service's own name.
    Cloud(Box<FakeWarehouse>, Tunnel),
}

impl Server {
    pub(super) async fn mysql() -> anyhow::Result<Self> {
        Ok(Self::MySql(Box::new(MariaDb::start_with(ServerTls::Good).await?)))
    }

    pub(super) async fn postgres() -> anyhow::Result<Self> {
        let server = PostgresServer::start_with(ServerTls::Good).await?;
        server.exec("postgres", &format!("CREATE DATABASE {DATABASE}")).await?;
        Ok(Self::Postgres(Box::new(server)))
    }

    pub(super) async fn redshift() -> anyhow::Result<Self> {
        let server = PostgresServer::start().await?;
        server.exec("postgres", &format!("CREATE DATABASE {DATABASE}")).await?;
        let guard = RedshiftGuard::start(server.port()).await?;
        Ok(Self::Redshift(Box::new(server), guard))
    }

    /// A fake whose user may nothing until it is granted.
    pub(super) async fn fake(service: Service) -> anyhow::Result<Self> {
        let fake = Box::new(FakeWarehouse::start_at(HERE, service, "").await?);
        fake.settings(json!({"ungranted": true})).await?;
        Ok(match service.host() {
            None => Self::Fake(fake),
            Some(name) => {
                let tunnel = Tunnel::start(HERE, name, fake.address()?).await?;
                Self::Cloud(fake, tunnel)
            }
        })
    }

    /// A name or credential that a fake told.
    pub(super) fn told(&self, name: &str) -> &str {
        match self {
            Self::Fake(fake) | Self::Cloud(fake, _) => fake.told(name),
            Self::MySql(_) | Self::Postgres(_) | Self::Redshift(..) => "",
        }
    }

    /// What an account of a service is proven with, that was made elsewhere.
    pub(super) fn credential(&self) -> String {
        match self {
            Self::Fake(fake) | Self::Cloud(fake, _) => fake.secret().2,
            Self::MySql(_) | Self::Postgres(_) | Self::Redshift(..) => String::new(),
        }
    }

    /// What its clients must trust.
    pub(super) fn authority(&self) -> Option<&str> {
        match self {
            Self::MySql(server) => Some(server.authority().certificate()),
            Self::Postgres(server) => Some(server.authority().certificate()),
            Self::Fake(fake) | Self::Cloud(fake, _) => Some(fake.told("certificateAuthority")),
            Self::Redshift(..) => None,
        }
    }

    /// Tells the reader where it is in place of the host that the page names, and whom to trust.
    pub(super) fn known_to(&self, reader: &mut Reader, host: &str) -> anyhow::Result<()> {
        let port = match self {
            Self::MySql(server) => server.plan("", "").port,
            Self::Postgres(server) => server.port(),
            Self::Redshift(_, guard) => guard.port(),
            Self::Fake(fake) => fake.address()?.port(),
            Self::Cloud(_, tunnel) => {
                reader.variable("HTTPS_PROXY", &tunnel.url());
                0
            }
        };
        // The guard speaks no TLS.
        let tls = if matches!(self, Self::Redshift(..)) { "    tls: {mode: Disable}\n" } else { "" };
        if port > 0 {
            reader.word(&format!("host: {host}\n"), &format!("host: {HERE}\n    port: {port}\n{tls}"));
        }
        if let Some(authority) = self.authority() {
            let path = reader.aside("authority.pem", authority)?;
            reader.variable("SSL_CERT_FILE", &path);
        }
        Ok(())
    }

    /// Runs statements as its administrator.
    pub(super) async fn sql(&self, sql: &str) -> anyhow::Result<()> {
        match self {
            Self::MySql(server) => server.exec(sql),
            Self::Postgres(server) => server.exec(DATABASE, sql).await,
            Self::Redshift(server, _) => {
                let sql = reworded(sql).map_err(anyhow::Error::msg)?;
                server.exec(DATABASE, &sql).await
            }
            Self::Fake(fake) | Self::Cloud(fake, _) => fake.sql(sql).await,
        }
    }

    /// Whether nothing was asked of it that the service does not know.
    pub(super) fn is_content(&self) -> anyhow::Result<()> {
        let refused = match self {
            Self::Redshift(_, guard) => guard.refused(),
            Self::Cloud(_, tunnel) => tunnel.refused(),
            Self::MySql(_) | Self::Postgres(_) | Self::Fake(_) => Vec::new(),
        };
        ensure!(refused.is_empty(), "{refused:?}");
        Ok(())
    }
}
