//! How messages travel: cut out of a stream, or one a datagram.

use std::net::SocketAddr;

use super::report::Report;
use super::{Exchange, Progress};
use crate::flow::Ending;
use crate::wire::Error;

/// An exchange takes this many octets from a peer. Then it gives up: the outcome is wrong, the reason `too-long`.
pub const MAX_INPUT: usize = 64 * 1024;

/// Why a conversation goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The connection ended, or nothing came.
    Ended(Ending),
    /// What came is not of the protocol.
    NotUnderstood,
    /// More than [`MAX_INPUT`] octets came.
    TooLong,
}

impl Stop {
    /// The word used in facts.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Ended(Ending::Eof) => "closed",
            Self::Ended(Ending::Reset) => "reset",
            Self::Ended(Ending::Silence) => "silent",
            Self::NotUnderstood => "not-understood",
            Self::TooLong => "too-long",
        }
    }
}

/// What the messages of a protocol mean.
pub(super) trait Dialogue: Send {
    /// Name of the protocol, for the reason `not-…`.
    const PROTOCOL: &'static str;

    /// Takes one message. An error means that the bytes are not of the protocol.
    fn message(&mut self, message: &[u8]) -> Result<Progress, Error>;

    /// What to send after the messages so far, besides the request. Taken once.
    fn answer(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// See [`Exchange::bound`].
    fn bound(&mut self, _own: SocketAddr) {}

    /// See [`Exchange::is_proven`].
    fn is_proven(&self) -> bool {
        false
    }

    /// What is known if no message comes any more. A dialogue that is proven has something to say.
    fn stopped(&mut self, _stop: Stop) -> Option<Progress> {
        None
    }
}

/// A message at the beginning of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Framing {
    /// The octets of the first message with its framing, at least one; `None` while that is not known.
    pub(super) measure: fn(&[u8]) -> Result<Option<usize>, Error>,
    /// The octets of framing before the message.
    pub(super) header: usize,
}

fn not_understood<D: Dialogue>(bytes: &[u8]) -> Progress {
    Report::default().reply(bytes).wrong(&format!("not-{}", D::PROTOCOL))
}

/// A dialogue over a stream. The verdict does not depend on how the stream is cut into reads; only the fact `reply`
/// of a wrong one does, because it shows what there was to see.
#[derive(Debug)]
pub(super) struct Stream<D> {
    request: Vec<u8>,
    framing: Framing,
    dialogue: D,
    buffer: Vec<u8>,
    taken: usize,
    sent: bool,
    verdict: Option<Progress>,
}

impl<D: Dialogue> Stream<D> {
    pub(super) const fn new(request: Vec<u8>, framing: Framing, dialogue: D) -> Self {
        Self { request, framing, dialogue, buffer: Vec::new(), taken: 0, sent: false, verdict: None }
    }

    pub(super) const fn dialogue(&self) -> &D {
        &self.dialogue
    }

    /// What came after the message that decided.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Reads the messages that are complete, up to the first that decides.
    fn read(&mut self) -> Progress {
        loop {
            let total = match (self.framing.measure)(&self.buffer) {
                Ok(Some(total)) => total.max(1),
                Ok(None) => return Progress::Waiting,
                Err(_) => return self.not_understood(self.buffer.len()),
            };
            let Some((frame, rest)) = self.buffer.split_at_checked(total) else { return Progress::Waiting };
            let message = frame.get(self.framing.header..).unwrap_or_default();
            let Ok(progress) = self.dialogue.message(message) else { return self.not_understood(total) };
            self.buffer = rest.to_vec();
            if progress != Progress::Waiting {
                return progress;
            }
        }
    }

    /// The octets at the beginning of the buffer are not of the protocol.
    fn not_understood(&mut self, octets: usize) -> Progress {
        let frame = self.buffer.get(..octets).unwrap_or_default();
        let wrong = not_understood::<D>(frame);
        self.dialogue.stopped(Stop::NotUnderstood).unwrap_or(wrong)
    }
}

impl<D: Dialogue> Exchange for Stream<D> {
    fn output(&mut self) -> Vec<u8> {
        self.sent = true;
        let mut out = std::mem::take(&mut self.request);
        out.extend(self.dialogue.answer());
        out
    }

    fn input(&mut self, bytes: &[u8]) -> Progress {
        if let Some(verdict) = &self.verdict {
            return verdict.clone();
        }
        let room = MAX_INPUT.saturating_sub(self.taken);
        let accepted = bytes.get(..room).unwrap_or(bytes);
        self.taken = self.taken.saturating_add(accepted.len());
        self.buffer.extend_from_slice(accepted);
        let mut progress = self.read();
        if progress == Progress::Waiting && accepted.len() < bytes.len() {
            let wrong = Report::default().wrong("too-long");
            progress = self.dialogue.stopped(Stop::TooLong).unwrap_or(wrong);
        }
        if progress != Progress::Waiting {
            self.verdict = Some(progress.clone());
        }
        progress
    }

