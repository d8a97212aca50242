//! Protobuf in gRPC, with small buffers.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::BufferSettings;
use tonic_prost::{ProstDecoder, ProstEncoder};

/// Bytes that a stream keeps for each direction; a larger message makes its buffer grow. Most of a controller's thousands of
/// streams are idle, and their messages are small.
const BUFFER: usize = 1_024;
/// Bytes of messages that are gathered before they are sent: tonic's own value.
const YIELD: usize = 32 * 1_024;

/// As [`tonic_prost::ProstCodec`].
#[derive(Debug, Clone)]
pub struct Codec<Encode, Decode>(PhantomData<(Encode, Decode)>);

impl<Encode, Decode> Default for Codec<Encode, Decode> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Encode, Decode> tonic::codec::Codec for Codec<Encode, Decode>
where
    Encode: Message + 'static,
    Decode: Message + Default + 'static,
{
    type Encode = Encode;
    type Decode = Decode;
    type Encoder = ProstEncoder<Encode>;
    type Decoder = ProstDecoder<Decode>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::new(BUFFER, YIELD))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(BufferSettings::new(BUFFER, YIELD))
    }
}
