//! The demo on a real Kubernetes.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::shop::{Postgres, Receiver};
use super::{build, chapter, password, show, tell, tilde};
use crate::cluster::{self, Cluster, NODE_ADDRESS};
use crate::image;
use crate::packages::{self, Purpose};
use crate::process::{run, run_fed, wait_until};
use crate::steps::{say, step};
use crate::workspace::Workspace;

const NAMESPACE: &str = "shop";
const MAPPING: &str = "customers-to-crm";
const POSTGRES_PORT: u16 = 25432;
const RECEIVER_PORT: u16 = 28090;
/// How long a Sync may take here before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(180);

/// What the samples call `postgres` and `receiver`: processes of this machine, under names of the namespace.
const SERVICES: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec: {ports: [{port: PORT, targetPort: TARGET}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: NAME-1, labels: {kubernetes.io/service-name: NAME}}
addressType: IPv4
ports: [{port: TARGET}]
endpoints: [{addresses: [ADDRESS]}]
---
"#;

struct Scene<'a> {
    workspace: &'a Workspace,
    cluster: Cluster,
    receiver: Receiver,
    said: usize,
}

pub(super) fn demo(workspace: &Workspace, install: bool) -> Result<()> {
    chapter("The parts");
    packages::ensure(&[Purpose::Build, Purpose::Postgres], install)?;
    let cluster = cluster::up(workspace, install)?;
    if !cluster.is_own() {
        bail!(
            "the demo runs Postgres and a receiver on this machine, where the pods of the cluster that KUBECONFIG names \
             cannot reach them: unset KUBECONFIG, and it brings its own"
        );
    }
    let archive = image::build(workspace, install)?;
    image::load(&archive, &cluster)?;
    let [player] = build(workspace, ["backflow-receiver"], install)?;
    let folder = workspace.cache.join("demo");
    fs::create_dir_all(&folder)?;
    let samples = workspace.root.join("deploy/samples");
    let (warehouse, token, signing_key) = (password()?, password()?, password()?);
    let postgres = Postgres::new(NODE_ADDRESS, POSTGRES_PORT)?;
    step("a shop with 10,000 customers, in Postgres", || {
        postgres.start()?;
        postgres.create_database()?;
        // psql reads the password as a variable, from its input and not from its command line.
        let tables = fs::read_to_string(samples.join("shop.sql"))?;
        postgres.sql(&format!("\\set password '{warehouse}'\n{tables}"))
    })?;
    let receiver = Receiver::new(&folder, &format!("{NODE_ADDRESS}:{RECEIVER_PORT}"));
    step("a receiver that plays the business tool", || {
        receiver.start(&player, &["--token".into(), token.clone(), "--signing-key".into(), signing_key.clone()])
    })?;
    let mut scene = Scene { workspace, cluster, receiver, said: 0 };
    scene.namespace(&warehouse, &token, &signing_key)?;
    scene.receiver.said(&mut scene.said)?;

    scene.install(&archive.content_reference)?;
    scene.first_sync()?;
    postgres.sql(&fs::read_to_string(samples.join("changes.sql"))?)?;
    scene.second_sync()?;
    scene.status()?;
    scene.how_to_go_on();
    Ok(())
}

pub(super) fn down(workspace: &Workspace) -> Result<()> {
    let folder = workspace.cache.join("demo");
    Receiver::new(&folder, "").stop();
    if let Ok(postgres) = Postgres::new(NODE_ADDRESS, POSTGRES_PORT) {
        postgres.stop()?;
    }
    if let Some(cluster) = cluster::current(workspace).filter(Cluster::is_own) {
        run(cluster.kubectl().args(["delete", "namespace", NAMESPACE, "--ignore-not-found"]))?;
    }
    say("the shop, the receiver and the namespace are gone; cargo xtask cluster down stops the cluster");
    Ok(())
}