    fn is_proven(&self) -> bool {
        self.dialogue.is_proven()
    }

    fn ended(&mut self, ending: Ending) -> Option<Progress> {
        if self.verdict.is_none() && self.sent && (self.buffer.is_empty() || self.is_proven()) {
            // Half a reply, or an end before there was a request, says nothing.
            self.verdict = self.dialogue.stopped(Stop::Ended(ending));
        }
        self.verdict.clone()
    }
}

/// A dialogue over datagrams: each is one message.
#[derive(Debug)]
pub(super) struct Datagrams<D> {
    request: Vec<u8>,
    dialogue: D,
    taken: usize,
    verdict: Option<Progress>,
}

impl<D: Dialogue> Datagrams<D> {
    pub(super) const fn new(request: Vec<u8>, dialogue: D) -> Self {
        Self { request, dialogue, taken: 0, verdict: None }
    }
}

impl<D: Dialogue> Exchange for Datagrams<D> {
    fn bound(&mut self, own: SocketAddr) {
        self.dialogue.bound(own);
    }

    fn output(&mut self) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.request);
        out.extend(self.dialogue.answer());
        out
    }

    fn input(&mut self, bytes: &[u8]) -> Progress {
        if let Some(verdict) = &self.verdict {
            return verdict.clone();
        }
        self.taken = self.taken.saturating_add(bytes.len());
        let progress = if self.taken > MAX_INPUT {
            Report::default().wrong("too-long")
        } else {
            self.dialogue.message(bytes).unwrap_or_else(|_| not_understood::<D>(bytes))
        };
        if progress != Progress::Waiting {
            self.verdict = Some(progress.clone());
        }
        progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of a length octet and what it counts; `!` decides.
    struct Toy;

    impl Dialogue for Toy {
        const PROTOCOL: &'static str = "toy";

        fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
            match message {
                b"!" => Ok(Report::default().proven()),
                b"?" => Err(Error::Malformed("toy")),
                _ => Ok(Progress::Waiting),
            }
        }
    }

    fn measure(bytes: &[u8]) -> Result<Option<usize>, Error> {
        match bytes.first() {
            Some(0xff) => Err(Error::Malformed("toy")),
            first => Ok(first.map(|length| usize::from(*length) + 1)),
        }
    }

    fn toy() -> Stream<Toy> {
        Stream::new(b"hello".to_vec(), Framing { measure, header: 1 }, Toy)
    }

    #[test]
    fn the_request_goes_out_once() {
        let mut stream = toy();
        assert_eq!(stream.output(), b"hello");
        assert_eq!(stream.output(), b"");
    }

    #[test]
    fn messages_are_cut_out_of_the_stream() {
        let mut stream = toy();
        assert_eq!(stream.input(b"\x02a"), Progress::Waiting);
        assert_eq!(stream.input(b"b\x00\x01"), Progress::Waiting);
        let proven = Report::default().proven();
        assert_eq!(stream.input(b"!\xff"), proven);
        assert_eq!(stream.input(b"\xff"), proven, "a verdict is final");
    }

    #[test]
    fn strange_bytes_are_wrong() {
        let wrong = |reply: &[u8]| Report::default().reply(reply).wrong("not-toy");
        assert_eq!(toy().input(b"\xffabc"), wrong(b"\xffabc"));
        assert_eq!(toy().input(b"\x01?abc"), wrong(b"\x01?"));
        assert_eq!(Datagrams::new(Vec::new(), Toy).input(b"?"), wrong(b"?"));
    }

    #[test]
    fn input_is_bounded() {
        let too_long = Report::default().wrong("too-long");
        let mut stream = toy();
        assert_eq!(stream.input(&vec![0; MAX_INPUT]), Progress::Waiting);
        assert_eq!(stream.input(b"\x01!"), too_long);
        assert_eq!(toy().input(&vec![0; MAX_INPUT + 1]), too_long);
        let mut decided = vec![1, b'!'];
        decided.resize(MAX_INPUT + 10, 0);
        assert_eq!(toy().input(&decided), Report::default().proven());

        let mut datagrams = Datagrams::new(Vec::new(), Toy);
        assert_eq!(datagrams.input(&vec![0; MAX_INPUT]), Progress::Waiting);
        assert_eq!(datagrams.input(b"!"), too_long);
    }
}
