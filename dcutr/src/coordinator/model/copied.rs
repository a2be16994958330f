//! Machines are large, and most steps touch one of four: the copies of a state share them, and what they hash to, until they are
//! told something.

use alloc::rc::Rc;
use core::hash::{Hash, Hasher};
use core::ops::Deref;
use siphasher::sip128::{Hasher128, SipHasher13};

#[derive(Clone)]
pub(super) struct Copied<T> {
    machine: Rc<T>,
    digest: (u64, u64),
    is_touched: bool,
}

impl<T: Clone + Hash> Copied<T> {
    pub(super) fn new(machine: T) -> Copied<T> {
        Copied { machine: Rc::new(machine), digest: (0, 0), is_touched: true }
    }

    /// To tell it something.
    pub(super) fn touch(&mut self) -> &mut T {
        self.is_touched = true;
        Rc::make_mut(&mut self.machine)
    }

    /// The same, if it was told something since it was at rest: else there is nothing to be polled.
    pub(super) fn touched(&mut self) -> Option<&mut T> {
        self.is_touched.then(|| self.touch())
    }

    /// It is at rest: its moments get new names.
    pub(super) fn rest(&mut self, rename: impl FnOnce(&mut T)) {
        if self.is_touched {
            let machine = Rc::make_mut(&mut self.machine);
            rename(machine);
            let mut hasher = SipHasher13::new();
            machine.hash(&mut hasher);
            let hash = hasher.finish128();
            (self.digest, self.is_touched) = ((hash.h1, hash.h2), false);
        }
    }
}

impl<T> Deref for Copied<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.machine
    }
}

impl<T> Hash for Copied<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        assert!(!self.is_touched, "its moments have their old names");
        self.digest.hash(state);
    }
}
