//! How a connection begins: what both sides can do, and who the user is.

use secrecy::{ExposeSecret as _, SecretString};

use super::wire::units;

/// TDS 7.4, which every server since SQL Server 2012 speaks.
const VERSION: u32 = 0x7400_0004;
/// The most that a packet may have when it is encrypted: what is larger does not fit a record of TLS.
const PACKET: u32 = 16_383;
/// The longest text that a field of the login takes, in units of UTF-16.
pub(super) const NAME: usize = 128;

/// Options of the prelogin.
mod option {
    pub(super) const VERSION: u8 = 0;
    pub(super) const ENCRYPTION: u8 = 1;
    pub(super) const INSTANCE: u8 = 2;
    pub(super) const THREAD: u8 = 3;
    pub(super) const MARS: u8 = 4;
    pub(super) const TOKEN: u8 = 6;
    pub(super) const NONCE: u8 = 7;
    pub(super) const END: u8 = 0xff;
}

/// What a side says of encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encrypts {
    /// The password alone.
    Login,
    On,
    NotSupported,
    Required,
}

impl Encrypts {
    fn of(byte: u8) -> Option<Self> {
        // Bits above say that a client certificate is asked for.
        Some(match byte & 0x3f {
            0 => Self::Login,
            1 => Self::On,
            2 => Self::NotSupported,
            3 => Self::Required,
            _ => return None,
        })
    }
}

/// Who logs in.
pub(super) enum Identity {
    Password {
        user: String,
        password: SecretString,
    },
    /// A token of Microsoft Entra.
    Token(SecretString),
}

/// Whom to be, and where.
pub(super) struct Login<'a> {
    pub(super) identity: &'a Identity,
    pub(super) database: &'a str,
    /// The server's name, as it was reached.
    pub(super) server: &'a str,
    /// What the server shows of the connection.
    pub(super) program: &'a str,
}

/// What a server answers to a prelogin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prelogin {
    pub(super) encrypts: Encrypts,
    /// It knows that a token comes.
    takes_tokens: bool,
    /// To be said again with the token.
    nonce: Option<Vec<u8>>,
}

/// What a client says first.
pub(super) fn prelogin(encrypted: bool, token: bool) -> Vec<u8> {
    let encryption = if encrypted { 1 } else { 2 };
    let mut options: Vec<(u8, Vec<u8>)> = vec![
        (option::VERSION, vec![0; 6]),
        (option::ENCRYPTION, vec![encryption]),
        (option::INSTANCE, vec![0]),
        (option::THREAD, vec![0; 4]),
        (option::MARS, vec![0]),
    ];
    if token {
        options.push((option::TOKEN, vec![1]));
    }
    let mut at = 5 * options.len() + 1;
    let (mut head, mut body) = (Vec::new(), Vec::new());
    for (code, value) in options {
        head.push(code);
        head.extend_from_slice(&(at as u16).to_be_bytes());
        head.extend_from_slice(&(value.len() as u16).to_be_bytes());
        at += value.len();
        body.extend_from_slice(&value);
    }
    head.push(option::END);
    head.extend_from_slice(&body);
    head
}

impl Prelogin {
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        let mut found = Self { encrypts: Encrypts::NotSupported, takes_tokens: false, nonce: None };
        let mut version = false;
        for entry in message.chunks(5) {
            let (code, [a, b, c, d]) = match *entry {
                [option::END, ..] => return version.then_some(found),
                [code, a, b, c, d] => (code, [a, b, c, d]),
                _ => return None,
            };
            let at = usize::from(u16::from_be_bytes([a, b]));
            let value = message.get(at..at + usize::from(u16::from_be_bytes([c, d])))?;
            match code {
                option::VERSION => version = value.len() == 6,
                option::ENCRYPTION => found.encrypts = Encrypts::of(*value.first()?)?,
                option::TOKEN => found.takes_tokens = value.first() == Some(&1),
                option::NONCE => found.nonce = (value.len() == 32).then(|| value.to_vec()),
                _ => {}
            }
        }
        None
    }
}

