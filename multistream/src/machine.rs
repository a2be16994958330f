//! What the machines of this crate have in common: one way to step, one way to fail.

/// Makes a [`Machine`](tidewire_core::Machine) of a type with a `step` that knows whether `rx` has ended, and the fields
/// `state`, `fault` and `deadline`: the first error ends it, is kept, and stops the clock. Names are the caller's.
macro_rules! machine {
    ($machine:ident => $output:ty, deadline: $due:expr) => {
        impl Machine for $machine {
            type Output = $output;
            type Error = Error;

            fn advance(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<$output>, Error> {
                let result = self.step(now, rx, tx, false);
                if let Err(error) = &result {
                    self.fail(error);
                }
                result
            }

            fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<$output>, Error> {
                let result = self.step(now, rx, tx, true);
                if let Err(error) = &result {
                    self.fail(error);
                }
                result
            }

            fn deadline(&self) -> Time {
                let due: fn(&$machine) -> Time = $due;
                due(self)
            }

            /// What an error holds. Lists and routers are shared, and count where they were made.
            fn memory_used(&self) -> usize {
                self.fault.memory_used()
            }
        }

        impl $machine {
            fn starved(&self, now: Time, ended: bool, awaited: Awaited) -> Result<Option<$output>, Error> {
                starved(now, ended, awaited, self.deadline, &self.config).map(|()| None)
            }

            #[cold]
            fn fail(&mut self, error: &Error) {
                self.fault.keep(error);
                self.state = State::Failed;
                self.deadline = Time::NEVER;
            }
        }
    };
}

pub(crate) use machine;
