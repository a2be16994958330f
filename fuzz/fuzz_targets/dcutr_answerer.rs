//! A's end of a hole punch's exchange, and an application that answers whenever it likes. See `support/punch_end.rs`.
#![no_main]

#[path = "../support/punch_end.rs"]
mod punch_end;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use punch_end::{End, addresses};
use tidewire_core::Time;
use tidewire_dcutr::exchange::{Answerer, Config, TurnError};

impl End for Answerer {
    fn begin(_: &mut BytesMut) -> Answerer {
        Answerer::new(Time::ZERO, &Config::default())
    }

    fn act(&mut self, now: Time, tx: &mut BytesMut) -> Result<usize, TurnError> {
        self.connect(now, &addresses(), tx)
    }

    fn is_over(&self) -> bool {
        Answerer::is_over(self)
    }
}

fuzz_target!(|data: &[u8]| punch_end::fuzz::<Answerer>(data));
