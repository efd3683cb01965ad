//! Scenarios of the protocol, each against a server that speaks as its script says.

use std::sync::Mutex;

use backflow_core::cell::Cell;
use backflow_core::plan::{ModelQuery, Tls, TlsMode};
use backflow_core::secret::SecretRef;
use futures::StreamExt as _;
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};

use super::auth::Method;
use super::wire::{Fields, Packets, push_sized};
use super::*;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
const RANDOM: &[u8] = b"0123456789abcdefghij";

/// Every secret is this password.
struct Password;

impl Secrets for Password {
    fn read(&self, _: &SecretRef) -> Result<SecretString, Failure> {
        Ok("s3cr3t".into())
    }
}

/// What comes after the columns of a read.
#[derive(Clone)]
enum Read {
    Rows(Vec<Vec<Option<&'static str>>>),
    /// These rows, and an error.
    Error(Vec<Vec<Option<&'static str>>>, u16, &'static str),
    /// These rows, and the connection ends.
    End(Vec<Vec<Option<&'static str>>>),
    /// Nothing, ever.
    Silence,
}

/// How the user logs in.
#[derive(Clone, Copy, PartialEq)]
enum Login {
    /// By a hash that the server remembers.
    Cached,
    /// By the password, sealed with the server's key.
    Full,
    /// By a method that is not known here.
    Foreign,
    /// The server refuses everybody.
    Refused(u16),
    /// It is no MySQL.
    Page,
}

/// A server of one script, and what it was told to do.
struct Script {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Script {
    async fn start(login: Login, read: Read) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, login, read.clone(), Arc::clone(&kept)));
            }
        });
        Self { port, asked }
    }

    fn plan(&self) -> Server {
        Server {
            host: "127.0.0.1".into(),
            port: self.port,
            database: "shop".into(),
            user: "backflow".into(),
            password: Some(SecretRef { name: "mysql".into(), key: "password".into() }),
            tls: Tls { mode: TlsMode::Disable, ..Tls::default() },
        }
    }

    async fn open(&self) -> Result<MySqlWarehouse, Failure> {
        MySqlWarehouse::open(&self.plan(), "_backflow", &Password, "backflow/run-1").await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn greeting() -> Vec<u8> {
    let mut out = vec![10];
    out.extend_from_slice(b"8.4.2\0");
    out.extend_from_slice(&7_u32.to_le_bytes());
    out.extend_from_slice(&RANDOM[..8]);
    out.push(0);
    let capabilities: u32 = 0x01ff_f7ff;
    out.extend_from_slice(&(capabilities as u16).to_le_bytes());
    out.extend_from_slice(&[45, 2, 0]);
    out.extend_from_slice(&((capabilities >> 16) as u16).to_le_bytes());
    out.push(21);
    out.extend_from_slice(&[0; 10]);
    out.extend_from_slice(&RANDOM[8..]);
    out.push(0);
    out.extend_from_slice(b"caching_sha2_password\0");
    out
}

fn error(code: u16, message: &str) -> Vec<u8> {
    let [a, b] = code.to_le_bytes();
    [&[0xff, a, b], &b"#HY000"[..], message.as_bytes()].concat()
}

fn definition(name: &str, kind: u8, flags: u16) -> Vec<u8> {
    let mut out = Vec::new();
    for text in ["def", "shop", "c", "c", name, name] {
        push_sized(text.as_bytes(), &mut out);
    }
    out.push(12);
    out.extend_from_slice(&45_u16.to_le_bytes());
    out.extend_from_slice(&80_u32.to_le_bytes());
    out.push(kind);
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&[0, 0, 0]);
    out
}

