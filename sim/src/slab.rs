//! Things with a small number that is never reused for another thing.

use core::fmt;

/// A place in a [`Slab`], and which of its tenants is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    slot: u32,
    tenant: u32,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tenant {
            0 => write!(f, "{}", self.slot),
            tenant => write!(f, "{}.{}", self.slot, tenant),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, item: T) -> Key {
        if let Some(slot) = self.free.pop()
            && let Some((tenant, place)) = self.slots.get_mut(slot as usize)
        {
            *place = Some(item);
            return Key { slot, tenant: *tenant };
        }
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push((0, Some(item)));
        Key { slot, tenant: 0 }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        self.slots.get(key.slot as usize).filter(|(tenant, _)| *tenant == key.tenant)?.1.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slots.get_mut(key.slot as usize).filter(|(tenant, _)| *tenant == key.tenant)?.1.as_mut()
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let (tenant, place) = self.slots.get_mut(key.slot as usize).filter(|(tenant, _)| *tenant == key.tenant)?;
        let item = place.take()?;
        *tenant = tenant.wrapping_add(1);
        self.free.push(key.slot);
        Some(item)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots
            .iter()
            .zip(0..)
            .filter_map(|((tenant, item), slot)| item.as_ref().map(|item| (Key { slot, tenant: *tenant }, item)))
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_key_does_not_open_a_slot_that_has_a_new_tenant() {
        let mut slab = Slab::default();
        let old = slab.insert('a');
        assert_eq!(slab.remove(old), Some('a'));
        let new = slab.insert('b');
        assert_ne!(old, new);
        assert_eq!(slab.get(old), None);
        assert_eq!(slab.get_mut(old), None);
        assert_eq!(slab.remove(old), None);
        assert_eq!(slab.get(new), Some(&'b'));
        assert_eq!((slab.len(), slab.iter().count()), (1, 1));
    }
}
