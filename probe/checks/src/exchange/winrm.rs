//! WS-Management: ask who is there, without credentials.

use super::carrier::{Dialogue, Framing, Stream};
use super::report::Report;
use super::{Exchange, Expected, Progress};
use crate::wire::Error;
use crate::wire::http::{self, Response};

/// DSP0226 11: Identify needs no session, and with this header Windows answers strangers where that is allowed.
const UNAUTHENTICATED: &str = "WSMANIDENTIFY: unauthenticated";
const IDENTIFY: &str = "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
    xmlns:i=\"http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd\">\
    <s:Header/><s:Body><i:Identify/></s:Body></s:Envelope>";
/// What Windows' HTTP server calls itself, whoever uses it.
const HTTP_SYS: &[u8] = b"Microsoft-HTTPAPI/";

struct Winrm;

/// Over TCP, and inside TLS.
pub(super) fn over_stream(expected: &Expected) -> Box<dyn Exchange> {
    let plain =
        |host: &&str| host.bytes().all(|octet| octet.is_ascii_alphanumeric() || b".-_".contains(&octet));
    let host = expected.host.as_deref().filter(plain).unwrap_or("localhost");
    let request = http::post(host, "/wsman", UNAUTHENTICATED, IDENTIFY);
    Box::new(Stream::new(request, Framing { measure: http::measure, header: 0 }, Winrm))
}

impl Dialogue for Winrm {
    const PROTOCOL: &'static str = "http";

    fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
        let response = http::decode(message)?;
        let wsman = is_wsman(&response);
        let report = Report::default()
            .fact("http-status", i64::from(response.status))
            .fact("wsman", wsman)
            .octets("server", response.values("Server").next())
            .octets("authenticate", response.values("WWW-Authenticate").next())
            .octets("product-vendor", element(response.body, "ProductVendor"))
            .octets("product-version", element(response.body, "ProductVersion"));
        // The HTTP server of Windows stands before WinRM and answers for it, except that nobody is at the address.
        let windows = response.values("Server").any(|server| server.starts_with(HTTP_SYS));
        let is_there = wsman || (windows && response.status != 404);
        Ok(if is_there { report.proven() } else { report.wrong("not-winrm") })
    }
}

/// The answer to Identify, a fault in the same form, or the demand for Windows credentials.
fn is_wsman(response: &Response<'_>) -> bool {
    let soap = response.values("Content-Type").any(|kind| begins(kind, "application/soap+xml"));
    let asks = |how: &[u8]| ["Negotiate", "Kerberos"].into_iter().any(|word| begins(how, word));
    let names = |how: &[u8]| contains(how, b"\"WSMAN\"");
    soap || response.status == 401 && response.values("WWW-Authenticate").any(|how| asks(how) || names(how))
}

fn begins(text: &[u8], word: &str) -> bool {
    text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The text of an element without attributes, whatever its prefix.
fn element<'a>(body: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let opening = [name.as_bytes(), b">"].concat();
    let start = body.windows(opening.len()).position(|window| window == opening)?;
    let text = body.get(start.checked_add(opening.len())?..)?;
    text.split(|octet| *octet == b'<').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_no_name_stays_out_of_the_request() {
        let request = |host: &str| {
            let expected = Expected { host: Some(host.to_owned()), ..Expected::default() };
            String::from_utf8(over_stream(&expected).output()).unwrap()
        };
        assert!(request("dc1.corp.example").contains("\r\nHost: dc1.corp.example\r\n"));
        assert!(request("a\r\nX: y").contains("\r\nHost: localhost\r\n"));
    }

    #[test]
    fn the_request_tells_its_length() {
        let request = String::from_utf8(over_stream(&Expected::default()).output()).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, IDENTIFY);
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        assert!(head.starts_with("POST /wsman HTTP/1.1\r\n"), "{head}");
    }
}
