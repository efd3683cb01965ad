//! What each service says: a page of rows, made once and sent again and again.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

use crate::Args;
use crate::service::Service;
use crate::table;

/// Rows of a page: some megabytes. It is as many as BigQuery is asked for.
pub(crate) const PAGE: u64 = 20_000;
/// Every statement and job is called so.
const ID: &str = "01234567-89ab-cdef";

/// A service that has as many pages as it was told, all the same.
struct Player {
    service: Service,
    port: u16,
    pages: u64,
    /// The page as a document of its own, packed where the service does.
    document: Bytes,
    /// The page's rows, with commas between.
    rows: Bytes,
}

/// Plays a service until the process is ended. Says on standard output where it listens.
///
/// # Errors
/// There is no port.
pub async fn serve(args: Args) -> anyhow::Result<()> {
    let Args { service, pages } = args;
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let port = listener.local_addr()?.port();
    let rows = rows(service);
    let document = match service {
        Service::Snowflake => format!(r#"{{"data":[{rows}]}}"#),
        _ => format!("[{rows}]"),
    };
    let document = if service.packs() { packed(&document)? } else { document.into() };
    let player = Player { service, port, pages, document, rows: rows.into() };
    println!("{port}");
    let router = Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(Arc::new(player));
    Ok(axum::serve(listener, router).await?)
}

/// The rows of a page.
pub(crate) fn rows(service: Service) -> String {
    let mut out = String::new();
    for n in 1..=PAGE {
        if n > 1 {
            out.push(',');
        }
        let (before, between, after) = match service {
            Service::BigQuery => (r#"{"f":[{"v":"#, r#"},{"v":"#, "}]}"),
            _ => ("[", ",", "]"),
        };
        out.push_str(before);
        for (at, value) in table::row(n).iter().enumerate() {
            if at > 0 {
                out.push_str(between);
            }
            service.write(value, &mut out);
        }
        out.push_str(after);
    }
    out
}

fn packed(text: &str) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes())?;
    Ok(encoder.finish()?.into())
}

async fn answer(State(player): State<Arc<Player>>, method: Method, uri: Uri, body: String) -> Response {
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    match player.service {
        Service::Snowflake => player.snowflake(&method, &body),
        Service::BigQuery => player.bigquery(path, query, &body),
        Service::Databricks => player.databricks(&method, path, &body),
        Service::ClickHouse => player.clickhouse(&body),
    }
}

/// Whether a statement only asks for columns.
fn describes(body: &str) -> bool {
    body.contains("LIMIT 0")
}

/// A parameter of a query.
fn parameter(query: &str, name: &str) -> Option<u64> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

impl Player {
    /// The page, whole.
    fn page(&self) -> Response {
        let mut response = Body::from(self.document.clone()).into_response();
        if self.service.packs() {
            response.headers_mut().insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
        }
        response
    }

    fn snowflake(&self, method: &Method, body: &str) -> Response {
        if *method == Method::GET {
            return self.page();
        }
        let short = |columns: Json, rows: u64, data: Json| {
            let meta = json!({"format": "jsonv2", "rowType": columns, "partitionInfo": [{"rowCount": rows}]});
            axum::Json(json!({"statementHandle": ID, "resultSetMetaData": meta, "data": data})).into_response()
        };
        if body.contains("CURRENT_VERSION") {
            let columns = (0..4).map(|at| json!({"name": at.to_string(), "type": "text"})).collect();
            return short(columns, 1, json!([["9.40.1", "BENCH", "LOAD_WH", "SHOP"]]));
        }
        if describes(body) {
            return short(self.service.columns(), 0, json!([]));
        }
        let pages: Json = (0..self.pages).map(|_| json!({"rowCount": PAGE})).collect();
        let meta = json!({"format": "jsonv2", "rowType": self.service.columns(), "partitionInfo": pages});
        let answer = json!({"statementHandle": ID, "resultSetMetaData": meta});
        self.around(&answer, "data", [self.rows.clone()])
    }

    fn bigquery(&self, path: &str, query: &str, body: &str) -> Response {
        if path.starts_with("/computeMetadata/") {
            return axum::Json(json!({"access_token": "token", "expires_in": 3600})).into_response();
        }
        let mut answer = json!({
            "jobComplete": true,
            "jobReference": {"projectId": "acme-bench", "jobId": ID, "location": "EU"},
            "schema": {"fields": self.service.columns()},
        });
        if body.contains("\"dryRun\":true") {
            return axum::Json(answer).into_response();
        }
        let number = parameter(query, "pageToken").unwrap_or_default();
        if number + 1 < self.pages {
            answer["pageToken"] = (number + 1).to_string().into();
        }
        self.around(&answer, "rows", [self.rows.clone()])
    }

    fn databricks(&self, method: &Method, path: &str, body: &str) -> Response {
        if path.starts_with("/links/") {
            return self.page();
        }
        if path.starts_with("/api/2.0/sql/warehouses/") {
            return axum::Json(json!({"state": "RUNNING"})).into_response();
        }
        let link = |number: u64| {
            let link = format!("http://127.0.0.1:{}/links/{number}", self.port);
            json!({"external_links": [{"chunk_index": number, "row_count": PAGE, "external_link": link}]})
        };
        if *method == Method::GET {
            let number = path.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or_default();
            return axum::Json(link(number)).into_response();
        }
        let pages = if describes(body) { 0 } else { self.pages };
        let schema = json!({"columns": self.service.columns()});
        let manifest = json!({"schema": schema, "total_chunk_count": pages, "total_row_count": pages * PAGE});
        let result = if pages == 0 { json!({}) } else { link(0) };
        let status = json!({"state": "SUCCEEDED"});
        let answer = json!({"statement_id": ID, "status": status, "manifest": manifest, "result": result});
        axum::Json(answer).into_response()
    }

    fn clickhouse(&self, body: &str) -> Response {
        if body.contains("version()") {
            let meta = json!([{"name": "version()", "type": "String"}]);
            return axum::Json(json!({"meta": meta, "data": [["26.5.1.1"]], "rows": 1})).into_response();
        }
        let pages = if describes(body) { 0 } else { self.pages };
        let rows = (0..pages).flat_map(|number| {
            let comma = Bytes::from_static(if number == 0 { b"" } else { b"," });
            [comma, self.rows.clone()]
        });
        let answer = json!({"meta": self.service.columns(), "rows": pages * PAGE});
        self.around(&answer, "data", rows.collect::<Vec<_>>())
    }

    /// A document with an array of rows as its first member.
    fn around(&self, document: &Json, name: &str, rows: impl IntoIterator<Item = Bytes>) -> Response {
        let rest = document.to_string();
        let Some(rest) = rest.strip_prefix('{') else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
        let mut parts = vec![Bytes::from(format!("{{\"{name}\":["))];
        parts.extend(rows);
        parts.push(format!("],{rest}").into());
        let parts = parts.into_iter().filter(|part| !part.is_empty()).map(Ok::<_, Infallible>);
        Body::from_stream(stream::iter(parts.collect::<Vec<_>>())).into_response()
    }
}
