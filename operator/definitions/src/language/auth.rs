//! Ways to authenticate.

use serde_json::{Map, Value};

use super::part::{described, expression, flag, list, map, names, object, template, text, to};
use crate::auth::AuthKind;

pub(super) fn definitions() -> Map<String, Value> {
    described([(
        "scheme",
        "A way to authenticate. Its `type` says which other members it has. Its templates see `settings`, \
         secrets among them, and what they name must be given unless they write `settings.?name`.",
        scheme(),
    )])
}

fn scheme() -> Value {
    let place = object(
        &["as"],
        [
            (
                "as",
                "`bearer`: the header `Authorization`. `header`: another header. `query`: a parameter of the \
                 query.",
                names(["bearer", "header", "query"]),
            ),
            ("name", "Name of the header or parameter. Needed unless `as` is `bearer`.", text()),
            ("prefix", "What stands before the token, with `as: bearer`. Default: `Bearer`.", text()),
        ],
    );
    let consent = object(
        &["url"],
        [
            ("url", "Address of the page: `https://…`, or one that begins with an expression.", template()),
            ("scope", "Scopes that are asked for, separated by blanks.", template()),
            (
                "params",
                "More parameters of the page, such as those without which there is no refresh token.",
                to("templates"),
            ),
        ],
    );
    let assertion = object(
        &["alg", "key"],
        [
            ("alg", "How it is signed.", names(["RS256", "ES256", "HS256"])),
            ("key", "The private key in PEM form, or the shared key of `HS256`.", template()),
            ("keyId", "Name of the key: `kid` of the assertion.", template()),
            ("ttl", "How long it is valid. Default: `5m`.", to("duration")),
            ("claims", "What it says. `iat`, `exp` and `jti` are added.", to("templates")),
        ],
    );
    object(
        &["type"],
        [
            ("id", "Name, as `Destination.spec.auth` gives it. Needed in `choose`; in `always` there is none.", text()),
            ("description", "One sentence for who chooses. Needed in `choose`; in `always` there is none.", text()),
            (
                "optional",
                "It does nothing where a setting that it needs is not given, which else is an error; only of \
                 a scheme that needs one. Default: `false`.",
                flag(),
            ),
            (
                "type",
                "How requests show who sends them. `none`: not at all. `bearer`: `Authorization: Bearer …`. \
                 `basic`: user and password. `header`, `query`, `body`: a credential there. `baseUrl`: the \
                 whole address is the credential. `oauth2`: a token of OAuth 2.0. `tokenRequest`: the token \
                 of a request of its own. `hmac`: a signature over each request. `sigv4`: signature version 4 \
                 of AWS. `oauth1`: OAuth 1.0a. `native`: the code of a `native` definition knows how; such a \
                 definition has no other but `none`.",
                names(AuthKind::NAMES.iter().map(|(name, _)| *name)),
            ),
            (
                "token",
                "Of `bearer`: the token. Of `tokenRequest`: the token in the answer, one expression over \
                 `headers` and `body`. Both need it. Of `oauth1`: the token that was given once, together \
                 with `tokenSecret`.",
                template(),
            ),
            ("prefix", "Of `bearer`: what stands before the token. Default: `Bearer`.", text()),
            ("username", "Of `basic`, and of `oauth2` with `grant: password`, which need it: the user.", template()),
            (
                "password",
                "Of `basic`, and of `oauth2` with `grant: password`, which need it: the password. Of `basic` \
                 it may be empty.",
                template(),
            ),
            ("name", "Of `header` and `query`, which need it: name of the header or parameter.", text()),
            ("value", "Of `header`, `query` and `body`, which need it: the credential.", template()),
            (
                "pointer",
                "Of `body`, which needs it: JSON pointer to the member of the body that the credential \
                 becomes, such as `/api_key`. Every operation's request then has an object as `body`, as \
                 `json` or `form`, and in JSON an object around that member.",
                text(),
            ),
            ("url", "Of `baseUrl`, which needs it: the address, in place of `http.baseUrl`.", template()),
            (
                "grant",
                "Of `oauth2`, which needs it: what a token is given for. `clientCredentials`: the application \
                 itself. `refreshToken`: a refresh token. `jwtBearer`: a signed assertion (RFC 7523). \
                 `password`: a user's password.",
                names(["clientCredentials", "refreshToken", "jwtBearer", "password"]),
            ),
            (
                "tokenUrl",
                "Of `oauth2`, which needs it: address of the token endpoint, whose host `http.hosts` allows.",
                template(),
            ),
            ("clientId", "Of `oauth2`: id of the application. Needed for `consent`.", template()),
            ("clientSecret", "Of `oauth2`: secret of the application.", template()),
            (
                "clientAuth",
                "Of `oauth2`: how the application shows who it is. `basic`: by HTTP Basic. `body`: by \
                 `client_id` and `client_secret` in the body. `none`: by `client_id` alone, if there is one; \
                 there is no `clientSecret` then, which `basic` needs. Default: `basic` with a \
                 `clientSecret`, else `none`.",
                names(["basic", "body", "none"]),
            ),
            ("scope", "Of `oauth2`: scopes of the request for a token, separated by blanks.", template()),
            ("params", "Of `oauth2`: more parameters of the request for a token.", to("templates")),
            ("headers", "Of `oauth2`: headers of the request for a token.", to("templates")),
            ("refreshToken", "Of `oauth2` with `grant: refreshToken`, which needs it: the refresh token.", template()),
            (
                "consent",
                "Of `oauth2` with `grant: refreshToken`: the page on which a person agrees, for `backflow \
                 authorize`. `refreshToken` is then one setting alone. A browser shows all of it, so it sees \
                 no secrets.",
                consent,
            ),
            (
                "assertion",
                "Of `oauth2` with `grant: jwtBearer`, which needs it: what is signed, and with what.",
                assertion,
            ),
            (
                "tokenPath",
                "Of `oauth2`: the token, over `token` alone, which is the answer's JSON. Default: \
                 `${token.access_token}`.",
                expression(),
            ),
            (
                "expiresIn",
                "How long a token lasts. Of `oauth2`: if the answer has no `expires_in`; without either, a \
                 token is used until it is refused. Of `tokenRequest`, which needs it: always.",
                to("duration"),
            ),
            (
                "refreshBefore",
                "Of `oauth2`: how long before its end a token is renewed. One that lasts less than twice as \
                 long is used for half of its time. Default: `60s`.",
                to("duration"),
            ),
            (
                "rotates",
                "Of `oauth2` with `grant: refreshToken`: each refresh token works once, and the answer brings \
                 the next, which is kept beside the states. Default: `false`.",
                flag(),
            ),
            (
                "place",
                "Of `oauth2` and `tokenRequest`: where the token goes. Default: `Authorization: Bearer …`.",
                place,
            ),
            (
                "capture",
                "Of `oauth2` and `tokenRequest`: what else of the answer requests use, as `auth.<name>`. Over \
                 `token`, or over `headers` and `body`; an answer without it is an error.",
                map(expression()),
            ),
            (
                "request",
                "Of `tokenRequest`, which needs it: the request that gives a token. It goes to `http.baseUrl` \
                 without `http.headers`, and sees secrets.",
                to("request"),
            ),
            ("key", "Of `hmac`, which needs it: the shared key.", template()),
            (
                "algorithm",
                "Of `hmac` and `oauth1`: the hash of the signature. Default: `sha256` of `hmac`, `sha1` of \
                 `oauth1`.",
                names(["sha256", "sha1"]),
            ),
            (
                "signs",
                "Of `hmac`, which needs it: what is signed, one after the other, at most 16. Over `request`: \
                 `timestamp` (seconds since 1970), `method`, `path` (with the query) and `body`.",
                list(template()),
            ),
            ("header", "Of `hmac`, which needs it: name of the header that takes the signature.", text()),
            (
                "format",
                "Of `hmac`, which needs it: the header's value, over `request` and `signature` (`hex` and \
                 `base64`).",
                template(),
            ),
            (
                "uses",
                "Of `native`, which needs it: names of the settings that the code uses, at most 64.",
                list(text()),
            ),
            ("service", "Of `sigv4`, which needs it: the service, as its signatures name it.", template()),
            ("region", "Of `sigv4`, which needs it: the region.", template()),
            ("accessKeyId", "Of `sigv4`, which needs it: id of the access key.", template()),
            ("secretAccessKey", "Of `sigv4`, which needs it: the secret access key.", template()),
            ("sessionToken", "Of `sigv4`: the session token of temporary credentials.", template()),
            ("consumerKey", "Of `oauth1`, which needs it: key of the application.", template()),
            ("consumerSecret", "Of `oauth1`, which needs it: secret of the application.", template()),
            ("tokenSecret", "Of `oauth1`: secret of the token, together with `token`.", template()),
            ("realm", "Of `oauth1`: the realm, where the destination wants one.", template()),
        ],
    )
}
