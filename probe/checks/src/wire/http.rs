//! HTTP/1.1 (RFC 9112), as far as one request and the beginning of its response need it.

use super::reader::Error;

/// Status line and headers may have this many octets together.
pub const MAX_HEAD: usize = 8 * 1024;
/// A response may have this many headers; more are refused.
pub const MAX_HEADERS: usize = 64;
/// A body of at most this many octets is waited for; of a longer one nothing is read.
pub const MAX_BODY: usize = 16 * 1024;

const WHAT: &str = "an HTTP response";
const BEGINNING: &[u8] = b"HTTP/1.";
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<'a> {
    /// Status code, 100 to 999.
    pub status: u16,
    /// Names and values, in the order of the response, without white space around the values.
    pub headers: Vec<(&'a [u8], &'a [u8])>,
    /// The body, if it was waited for.
    pub body: &'a [u8],
}

impl<'a> Response<'a> {
    /// The values of a header; names are compared without case.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let same = move |found: &[u8]| found.eq_ignore_ascii_case(name.as_bytes());
        self.headers.iter().filter(move |(found, _)| same(found)).map(|(_, value)| *value)
    }
}

/// A POST of an XML text, after which the connection is closed. Host and path must be fit for a header.
#[must_use]
pub fn post(host: &str, path: &str, header: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\n{header}\r\nContent-Type: application/soap+xml;charset=UTF-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The octets of the response at the beginning of `bytes`, with the body if its length is told and no more than
/// [`MAX_BODY`]; `None` while that is not known.
///
/// # Errors
/// The bytes are not HTTP, or the head is longer than [`MAX_HEAD`] or has more than [`MAX_HEADERS`] headers.
pub fn measure(bytes: &[u8]) -> Result<Option<usize>, Error> {
    let begun = bytes.get(..BEGINNING.len()).unwrap_or(bytes);
    if !BEGINNING.starts_with(begun) {
        return Err(Error::Malformed(WHAT));
    }
    let Some(head) = head_length(bytes) else {
        return if bytes.len() > MAX_HEAD { Err(Error::Limit(WHAT)) } else { Ok(None) };
    };
    let response = head_of(bytes.get(..head).unwrap_or_default())?;
    let length = response.values("Content-Length").next().and_then(number).filter(|it| *it <= MAX_BODY);
    Ok(Some(head.saturating_add(length.unwrap_or(0))))
}

fn head_length(bytes: &[u8]) -> Option<usize> {
    let searched = bytes.get(..MAX_HEAD).unwrap_or(bytes);
    let end = searched.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD)?;
    end.checked_add(END_OF_HEAD.len())
}

fn number(digits: &[u8]) -> Option<usize> {
    let digits = Some(digits).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Decodes a response of exactly these octets.
///
/// # Errors
/// As [`measure`], and if the head is incomplete.
pub fn decode(bytes: &[u8]) -> Result<Response<'_>, Error> {
    if measure(bytes)? != Some(bytes.len()) {
        return Err(Error::Malformed(WHAT));
    }
    let head = head_length(bytes).ok_or(Error::Truncated(WHAT))?;
    let (head, body) = bytes.split_at_checked(head).ok_or(Error::Truncated(WHAT))?;
    Ok(Response { body, ..head_of(head)? })
}

/// Status line (RFC 9112 4) and field lines (RFC 9112 5). Folded lines are refused, as RFC 9112 5.2 allows.
fn head_of(head: &[u8]) -> Result<Response<'_>, Error> {
    let malformed = Error::Malformed(WHAT);
    let mut lines = head.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let status_line = lines.next().and_then(|line| line.strip_prefix(BEGINNING)).ok_or(malformed)?;
    let status = match status_line {
        [b'0'..=b'9', b' ', code @ ..] => code.get(..3).and_then(number),
        _ => None,
    };
    let status =
        status.and_then(|code| u16::try_from(code).ok()).filter(|code| *code >= 100).ok_or(malformed)?;
    let mut headers = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        if headers.len() >= MAX_HEADERS {
            return Err(Error::Limit(WHAT));
        }
        let colon = line.iter().position(|octet| *octet == b':').ok_or(malformed)?;
        let (name, value) = line.split_at_checked(colon).ok_or(malformed)?;
        if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
            return Err(malformed);
        }
        headers.push((name, value.get(1..).unwrap_or_default().trim_ascii()));
    }
    Ok(Response { status, headers, body: b"" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 401 \r\nServer:  X \r\nCONTENT-length: 3\r\n\r\n";

    #[test]
    fn a_head_is_read_and_the_body_waited_for() {
        let whole = [HEAD, b"abc"].concat();
        for length in 0..HEAD.len() {
            assert_eq!(measure(&whole[..length]), Ok(None), "{length}");
        }
        assert_eq!(measure(HEAD), Ok(Some(whole.len())));
        let response = decode(&whole).unwrap();
        assert_eq!((response.status, response.body), (401, &b"abc"[..]));
        assert_eq!(response.values("server").collect::<Vec<_>>(), [b"X"]);
    }

    #[test]
    fn a_long_body_is_not_waited_for() {
        for length in ["16385", "99999999999999999999", "-1", "x", ""] {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            assert_eq!(measure(head.as_bytes()), Ok(Some(head.len())), "{length}");
        }
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for bytes in [
            &b"SSH-2.0-x"[..],
            b"HTTP/2",
            b"HTTP/1.1 20\r\n\r\n",
            b"HTTP/1.1 099 x\r\n\r\n",
            b"HTTP/1.x 200 x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
        ] {
            assert!(measure(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn heads_are_limited() {
        let mut head = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
        head.resize(MAX_HEAD, b'x');
        assert_eq!(measure(&head), Ok(None));
        head.push(b'x');
        assert_eq!(measure(&head), Err(Error::Limit(WHAT)));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1));
        assert_eq!(measure(many.as_bytes()), Err(Error::Limit(WHAT)));
    }
}