async fn serve(stream: TcpStream, login: Login, read: Read, asked: Arc<Mutex<Vec<String>>>) -> Option<()> {
    if login == Login::Page {
        use tokio::io::AsyncWriteExt as _;
        let mut stream = stream;
        return stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n<html>s3cr3t</html>").await.ok();
    }
    let mut packets = Packets::new(Box::new(stream));
    if let Login::Refused(code) = login {
        return packets.send(&error(code, "s3cr3t"), PATIENCE).await.ok();
    }
    packets.send(&greeting(), PATIENCE).await.ok()?;
    let response = packets.next(PATIENCE).await.ok()?;
    let mut fields = Fields(&response);
    fields.take(32)?;
    asked.lock().unwrap().push(format!("user {}", String::from_utf8_lossy(fields.until_nul())));
    let answer = fields.sized()?.to_vec();
    asked.lock().unwrap().push(format!("database {}", String::from_utf8_lossy(fields.until_nul())));
    let expected = Method::CachingSha2.answer(b"s3cr3t", RANDOM, false)?;
    match login {
        Login::Cached if answer == expected => packets.send(&[1, 3], PATIENCE).await.ok()?,
        Login::Full => {
            packets.send(&[1, 4], PATIENCE).await.ok()?;
            assert_eq!(&packets.next(PATIENCE).await.ok()?[..], [2]);
            let public = public_key();
            packets.send(&[&[1], public.as_bytes()].concat(), PATIENCE).await.ok()?;
            let sealed = packets.next(PATIENCE).await.ok()?;
            asked.lock().unwrap().push(format!("sealed in {} bytes", sealed.len()));
        }
        Login::Foreign => {
            packets.send(&[&[0xfe], &b"client_ed25519\0"[..], RANDOM].concat(), PATIENCE).await.ok()?;
            return packets.next(PATIENCE).await.map(drop).ok();
        }
        _ => return packets.send(&error(1045, "Access denied for user s3cr3t"), PATIENCE).await.ok(),
    }
    packets.send(&[0, 0, 0, 2, 0, 0, 0], PATIENCE).await.ok()?;
    loop {
        packets.begin();
        let command = packets.next(std::time::Duration::from_secs(60)).await.ok()?;
        let sql = String::from_utf8_lossy(command.get(1..)?).into_owned();
        asked.lock().unwrap().push(sql.clone());
        if !sql.starts_with("SELECT _m") {
            packets.send(&[0, 0, 0, 2, 0, 0, 0], PATIENCE).await.ok()?;
            continue;
        }
        let described = sql.ends_with("LIMIT 0");
        let mut columns = vec![definition("id", 8, 32), definition("email", 253, 0)];
        if !described {
            columns.reverse();
        }
        packets.send(&[2], PATIENCE).await.ok()?;
        for column in columns {
            packets.send(&column, PATIENCE).await.ok()?;
        }
        let none = Vec::new();
        let (rows, last) = match &read {
            _ if described => (&none, None),
            Read::Rows(rows) => (rows, None),
            Read::Error(rows, code, message) => (rows, Some(error(*code, message))),
            Read::End(rows) => (rows, Some(Vec::new())),
            Read::Silence => {
                let _ = packets.next(std::time::Duration::from_secs(60)).await;
                return None;
            }
        };
        for row in rows {
            let mut out = Vec::new();
            for value in row {
                match value {
                    Some(text) => push_sized(text.as_bytes(), &mut out),
                    None => out.push(0xfb),
                }
            }
            packets.send(&out, PATIENCE).await.ok()?;
        }
        match last {
            None => packets.send(&[0xfe, 0, 0, 2, 0, 0, 0], PATIENCE).await.ok()?,
            Some(error) if error.is_empty() => return None,
            Some(error) => packets.send(&error, PATIENCE).await.ok()?,
        }
    }
}

