//! `Source.spec.state` → [`StateLocation`].

use backflow_core::plan::{AzureState, DirectoryState, GcsState, S3State, StateLocation, StateStorePlan, VOLUME_PATH};
use backflow_crds::v1alpha1::{State, StateStore};

use crate::Place;
use crate::finding::Findings;
use crate::source::secret;

/// The folder of a volume that is ours: its root may hold what the file system keeps there.
const FOLDER: &str = "backflow";
/// Where a local run keeps what a cluster keeps in volumes, beside the manifest.
const LOCAL: &str = ".backflow";

/// Plans where state lives.
pub(crate) fn location(spec: &State, place: &Place, findings: &mut Findings) -> Option<StateLocation> {
    match (&spec.schema, &spec.store) {
        (Some(schema), None) => Some(StateLocation::Schema(schema.clone())),
        (None, Some(store)) => self::store(store, place, findings).map(StateLocation::Store),
        _ => {
            findings.add("spec.state", "InvalidSpec", "exactly one of schema, store must be set");
            None
        }
    }
}

fn store(spec: &StateStore, place: &Place, findings: &mut Findings) -> Option<StateStorePlan> {
    let plan = match (&spec.s3, &spec.gcs, &spec.azure, &spec.volume) {
        (Some(s3), None, None, None) => {
            if s3.access_key_id.is_some() != s3.secret_access_key.is_some() {
                let message = "accessKeyId and secretAccessKey must be set together";
                findings.add("spec.state.store.s3", "InvalidSpec", message);
            }
            StateStorePlan::S3(S3State {
                bucket: name("s3.bucket", &s3.bucket, findings),
                prefix: prefix("s3", s3.prefix.as_ref(), findings),
                region: s3.region.clone(),
                endpoint: endpoint("s3", s3.endpoint.as_ref(), findings),
                access_key_id: s3.access_key_id.as_ref().map(secret),
                secret_access_key: s3.secret_access_key.as_ref().map(secret),
            })
        }
        (None, Some(gcs), None, None) => StateStorePlan::Gcs(GcsState {
            bucket: name("gcs.bucket", &gcs.bucket, findings),
            prefix: prefix("gcs", gcs.prefix.as_ref(), findings),
            endpoint: endpoint("gcs", gcs.endpoint.as_ref(), findings),
            service_account_key: gcs.service_account_key.as_ref().map(secret),
        }),
        (None, None, Some(azure), None) => StateStorePlan::Azure(AzureState {
            account: name("azure.account", &azure.account, findings),
            container: name("azure.container", &azure.container, findings),
            prefix: prefix("azure", azure.prefix.as_ref(), findings),
            endpoint: endpoint("azure", azure.endpoint.as_ref(), findings),
            account_key: azure.account_key.as_ref().map(secret),
        }),
        (None, None, None, Some(volume)) => {
            let claim = name("volume.claimName", &volume.claim_name, findings);
            StateStorePlan::Directory(match place {
                Place::Cluster => DirectoryState { path: format!("{VOLUME_PATH}/{FOLDER}"), claim: Some(claim) },
                Place::Local(folder) => {
                    let path = folder.join(LOCAL).join(claim).to_string_lossy().into_owned();
                    DirectoryState { path, claim: None }
                }
            })
        }
        _ => {
            findings.add("spec.state.store", "InvalidSpec", "exactly one of s3, gcs, azure, volume must be set");
            return None;
        }
    };
    Some(plan)
}

/// A name that becomes a part of a URL or a path.
fn name(path: &str, name: &str, findings: &mut Findings) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || !name.chars().all(plain) || name.chars().all(|c| c == '.') {
        let message = format!("\"{name}\" is no name; use letters, digits, '.', '-' and '_'");
        findings.add(format!("spec.state.store.{path}"), "InvalidSpec", message);
    }
    name.to_owned()
}

/// A prefix is a path of plain names.
fn prefix(member: &str, prefix: Option<&String>, findings: &mut Findings) -> Option<String> {
    let trimmed = prefix?.trim_matches('/');
    if trimmed.is_empty() {
        return None;
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '=');
    let part = |part: &str| !part.is_empty() && part.chars().all(plain) && !part.chars().all(|c| c == '.');
    if !trimmed.split('/').all(part) {
        let message = format!("\"{trimmed}\" is no path; use letters, digits, '.', '-', '_', '=' and single '/'");
        findings.add(format!("spec.state.store.{member}.prefix"), "InvalidSpec", message);
    }
    Some(trimmed.to_owned())
}

/// An address without anything that could be a secret, which the plan must not hold.
fn endpoint(member: &str, endpoint: Option<&String>, findings: &mut Findings) -> Option<String> {
    let url = endpoint?;
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let fit = |rest: &str| {
        let host = rest.split('/').next().unwrap_or_default();
        !host.is_empty() && rest.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '@' | '?' | '#' | '\\'))
    };
    if !rest.is_some_and(fit) {
        // Not repeated: it may hold a credential.
        let message = "write it like https://host:port, without user, password or query";
        findings.add(format!("spec.state.store.{member}.endpoint"), "InvalidSpec", message);
    }
    Some(url.clone())
}
