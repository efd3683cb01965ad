//! A server that speaks S3: signatures, XML and files by `s3s` and `s3s-fs`, and the two things that a state needs of a bucket and they
//! leave open: of two conditional writes at once one wins, and a request can fail as in life.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::error_handling::HandleError;
use axum::extract::{ConnectInfo, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use backflow_core::code::Failure;
use backflow_core::plan::{S3State, StateLocation, StateStorePlan};
use backflow_core::secret::{SecretRef, Secrets};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, GetObjectInput, GetObjectOutput,
    ListObjectsV2Input, ListObjectsV2Output, PutObjectInput, PutObjectOutput,
};
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::receiver::line::{Cut, Lines};

/// The bucket that is there.
pub const BUCKET: &str = "states";
/// The Secret that the plans of [`S3Server::state`] name.
const SECRET: &str = "bucket";

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 503: it is not done.
    Unavailable,
    /// It is done, and the connection is cut instead of an answer.
    LostAnswer,
}

/// The next request of this method whose path holds this text.
#[derive(Clone, Debug)]
struct Planned {
    method: Method,
    path: String,
    fault: Fault,
    times: usize,
}

#[derive(Debug, Default)]
struct Shared {
    faults: Vec<Planned>,
    /// Operations that are not allowed.
    denied: Vec<String>,
    requests: Vec<(Method, String)>,
    /// Conditional writes are plain ones.
    unconditional: bool,
}

type Handle = Arc<Mutex<Shared>>;

fn lock(shared: &Handle) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server of its own port, gone with the value.
pub struct S3Server {
    address: SocketAddr,
    key_id: String,
    key: String,
    shared: Handle,
    server: JoinHandle<()>,
    files: tempfile::TempDir,
}

impl S3Server {
    /// Starts one, with an empty bucket and keys that nobody else knows.
    ///
    /// # Errors
    /// No port, no folder.
    pub async fn start() -> io::Result<Self> {
        let files = tempfile::tempdir()?;
        std::fs::create_dir(files.path().join(BUCKET))?;
        let random = || std::iter::repeat_with(fastrand::alphanumeric).take(20).collect::<String>();
        let (key_id, key) = (random(), random());
        let shared = Handle::default();
        let bucket = Bucket {
            files: FileSystem::new(files.path()).map_err(|error| io::Error::other(format!("{error:?}")))?,
            creating: tokio::sync::Mutex::default(),
            shared: Arc::clone(&shared),
        };
        let mut service = S3ServiceBuilder::new(bucket);
        service.set_auth(SimpleAuth::from_single(key_id.clone(), key.clone()));
        service.set_access(Access(Arc::clone(&shared)));
        let service = HandleError::new(service.build(), async |_| StatusCode::INTERNAL_SERVER_ERROR);
        let faults = Arc::clone(&shared);
        let router = Router::new().fallback_service(service).layer(axum::middleware::from_fn(
            move |ConnectInfo(cut): ConnectInfo<Cut>, request: Request, next: Next| {
                faulty(Arc::clone(&faults), cut, request, next)
            },
        ));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let service = router.into_make_service_with_connect_info::<Cut>();
        let server = tokio::spawn(async move {
            let _ = axum::serve(Lines(listener), service).await;
        });
        Ok(Self { address, key_id, key, shared, server, files })
    }

    /// Where a Source's state lives: below this prefix of the bucket.
    #[must_use]
    pub fn state(&self, prefix: &str) -> StateLocation {
        let secret = |key: &str| Some(SecretRef { name: SECRET.into(), key: key.into() });
        StateLocation::Store(StateStorePlan::S3(S3State {
            bucket: BUCKET.into(),
            prefix: Some(prefix.into()),
            region: None,
            endpoint: Some(format!("http://{}", self.address)),
            access_key_id: secret("id"),
            secret_access_key: secret("key"),
        }))
    }

    /// Where the objects of [`BUCKET`] are, as files.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.files.path().join(BUCKET)
    }

    /// The Secret's name, keys and values, for a pod's folder of Secrets.
    #[must_use]
    pub fn secret(&self) -> (&'static str, [(&'static str, &str); 2]) {
        (SECRET, [("id", &self.key_id), ("key", &self.key)])
    }

    /// What happens to the next `times` requests of `method` whose path holds `path`.
    pub fn plan(&self, method: Method, path: &str, fault: Fault, times: usize) {
        lock(&self.shared).faults.push(Planned { method, path: path.into(), fault, times });
    }

    /// Faults that no request has met.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        lock(&self.shared).faults.len()
    }

    /// The operations that the keys may not do: `PutObject`, `ListObjectsV2` …
    pub fn deny(&self, operations: &[&str]) {
        lock(&self.shared).denied = operations.iter().map(|name| (*name).to_owned()).collect();
    }

    /// From now on, conditions of writes are not looked at, as by some servers.
    pub fn ignore_conditions(&self) {
        lock(&self.shared).unconditional = true;
    }

    /// Method and path of every request since the last call.
    #[must_use]
    pub fn requests(&self) -> Vec<(Method, String)> {
        std::mem::take(&mut lock(&self.shared).requests)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Secrets for S3Server {
    fn read(&self, reference: &SecretRef) -> Result<SecretString, Failure> {
        match (&*reference.name, &*reference.key) {
            (SECRET, "id") => Ok(SecretString::from(self.key_id.as_str())),
            (SECRET, "key") => Ok(SecretString::from(self.key.as_str())),
            _ => Err(reference.not_found()),
        }
    }
}

async fn faulty(shared: Handle, cut: Cut, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let fault = {
        let mut shared = lock(&shared);
        shared.requests.push((method.clone(), path.clone()));
        let at = shared.faults.iter().position(|planned| planned.method == method && path.contains(&planned.path));
        at.map(|at| {
            let planned = &mut shared.faults[at];
            planned.times -= 1;
            let fault = planned.fault;
            if planned.times == 0 {
                shared.faults.remove(at);
            }
            fault
        })
    };
    match fault {
        None => next.run(request).await,
        Some(Fault::Unavailable) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Some(Fault::LostAnswer) => {
            let answer = next.run(request).await;
            cut.cut();
            answer
        }
    }
}

/// Denies what the test wants denied.
struct Access(Handle);

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let operation = context.s3_op().name();
        if context.credentials().is_none() || lock(&self.0).denied.iter().any(|denied| denied == operation) {
            return Err(s3_error!(AccessDenied));
        }
        Ok(())
    }
}

/// Files, and one conditional write at a time.
struct Bucket {
    files: FileSystem,
    creating: tokio::sync::Mutex<()>,
    shared: Handle,
}

#[async_trait::async_trait]
impl S3 for Bucket {
    async fn put_object(&self, mut request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        if lock(&self.shared).unconditional {
            request.input.if_none_match = None;
        }
        let _one = match request.input.if_none_match {
            Some(_) => Some(self.creating.lock().await),
            None => None,
        };
        self.files.put_object(request).await
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.files.get_object(request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.files.list_objects_v2(request).await
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.files.delete_object(request).await
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        self.files.delete_objects(request).await
    }
}
