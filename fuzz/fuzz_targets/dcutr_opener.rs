//! B's end of a hole punch's exchange, and an application that says `SYNC` whenever it likes. See `support/punch_end.rs`.
#![no_main]

#[path = "../support/punch_end.rs"]
mod punch_end;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use punch_end::{End, addresses};
use tidewire_core::Time;
use tidewire_dcutr::exchange::{Config, Opener, TurnError};

impl End for Opener {
    fn begin(tx: &mut BytesMut) -> Opener {
        Opener::new(Time::ZERO, &addresses(), &Config::default(), tx)
    }

    fn act(&mut self, now: Time, tx: &mut BytesMut) -> Result<usize, TurnError> {
        self.sync(now, tx).map(|()| 0)
    }

    fn is_over(&self) -> bool {
        Opener::is_over(self)
    }
}

fuzz_target!(|data: &[u8]| punch_end::fuzz::<Opener>(data));
