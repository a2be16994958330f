//! Length-delimited frames: bytes in any pieces give the same frames and the same error as in one piece; what is read is
//! written the same; and no header over the limit is waited for.
#![no_main]

use arbitrary::Arbitrary;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use tidewire_core::{FrameError, decode_frame, decode_frame_header, decode_varint, encode_frame, encode_varint};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    max: u16,
    cuts: [u8; 4],
    wire: &'a [u8],
}

fn read(pieces: &[&[u8]], max: usize) -> (Vec<Vec<u8>>, Result<usize, FrameError>) {
    let (mut rx, mut frames) = (BytesMut::new(), vec![]);
    for piece in pieces {
        rx.extend_from_slice(piece);
        loop {
            let before = rx.len();
            match decode_frame(&mut rx, max) {
                Ok(Some(body)) => {
                    assert!(body.len() <= max);
                    frames.push(body.to_vec());
                }
                Ok(None) => {
                    assert_eq!(rx.len(), before, "an incomplete frame consumes nothing");
                    break;
                }
                Err(error) => {
                    assert_eq!(rx.len(), before, "an error consumes nothing");
                    return (frames, Err(error));
                }
            }
        }
    }
    (frames, Ok(rx.len()))
}

fuzz_target!(|input: Input<'_>| {
    let max = usize::from(input.max);
    let whole = read(&[input.wire], max);

    let mut cuts = input.cuts.map(|cut| usize::from(cut).min(input.wire.len()));
    cuts.sort_unstable();
    let [a, b, c, d] = cuts;
    let pieces = [&input.wire[..a], &input.wire[a..b], &input.wire[b..c], &input.wire[c..d], &input.wire[d..]];
    assert_eq!(whole, read(&pieces, max), "in pieces");
    let bytes: Vec<&[u8]> = input.wire.chunks(1).collect();
    assert_eq!(whole, read(&bytes, max), "byte by byte");

    let mut tx = BytesMut::new();
    whole.0.iter().for_each(|body| encode_frame(body, &mut tx));
    assert!(input.wire.starts_with(&tx), "what is read is written the same");

    if let Ok(Some((value, len))) = decode_varint(input.wire) {
        let mut tx = BytesMut::new();
        encode_varint(value, &mut tx).expect("a value that was read");
        assert_eq!(tx, input.wire[..len]);
        let header = decode_frame_header(input.wire, max);
        assert_eq!(header.is_err(), value > max as u64);
    }
});
