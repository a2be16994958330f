//! Any datagram, at a host and at a router: what is understood says the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidewire_portmap::wire::{Request, Response};

fuzz_target!(|data: &[u8]| {
    if let Ok(request) = Request::decode(data) {
        assert_eq!(Request::decode(&request.encode()), Ok(request));
    }
    if let Ok(response) = Response::decode(data) {
        assert_eq!(Response::decode(&response.encode()), Ok(response));
    }
});