impl Login<'_> {
    /// The message, whose password is veiled and no more: it is for an encrypted connection.
    pub(super) fn message(&self, told: &Prelogin) -> Vec<u8> {
        let (user, password) = match self.identity {
            Identity::Password { user, password } => (user.as_str(), veiled(password)),
            Identity::Token(_) => ("", Vec::new()),
        };
        let mut fixed = Vec::new();
        for number in [VERSION, PACKET, 0, std::process::id(), 0] {
            fixed.extend_from_slice(&number.to_le_bytes());
        }
        // The database and the language must be those that are asked for; settings as ODBC's; no feature of this byte; features behind.
        fixed.extend_from_slice(&[0xe0, 0x03, 0x00, 0x10]);
        fixed.extend_from_slice(&[0; 8]);

        // A character has two units at most.
        let name = |text: &str| units(&text.chars().take(NAME / 2).collect::<String>());
        let parts: [(Vec<u8>, bool); 9] = [
            (name("backflow"), true),
            (units(user), true),
            (password, true),
            (name(self.program), true),
            // Of ASCII, and by it a gateway knows whom to ask.
            (units(&self.server.chars().take(NAME).collect::<String>()), true),
            // Where the features begin, which is known when all the rest is.
            (vec![0; 4], false),
            (name("backflow"), true),
            (units("us_english"), true),
            (units(self.database), true),
        ];
        let start = 4 + fixed.len() + 4 * parts.len() + 6 + 3 * 4 + 4;
        let (mut places, mut body, mut features_at) = (Vec::new(), Vec::new(), 0);
        for (bytes, text) in &parts {
            let length = if *text { bytes.len() / 2 } else { bytes.len() };
            places.extend_from_slice(&((start + body.len()) as u16).to_le_bytes());
            places.extend_from_slice(&(length as u16).to_le_bytes());
            if !text {
                features_at = body.len();
            }
            body.extend_from_slice(bytes);
        }
        let end = start + body.len();
        // No number of a network card; no single sign-on, no file, no new password.
        places.extend_from_slice(&[0; 6]);
        for _ in 0..3 {
            places.extend_from_slice(&(end as u16).to_le_bytes());
            places.extend_from_slice(&[0; 2]);
        }
        places.extend_from_slice(&[0; 4]);
        if let Some(place) = body.get_mut(features_at..features_at + 4) {
            place.copy_from_slice(&(end as u32).to_le_bytes());
        }
        body.extend_from_slice(&self.features(told));

        let length = (4 + fixed.len() + places.len() + body.len()) as u32;
        [&length.to_le_bytes()[..], &fixed, &places, &body].concat()
    }

    /// The token, and that text may come in UTF-8.
    fn features(&self, told: &Prelogin) -> Vec<u8> {
        let mut out = Vec::new();
        if let Identity::Token(token) = self.identity {
            let token = units(token.expose_secret());
            // A token of one's own, and whether the server's word on tokens was heard.
            let mut data = vec![0x02 | u8::from(told.takes_tokens)];
            data.extend_from_slice(&(token.len() as u32).to_le_bytes());
            data.extend_from_slice(&token);
            data.extend_from_slice(told.nonce.as_deref().unwrap_or_default());
            out.push(0x02);
            out.extend_from_slice(&(data.len() as u32).to_le_bytes());
            out.extend_from_slice(&data);
        }
        out.extend_from_slice(&[0x0a, 1, 0, 0, 0, 1, 0xff]);
        out
    }
}

/// The password as the protocol has it: the halves of each byte change places, and then it is mixed with `A5`.
fn veiled(password: &SecretString) -> Vec<u8> {
    units(password.expose_secret()).into_iter().map(|byte| byte.rotate_left(4) ^ 0xa5).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azuresql::wire::{Fields, number, utf16};

    fn told(takes_tokens: bool) -> Prelogin {
        Prelogin { encrypts: Encrypts::On, takes_tokens, nonce: None }
    }

    /// The text at a place of the message, by the number of its field.
    fn field(message: &[u8], at: usize) -> String {
        let place = Fields(&message[36 + 4 * at..]).int(2).unwrap() as usize;
        let length = Fields(&message[38 + 4 * at..]).int(2).unwrap() as usize;
        utf16(&message[place..place + 2 * length])
    }

    #[test]
    fn a_login_says_where_everything_is() {
        let identity = Identity::Password { user: "backflow".into(), password: "pé".into() };
        let login =
            Login { identity: &identity, database: "shop", server: "db.example.net", program: "backflow/run-1" };
        let message = login.message(&told(false));
        assert_eq!(number(&message[..4]) as usize, message.len());
        let texts: Vec<String> = [0, 1, 3, 4, 6, 7, 8].map(|at| field(&message, at)).into();
        assert_eq!(
            texts,
            ["backflow", "backflow", "backflow/run-1", "db.example.net", "backflow", "us_english", "shop"]
        );
        // As in the example of MS-TDS: "p" is a2 a5.
        let password = number(&message[44..46]) as usize;
        assert_eq!(message[password..password + 4], [0xa2, 0xa5, 0x3b, 0xa5]);
        let extension = number(&message[56..58]) as usize;
        let features = number(&message[extension..extension + 4]) as usize;
        assert_eq!(message[features..], [0x0a, 1, 0, 0, 0, 1, 0xff]);
    }

    #[test]
    fn a_token_comes_behind_the_login_and_no_user_with_it() {
        let identity = Identity::Token("abc".into());
        let login = Login { identity: &identity, database: "shop", server: "db", program: "backflow" };
        let message = login.message(&told(true));
        assert_eq!((field(&message, 1), field(&message, 2)), (String::new(), String::new()));
        let feature = [&[0x02, 11, 0, 0, 0, 0x03, 6, 0, 0, 0][..], b"a\0b\0c\0", &[0x0a, 1, 0, 0, 0, 1, 0xff]].concat();
        assert!(message.ends_with(&feature));
    }

    #[test]
    fn a_prelogin_is_read_as_it_is_written() {
        let sent = prelogin(true, true);
        assert_eq!(Prelogin::read(&sent), Some(Prelogin { encrypts: Encrypts::On, takes_tokens: true, nonce: None }));
        assert_eq!(Prelogin::read(&prelogin(false, false)).unwrap().encrypts, Encrypts::NotSupported);
        for end in 0..sent.len() {
            assert_eq!(Prelogin::read(&sent[..end]), None, "{end}");
        }
    }
}
