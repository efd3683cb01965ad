//! A plan as the text of one annotation: JSON, gzip, base64.

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::code::{Code, Failure};
use crate::plan::{PLAN_VERSION, Plan};

/// The longest encoded plan in bytes. Kubernetes allows 256 KiB for all annotations of an object; the user's own may have 32 KiB.
pub const MAX_ENCODED: usize = 200 * 1024;

/// The most bytes that a plan may unpack to.
const MAX_JSON: u64 = 8 << 20;

/// A plan does not fit the annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the plan takes {} KiB compressed and {} KiB are allowed: shorten the Model's SQL or the Mapping's fields",
    bytes.div_ceil(1024), limit / 1024
)]
pub struct TooLarge {
    /// Encoded size in bytes.
    pub bytes: usize,
    /// What is allowed.
    pub limit: usize,
}

/// Packs a plan.
///
/// # Errors
/// [`TooLarge`] above [`MAX_ENCODED`].
pub fn encode(plan: &Plan) -> Result<String, TooLarge> {
    let json = serde_json::to_vec(plan).unwrap_or_default();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to a vector cannot fail.
    let packed = gzip.write_all(&json).and_then(|()| gzip.finish()).unwrap_or_default();
    let text = STANDARD.encode(packed);
    if text.len() > MAX_ENCODED {
        return Err(TooLarge { bytes: text.len(), limit: MAX_ENCODED });
    }
    Ok(text)
}

/// Unpacks a plan.
///
/// # Errors
/// [`Code::PlanInvalid`] if it is damaged or of another version.
pub fn decode(text: &str) -> Result<Plan, Failure> {
    let invalid =
        |what: &str| Failure::new(Code::PlanInvalid, format!("the plan {what}; let the controller make it again"));
    let packed = STANDARD.decode(text.trim()).map_err(|_| invalid("is not base64"))?;
    let mut json = Vec::new();
    GzDecoder::new(packed.as_slice())
        .take(MAX_JSON + 1)
        .read_to_end(&mut json)
        .map_err(|_| invalid("is not a gzip stream"))?;
    if json.len() as u64 > MAX_JSON {
        return Err(invalid("unpacks to more than 8 MiB"));
    }
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    match serde_json::from_slice::<Version>(&json) {
        Ok(Version { version: PLAN_VERSION }) => {}
        Ok(Version { version }) => return Err(invalid(&format!("has version {version}, not {PLAN_VERSION}"))),
        Err(_) => return Err(invalid("is not a plan")),
    }
    serde_json::from_slice(&json).map_err(|_| invalid("does not have the members of a plan"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{
        Connection, DiffEngine, ModelPlan, ModelQuery, PreviewPlan, SourcePlan, Sqlite, StateLocation, Task,
    };

    fn plan(sql: String) -> Plan {
        Plan {
            version: PLAN_VERSION,
            run: "run".into(),
            namespace: "ns".into(),
            token: "t".into(),
            owner: "local".into(),
            deadline_seconds: None,
            task: Task::Preview(
                SourcePlan {
                    name: "s".into(),
                    connection: Connection::Sqlite(Sqlite { path: "a.db".into() }),
                    state: StateLocation::Schema("_backflow".into()),
                    diff: DiffEngine::Streaming,
                },
                ModelPlan { name: "m".into(), query: ModelQuery::Sql(sql), primary_key: vec!["id".into()] },
                PreviewPlan { limit: 10 },
            ),
        }
    }

    #[test]
    fn plans_round_trip() {
        let plan = plan("select 1".into());
        assert_eq!(decode(&encode(&plan).unwrap()).unwrap(), plan);
    }

    #[test]
    fn a_plan_that_does_not_compress_is_refused_with_its_size() {
        use sha2::Digest as _;
        let noise: String = (0u32..10_000).map(|n| STANDARD.encode(sha2::Sha256::digest(n.to_le_bytes()))).collect();
        let error = encode(&plan(noise)).unwrap_err();
        assert!(error.bytes > error.limit);
    }

    #[test]
    fn damaged_plans_are_refused() {
        for text in ["", "%", "AAAA", "e30="] {
            assert_eq!(decode(text).unwrap_err().code, Code::PlanInvalid);
        }
    }
}