fn public_key() -> String {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut openssl = Command::new("openssl");
    let mut openssl = openssl.args(["pkey", "-pubout"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    openssl.stdin.take().unwrap().write_all(crate::rest::keys::rsa().as_bytes()).unwrap();
    String::from_utf8(openssl.wait_with_output().unwrap().stdout).unwrap()
}

fn model() -> ModelPlan {
    let query = ModelQuery::Sql("select *\nfrom c".into());
    ModelPlan { name: "customers".into(), query, primary_key: vec!["id".into()] }
}

async fn read(warehouse: &MySqlWarehouse) -> Result<Vec<Vec<Cell>>, Failure> {
    let columns = vec!["email".into(), "id".into()];
    let query = Query { model: model(), columns, filter: Some("id > 0".into()), limit: None };
    let mut rows = warehouse.rows(query).await?;
    let mut all = Vec::new();
    while let Some(batch) = rows.next().await {
        all.extend(batch?);
    }
    Ok(all)
}

fn two() -> Vec<Vec<Option<&'static str>>> {
    vec![vec![Some("é"), Some("1")], vec![None, Some("18446744073709551615")]]
}

#[tokio::test]
async fn a_read_is_one_select_in_a_snapshot_of_a_session_that_is_ours() {
    for login in [Login::Cached, Login::Full] {
        let script = Script::start(login, Read::Rows(two())).await;
        let warehouse = script.open().await.unwrap();
        assert_eq!(warehouse.server().await.unwrap(), "MySQL 8.4.2");
        let text = Cell::Text("é".into());
        let expected = [vec![text, Cell::Int(1)], vec![Cell::Null, Cell::Decimal("18446744073709551615".into())]];
        assert_eq!(read(&warehouse).await.unwrap(), expected);
        warehouse.idle().await;
        let mut asked = script.asked();
        if login == Login::Full {
            assert_eq!(asked.remove(2), "sealed in 256 bytes");
        }
        assert!(!asked.iter().any(|asked| asked.contains("s3cr3t")), "{asked:?}");
        assert!(
            asked[2].contains("time_zone = '+00:00'") && asked[2].ends_with("max_execution_time = 21600000"),
            "{asked:?}"
        );
        let expected = [
            "user backflow",
            "database shop",
            &asked[2],
            "DO 0",
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
            "SELECT _m.* FROM (\nselect *\nfrom c\n) AS _m WHERE (\nid > 0\n) LIMIT 0",
            "SELECT _m.`email`, _m.`id` FROM (\nselect *\nfrom c\n) AS _m WHERE (\nid > 0\n)",
            "ROLLBACK",
        ];
        assert_eq!(asked, expected);
    }
}

#[tokio::test]
async fn what_fails_after_the_first_rows_is_told_and_nothing_goes_on() {
    for (after, code, said) in [
        (Read::End(two()), Code::ConnectionFailed, "broke; it is tried again"),
        (Read::Error(two(), 1317, "s3cr3t"), Code::WarehouseUnavailable, "killed the query"),
        (Read::Error(two(), 1969, "s3cr3t"), Code::WarehouseUnavailable, "longer than allowed"),
        (Read::Error(Vec::new(), 1365, "s3cr3t"), Code::SqlError, "division by zero"),
        (Read::Error(two(), 9999, "s3cr3t"), Code::SqlError, "error 9999"),
        (Read::Rows(vec![vec![Some("a"), Some("x")]]), Code::SqlError, "a value of column \"id\" arrives"),
        (Read::Rows(vec![vec![Some("a")]]), Code::SqlError, "a value arrives"),
    ] {
        let script = Script::start(Login::Cached, after).await;
        let warehouse = script.open().await.unwrap();
        let failure = read(&warehouse).await.unwrap_err();
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(said) && !failure.message.contains("s3cr3t"), "{failure}");
        warehouse.idle().await;
        assert_eq!(script.asked().last().unwrap(), "KILL QUERY 7");
    }
}

#[tokio::test]
async fn a_read_that_nobody_waits_for_is_killed() {
    let script = Script::start(Login::Cached, Read::Silence).await;
    let warehouse = script.open().await.unwrap();
    let query = Query { model: model(), columns: vec!["id".into()], filter: None, limit: None };
    drop(warehouse.rows(query).await.unwrap());
    warehouse.idle().await;
    assert_eq!(script.asked().last().unwrap(), "KILL QUERY 7");
}

#[tokio::test]
async fn what_keeps_a_connection_from_coming_about_is_told_with_its_cure() {
    for (login, code, said) in [
        (Login::Foreign, Code::AuthenticationFailed, "logs in by client_ed25519, which cannot be used here"),
        (Login::Refused(1040), Code::WarehouseUnavailable, "raise max_connections"),
        (Login::Refused(1129), Code::WarehouseUnavailable, "FLUSH HOSTS"),
        (Login::Refused(1045), Code::AuthenticationFailed, "check user and password"),
        (Login::Refused(1049), Code::DatabaseNotFound, "has no database \"shop\""),
        (Login::Refused(1044), Code::PermissionDenied, "GRANT SELECT ON `shop`.* TO `backflow`@'%'"),
        (Login::Refused(1130), Code::AuthenticationFailed, "lets nobody in from this address"),
        (Login::Refused(3159), Code::AuthenticationFailed, "set tls.mode"),
        (Login::Refused(1862), Code::AuthenticationFailed, "has expired"),
        (Login::Refused(9999), Code::ConnectionFailed, "error 9999"),
        (Login::Page, Code::ConnectionFailed, "did not answer as a MySQL server does"),
    ] {
        let script = Script::start(login, Read::Silence).await;
        let failure = script.open().await.err().unwrap();
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(said) && !failure.message.contains("s3cr3t"), "{failure}");
    }
}
