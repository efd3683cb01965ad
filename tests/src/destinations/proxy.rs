//! The proxy: `CONNECT` to a vendor's host ends here, as does its TLS; a plain request is for the fakes themselves.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::http::{Request as HttpRequest, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::Shared;
use super::request::Request;
use super::respond::{Reply, respond};
use crate::tunnel::connect_target;

/// The largest body.
const BODY: usize = 256 << 20;

/// Serves until it is aborted.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, tls: TlsAcceptor, router: Router) {
    loop {
        // An error of one connection is its client's matter.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let (shared, tls, router) = (Arc::clone(&shared), tls.clone(), router.clone());
        tokio::spawn(async move {
            let _ = connection(stream, shared, tls, router).await;
        });
    }
}

async fn connection(
    mut stream: TcpStream,
    shared: Arc<Shared>,
    tls: TlsAcceptor,
    router: Router,
) -> anyhow::Result<()> {
    let mut start = [0; 8];
    loop {
        let peeked = stream.peek(&mut start).await?;
        if peeked == start.len() || peeked == 0 || !b"CONNECT ".starts_with(&start[..peeked]) {
            break;
        }
        stream.readable().await?;
        tokio::task::yield_now().await;
    }
    if &start != b"CONNECT " {
        let service = hyper_util::service::TowerToHyperService::new(router);
        return Ok(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?);
    }
    let target = connect_target(&mut stream).await?;
    let host = target.strip_suffix(":443").filter(|host| shared.knows(host)).map(str::to_owned);
    let Some(host) = host else {
        shared.lock().ledger.violation(format!("CONNECT {target}: no definition has this host"));
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await?;
        return Ok(());
    };
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    let stream = tls.accept(stream).await?;
    let host: Arc<str> = host.into();
    let service = service_fn(move |request| vendor(Arc::clone(&shared), Arc::clone(&host), request));
    Ok(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?)
}

/// Answers a request that came through the tunnel to `host`. An error breaks the connection.
async fn vendor(
    shared: Arc<Shared>,
    host: Arc<str>,
    request: HttpRequest<Incoming>,
) -> io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, BODY).collect().await.map_err(|error| io::Error::other(error.to_string()))?;
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let named = parts.headers.get("host").and_then(|name| name.to_str().ok()).unwrap_or_default().to_owned();
    let read = Request::new(&host, parts.method, target, parts.headers, body.to_bytes());
    let answer = |status, text: &str| {
        let mut response = Response::new(Full::from(text.to_owned()));
        *response.status_mut() = status;
        response
    };
    let request = match read {
        Ok(request) if named == *host => request,
        Ok(_) => {
            shared.lock().ledger.violation(format!("a request for {named} came by a tunnel to {host}"));
            return Ok(answer(StatusCode::MISDIRECTED_REQUEST, "another host's tunnel"));
        }
        Err(error) => {
            shared.lock().ledger.violation(format!("{host}: {error:#}"));
            return Ok(answer(StatusCode::BAD_REQUEST, "unreadable"));
        }
    };
    let reply = {
        let mut state = shared.lock();
        state.recording.keep(&request);
        respond(&shared.vendors, &mut state, &host, &request)
    };
    match reply {
        Reply::Reset => Err(io::ErrorKind::ConnectionReset.into()),
        Reply::Answer(given) => {
            let mut response = answer(given.status, &given.body);
            *response.headers_mut() = given.headers;
            Ok(response)
        }
    }
}
