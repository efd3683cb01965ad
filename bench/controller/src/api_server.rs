//! An API server and its etcd, for this benchmark only.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use backflow_tests::postgres::secret;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tempfile::TempDir;

/// How long it may take to answer.
const START: Duration = Duration::from_secs(120);

/// Both processes; they end with this.
pub(super) struct ApiServer {
    folder: TempDir,
    etcd: Child,
    server: Child,
}

impl ApiServer {
    pub(super) async fn start(programs: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("backflow-api-").tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let [client, peer, port] = [free_port()?, free_port()?, free_port()?];
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let token = secret();
        std::fs::write(path("tokens"), format!("{token},bench,bench,system:masters\n"))?;
        let openssl = Command::new("openssl").args(["genrsa", "-out"]).arg(path("sa.key")).output()?;
        ensure!(openssl.status.success(), "openssl makes no key");
        let spawn =
            |name: &str, arguments: Vec<String>| -> anyhow::Result<Child> {
                let log = std::fs::File::create(path(&format!("{name}.log")))?;
                let mut command = Command::new(programs.join(name));
                command.args(arguments).current_dir(folder.path()).stdin(Stdio::null());
                command.stdout(log.try_clone()?).stderr(log).spawn().with_context(|| {
                    format!("{name} is not in {}: cargo xtask cluster up builds it", programs.display())
                })
            };
        let etcd = spawn(
            "etcd",
            vec![
                format!("--data-dir={}", path("etcd").display()),
                "--unsafe-no-fsync".into(),
                "--log-level=error".into(),
                // 10,000 Mappings and three times as many Syncs, with their history.
                "--quota-backend-bytes=8589934592".into(),
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster=default={peer}"),
            ],
        )?;
        let key = path("sa.key");
        let server = spawn(
            "kube-apiserver",
            vec![
                format!("--etcd-servers={client}"),
                format!("--secure-port={port}"),
                "--bind-address=127.0.0.1".into(),
                format!("--cert-dir={}", path("certificates").display()),
                format!("--token-auth-file={}", path("tokens").display()),
                "--authorization-mode=RBAC".into(),
                "--service-cluster-ip-range=10.96.0.0/16".into(),
                "--service-account-issuer=https://kubernetes.default.svc".into(),
                format!("--service-account-key-file={}", key.display()),
                format!("--service-account-signing-key-file={}", key.display()),
                // What the bench itself asks for at once must not be what is measured.
                "--max-requests-inflight=2000".into(),
                "--max-mutating-requests-inflight=1000".into(),
            ],
        )?;
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "bench",
            "clusters": [{"name": "bench", "cluster": {"server": format!("https://127.0.0.1:{port}"), "insecure-skip-tls-verify": true}}],
            "users": [{"name": "bench", "user": {"token": token}}],
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        });
        std::fs::write(path("kubeconfig"), config.to_string())?;
        Ok(Self { folder, etcd, server })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// A client with all rights, once the server answers.
    pub(super) async fn client(&self) -> anyhow::Result<Client> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig())?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        let since = Instant::now();
        while client.apiserver_version().await.is_err() {
            ensure!(since.elapsed() < START, "the API server does not answer: {}", self.said());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(client)
    }

    fn said(&self) -> String {
        let log = std::fs::read_to_string(self.path("kube-apiserver.log")).unwrap_or_default();
        log.lines().rev().take(5).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        for child in [&mut self.server, &mut self.etcd] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
