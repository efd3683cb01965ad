//! Where in a request a credential goes.

use backflow_core::code::Failure;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;

use super::unusable;
use crate::http::Outgoing;

/// A place of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A header; the text goes before the credential.
    Header(HeaderName, String),
    /// A parameter of the URL's query.
    Query(String),
    /// A member of the body, by its JSON pointer; of a form, a pair.
    Body(String),
}

impl Place {
    /// Whether a credential can go there.
    pub(crate) fn usable(&self, credential: &str) -> Result<(), ()> {
        match self {
            Self::Header(_, before) => HeaderValue::from_str(&format!("{before}{credential}")).map(drop).map_err(drop),
            Self::Query(_) | Self::Body(_) => Ok(()),
        }
    }

    /// Puts a credential there.
    pub(crate) fn put(&self, request: &mut Outgoing, credential: &str) -> Result<(), Failure> {
        match self {
            Self::Header(name, before) => {
                let value = HeaderValue::from_str(&format!("{before}{credential}"));
                let mut value = value.map_err(|_| {
                    unusable("a credential", "holds a line break or another character that no HTTP header may have")
                })?;
                value.set_sensitive(true);
                request.headers.insert(name.clone(), value);
            }
            Self::Query(name) => _ = request.url.query_pairs_mut().append_pair(name, credential),
            Self::Body(pointer) => put_in_body(request, pointer, credential)?,
        }
        Ok(())
    }
}

fn put_in_body(request: &mut Outgoing, pointer: &str, credential: &str) -> Result<(), Failure> {
    let name = pointer.trim_start_matches('/');
    let form =
        request.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form"));
    if form {
        let mut pairs = url::form_urlencoded::Serializer::new(String::from_utf8_lossy(&request.body).into_owned());
        pairs.append_pair(name, credential);
        request.body = pairs.finish().into();
        return Ok(());
    }
    // Nearly all of them are members of the body itself: written in front of the others, which need not be read for that.
    if !name.contains(['/', '~']) && request.body.first() == Some(&b'{') {
        let member = format!("{{{}:{}", Value::from(name), Value::from(credential));
        let rest = &request.body[1..];
        let only = rest.trim_ascii_start().first() == Some(&b'}');
        let mut body = Vec::with_capacity(member.len() + rest.len() + 1);
        body.extend_from_slice(member.as_bytes());
        if !only {
            body.push(b',');
        }
        body.extend_from_slice(rest);
        request.body = body.into();
        return Ok(());
    }
    let placed = serde_json::from_slice::<Value>(&request.body).ok().and_then(|mut body| {
        let (parent, last) = pointer.rsplit_once('/')?;
        let last = last.replace("~1", "/").replace("~0", "~");
        body.pointer_mut(parent)?.as_object_mut()?.insert(last, credential.into());
        Some(body.to_string())
    });
    match placed {
        Some(body) => request.body = body.into(),
        // A request without a body, such as a lookup by GET, has nowhere to put it.
        None if request.body.is_empty() => {}
        None => {
            let message =
                format!("the definition places a credential at {pointer} of the body, which has no such place");
            return Err(Failure::new(backflow_core::code::Code::PlanInvalid, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(place: &Place, content_type: &'static str, body: &'static str) -> Outgoing {
        let mut request = Outgoing::post("https://api.example.com/a?b=c", body);
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        place.put(&mut request, "s&cr\"t").unwrap();
        request
    }

    #[test]
    fn credentials_go_where_the_scheme_says() {
        let header = Place::Header(HeaderName::from_static("x-api-key"), "Key ".into());
        let request = placed(&header, "application/json", "{}");
        assert_eq!(request.headers["x-api-key"], "Key s&cr\"t");
        assert!(!format!("{:?}", request.headers).contains("s&cr"), "sensitive");
        let query = placed(&Place::Query("key".into()), "application/json", "{}");
        assert_eq!(query.url.query(), Some("b=c&key=s%26cr%22t"));
    }

    #[test]
    fn bodies_take_credentials_in_front_or_deep_inside() {
        let body = |pointer: &str, kind, body| {
            let request = placed(&Place::Body(pointer.into()), kind, body);
            String::from_utf8(request.body.to_vec()).unwrap()
        };
        let json = "application/json";
        assert_eq!(body("/api_key", json, r#"{"events":[1]}"#), r#"{"api_key":"s&cr\"t","events":[1]}"#);
        assert_eq!(body("/api_key", json, "{ }"), r#"{"api_key":"s&cr\"t" }"#);
        assert_eq!(body("/auth/key", json, r#"{"auth":{"a":1}}"#), r#"{"auth":{"a":1,"key":"s&cr\"t"}}"#);
        assert_eq!(body("/api_key", "application/x-www-form-urlencoded", "a=1"), "a=1&api_key=s%26cr%22t");
        assert_eq!(body("/api_key", json, ""), "");
    }

    #[test]
    fn a_credential_with_a_line_break_is_no_header() {
        let mut request = Outgoing::post("https://api.example.com/", "");
        let failure = Place::Header(reqwest::header::AUTHORIZATION, "Bearer ".into())
            .put(&mut request, "canary\r\nX: y")
            .unwrap_err();
        assert!(request.headers.is_empty() && !failure.message.contains("canary"), "{failure}");
    }
}
