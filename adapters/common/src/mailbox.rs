//! What a hub has to say to a connection's task: a queue with a lock of its own, so that a hub never waits for a connection.

use crate::buffer::lock;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use tidewire_host::identify::Card;
use tidewire_host::link::{Order, Routes};

/// What is said to a connection's task.
#[derive(Debug)]
pub(crate) enum Mail {
    /// What its link is to do.
    Order(Order),
    /// What we say of ourselves from now on.
    Card(Arc<Card>),
    /// What is served from now on.
    Routes(Routes),
    /// The host has forgotten it: drop the socket, say nothing.
    Refuse,
    /// Whom to wake in its next turn.
    Wake(Waker),
}

/// The queue. The host's limits bound it: an order answers something that the link or the application asked for.
#[derive(Debug, Default)]
pub(crate) struct Mailbox(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    mail: VecDeque<Mail>,
    /// The task, while it has looked and found nothing more.
    task: Option<Waker>,
}

impl Mailbox {
    pub(crate) fn push(&self, mail: Mail) {
        let mut inner = lock(&self.0);
        inner.mail.push_back(mail);
        let task = inner.task.take();
        drop(inner);
        if let Some(task) = task {
            task.wake();
        }
    }

    /// All there is. The task is woken when there is more.
    pub(crate) fn take(&self, task: &Waker) -> VecDeque<Mail> {
        let mut inner = lock(&self.0);
        match &mut inner.task {
            Some(known) => known.clone_from(task),
            none => *none = Some(task.clone()),
        }
        std::mem::take(&mut inner.mail)
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.0).mail.is_empty()
    }

    /// Whether it was refused before its task began.
    pub(crate) fn is_refused(&self) -> bool {
        lock(&self.0).mail.iter().any(|mail| matches!(mail, Mail::Refuse))
    }
}