impl Scene<'_> {
    fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut kubectl = self.cluster.kubectl();
        kubectl.args(arguments).current_dir(&self.workspace.root);
        kubectl
    }

    /// Shows a kubectl command as a person in the namespace would type it.
    fn show_kubectl(&self, shown: &str) -> Result<String> {
        let arguments: Vec<&str> = shown.split(' ').collect();
        let mut kubectl = self.kubectl(&arguments);
        show(&format!("kubectl {shown} --namespace {NAMESPACE}"), kubectl.args(["--namespace", NAMESPACE]))
    }

    fn namespace(&self, warehouse: &str, token: &str, signing_key: &str) -> Result<()> {
        step("a namespace with the names postgres and receiver", || {
            run(&mut self.kubectl(&["delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait"]))?;
            run(&mut self.kubectl(&["create", "namespace", NAMESPACE]))?;
            let services: String = [("postgres", 5432, POSTGRES_PORT), ("receiver", 8080, RECEIVER_PORT)]
                .iter()
                .map(|(name, port, target)| {
                    SERVICES
                        .replace("NAME", name)
                        .replace("PORT", &port.to_string())
                        .replace("TARGET", &target.to_string())
                        .replace("ADDRESS", NODE_ADDRESS)
                })
                .collect();
            let secrets = format!(
                "apiVersion: v1\nkind: Secret\nmetadata: {{name: shop}}\nstringData: {{password: '{warehouse}'}}\n---\n\
                 apiVersion: v1\nkind: Secret\nmetadata: {{name: crm}}\n\
                 stringData: {{token: '{token}', signing-key: '{signing_key}'}}\n"
            );
            let mut apply = self.kubectl(&["apply", "--namespace", NAMESPACE, "-f", "-"]);
            run_fed(&mut apply, &(services + &secrets))?;
            Ok(())
        })
    }

    fn install(&self, image: &str) -> Result<()> {
        chapter("Install, by Helm");
        let (repository, tag) = image.rsplit_once(':').context("an image reference has a tag")?;
        for (release, extra) in [
            ("backflow-crds", Vec::new()),
            (
                "backflow",
                vec![format!("--set=image.repository={repository}"), format!("--set=image.tag={tag}"), "--wait".into()],
            ),
        ] {
            let mut helm = self.cluster.helm();
            helm.args(["upgrade", "--install", release, &format!("charts/{release}")])
                // The tests may have left our own kinds there without Helm.
                .args(["--namespace", "backflow-system", "--create-namespace", "--take-ownership"])
                .args(extra)
                .current_dir(&self.workspace.root);
            say(&format!(
                "$ helm upgrade --install {release} charts/{release} --namespace backflow-system --create-namespace …"
            ));
            run(&mut helm)?;
        }
        Ok(())
    }

    fn first_sync(&mut self) -> Result<()> {
        chapter("Four manifests, in any order");
        self.show_kubectl(
            "apply -f deploy/samples/mapping.yaml -f deploy/samples/destination.yaml -f deploy/samples/model.yaml \
             -f deploy/samples/source.yaml",
        )?;
        self.show_kubectl(&format!("wait --for=condition=Ready mapping/{MAPPING} --timeout=2m"))?;
        chapter("First sync: everything is new");
        self.finished(1)?;
        self.show_kubectl("get syncs")?;
        self.received()
    }

    fn second_sync(&mut self) -> Result<()> {
        chapter("A day in the shop: 3 customers come, 5 change, 2 go");
        self.show_kubectl(&format!("annotate mapping {MAPPING} backflow.dev/requestedAt=again --overwrite"))?;
        self.finished(2)?;
        self.show_kubectl("get syncs --sort-by=.metadata.creationTimestamp")?;
        self.received()
    }

    fn status(&self) -> Result<()> {
        chapter("What the cluster says");
        let idle = ["wait", "--for=jsonpath={.status.activeSyncs}=0", "destination/crm", "--timeout=1m"];
        run(self.kubectl(&idle).args(["--namespace", NAMESPACE]))?;
        self.show_kubectl("get backflow")?;
        let conditions = "{range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{\"\\n\"}{end}";
        let get = ["get", "mapping", MAPPING, "-o", &format!("jsonpath={conditions}")];
        show(
            &format!("kubectl get mapping {MAPPING} -o jsonpath='{conditions}' --namespace {NAMESPACE}"),
            self.kubectl(&get).args(["--namespace", NAMESPACE]),
        )?;
        Ok(())
    }

    /// Waits until this many Syncs have ended.
    fn finished(&self, count: usize) -> Result<()> {
        let phases = || {
            let mut get = self.kubectl(&["get", "syncs", "--namespace", NAMESPACE]);
            run(get.args(["-o", "jsonpath={range .items[*]}{.status.finishedAt}{\"\\n\"}{end}"])).unwrap_or_default()
        };
        if wait_until(PATIENCE, || phases().lines().filter(|line| !line.is_empty()).count() >= count) {
            return Ok(());
        }
        for command in ["get backflow,pods,jobs", "get events --sort-by=.lastTimestamp"] {
            let arguments: Vec<&str> = command.split(' ').collect();
            show(&format!("kubectl {command}"), self.kubectl(&arguments).args(["--namespace", NAMESPACE]))?;
        }
        bail!("no Sync ended within {} seconds; the last lines say what there is", PATIENCE.as_secs())
    }

    fn received(&mut self) -> Result<()> {
        self.receiver.tell(&mut self.said)
    }

    fn how_to_go_on(&self) {
        chapter("How to go on");
        tell(&format!(
            "  export KUBECONFIG={}\n  \
             kubectl config set-context --current --namespace={NAMESPACE}\n  \
             kubectl describe mapping {MAPPING}        what it does, and how it went\n  \
             kubectl explain mapping.spec             every field\n  \
             cargo xtask demo --down                  stop the shop and the receiver\n  \
             cargo xtask cluster down                 stop the cluster",
            tilde(&self.cluster.kubeconfig)
        ));
    }
}
