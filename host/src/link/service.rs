//! What a node serves beside the application's protocols, and beside identify, push and ping: the streams on which one end asks
//! and the other answers.

use tidewire_multistream::RouteId;
use tidewire_relay::exchange;

/// A protocol whose streams the links run, and on which the host decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Service {
    /// Of relays, or of AutoNAT.
    Relay(exchange::Service),
    /// Of hole punching.
    Dcutr,
}

impl Service {
    /// Its name, to propose and to accept it by.
    pub const fn name(self) -> &'static str {
        match self {
            Service::Relay(service) => service.name(),
            Service::Dcutr => tidewire_dcutr::PROTOCOL,
        }
    }

    /// The route that its streams take: so many after the first that is for services.
    pub(super) fn route(self, first: u64) -> Option<RouteId> {
        let place = match self {
            Service::Dcutr => exchange::Service::ALL.len(),
            Service::Relay(service) => exchange::Service::ALL.iter().position(|known| *known == service)?,
        };
        Some(RouteId::new(first + u64::try_from(place).ok()?))
    }

    /// The service with this route.
    pub(super) fn of_route(route: RouteId, first: u64) -> Option<Service> {
        let place = usize::try_from(route.get().checked_sub(first)?).ok()?;
        match exchange::Service::ALL.get(place) {
            Some(service) => Some(Service::Relay(*service)),
            None if place == exchange::Service::ALL.len() => Some(Service::Dcutr),
            None => None,
        }
    }
}

impl From<exchange::Service> for Service {
    fn from(service: exchange::Service) -> Service {
        Service::Relay(service)
    }
}
