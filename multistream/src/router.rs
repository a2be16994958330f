//! Routes: which handler serves which names.
//!
//! Spec: `libp2p/specs` connections/README.md, "Protocol Negotiation" (exact by default, the handler learns the name) and
//! "Opening New Streams Over a Connection" (predicates). The semver rule is go-multistream's former matcher.

use crate::error::Error;
use crate::listener::Accepted;
use crate::protocol::Protocol;
use crate::wire;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// The caller's number for a handler. It comes back with the negotiated name; several routes may share one.
///
/// 64 bits, so that a foreign caller can keep a pointer in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(u64);

impl RouteId {
    /// The handler with this number.
    pub const fn new(number: u64) -> RouteId {
        RouteId(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Which names a route takes, seen from the name under which it was added.
#[derive(Clone)]
#[non_exhaustive]
pub enum Matcher {
    /// This name alone.
    Exact,
    /// Every name that begins with this one.
    Prefix,
    /// Every name with the same path and a compatible version at its end: the same major version, and a minor version not
    /// above ours. The patch version, and what follows `-` or `+`, is ignored. `/a/1.2.0` takes `/a/1.1.7`, not `/a/1.3.0`.
    Semver,
    /// Every name that this function accepts.
    Function(fn(&str) -> bool),
    /// Every name that this closure accepts. It must be pure: the same name, the same answer.
    Closure(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Matcher::Exact => "Exact",
            Matcher::Prefix => "Prefix",
            Matcher::Semver => "Semver",
            Matcher::Function(_) => "Function",
            Matcher::Closure(_) => "Closure",
        })
    }
}

/// An ordered table of routes. The first that takes a name gets it.
///
/// Share it between listeners in an `Arc`. To serve other names on another connection, or from now on, build another one:
/// listeners that are under way keep theirs.
///
/// The words of multistream-select itself (`/multistream/1.0.0`, `/libp2p/simultaneous-connect`, `na`, `ls`) never reach a
/// matcher.
///
/// ```
/// use tidewire_multistream::{Matcher, Protocol, RouteId, Router};
///
/// let mut router = Router::new();
/// router.add(Protocol::from_static("/ipfs/ping/1.0.0"), Matcher::Exact, RouteId::new(1))?;
/// router.add(Protocol::from_static("/chat/1.2.0"), Matcher::Semver, RouteId::new(2))?;
/// assert_eq!(router.route("/chat/1.1.9"), Some(RouteId::new(2)));
/// assert_eq!(router.route("/chat/2.0.0"), None);
/// # Ok::<(), tidewire_multistream::RouteError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Router {
    routes: Vec<Route>,
}

#[derive(Clone, Debug)]
struct Route {
    name: Protocol,
    matcher: Matcher,
    id: RouteId,
}

impl Router {
    /// A router without routes: every proposal gets `na`.
    pub const fn new() -> Router {
        Router { routes: Vec::new() }
    }

    /// Adds a route behind those that exist. If there is one under this name, whatever its matcher, it is replaced where it
    /// stands, and its id is returned.
    ///
    /// # Errors
    /// [`Matcher::Semver`] under a name that doesn't end in a version. Nothing changed.
    pub fn add(&mut self, name: Protocol, matcher: Matcher, id: RouteId) -> Result<Option<RouteId>, RouteError> {
        if matches!(matcher, Matcher::Semver) && path_and_version(name.as_str()).is_none() {
            return Err(RouteError::NotSemver { name });
        }
        match self.routes.iter_mut().find(|route| route.name == name) {
            Some(route) => {
                let old = route.id;
                *route = Route { name, matcher, id };
                Ok(Some(old))
            }
            None => {
                self.routes.push(Route { name, matcher, id });
                Ok(None)
            }
        }
    }

    /// Removes the route under this name. Returns its id, if there was one.
    pub fn remove(&mut self, name: &Protocol) -> Option<RouteId> {
        let at = self.routes.iter().position(|route| route.name == *name)?;
        Some(self.routes.remove(at).id)
    }

    /// Who serves this name, if anyone.
    pub fn route(&self, name: &str) -> Option<RouteId> {
        self.find(name.as_bytes()).ok().flatten().map(|accepted| accepted.route)
    }

    /// The names that an answer to `ls` shows: those of exact and semver routes. What prefixes and predicates accept can't
    /// be listed.
    pub fn listed(&self) -> impl Iterator<Item = &Protocol> + Clone {
        let shown = |route: &&Route| matches!(route.matcher, Matcher::Exact | Matcher::Semver);
        self.routes.iter().filter(shown).map(|route| &route.name)
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there is no route.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The first route that takes this name. Text is decoded once, and only if a predicate comes before an equal name.
    ///
    /// # Errors
    /// The name is empty or not UTF-8.
    pub(crate) fn find(&self, name: &[u8]) -> Result<Option<Accepted>, Error> {
        let mut text = None;
        for route in &self.routes {
            if let Matcher::Exact = route.matcher {
                if route.name.as_bytes() == name {
                    return Ok(Some(Accepted { protocol: route.name.clone(), route: route.id }));
                }
                continue;
            }
            let proposed = match text {
                Some(proposed) => proposed,
                None => *text.insert(wire::text(name)?),
            };
            if wire::is_reserved(name) {
                return Ok(None);
            }
            if route.takes(proposed) {
                // What a predicate took can still hold a newline, or be longer than a name may be: then nobody serves it.
                let Ok(protocol) = Protocol::new(proposed) else { return Ok(None) };
                return Ok(Some(Accepted { protocol, route: route.id }));
            }
        }
        if text.is_none() {
            wire::check_text(name)?;
        }
        Ok(None)
    }
}

impl Route {
    fn takes(&self, proposed: &str) -> bool {
        match &self.matcher {
            Matcher::Exact => self.name.as_str() == proposed,
            Matcher::Prefix => proposed.starts_with(self.name.as_str()),
            Matcher::Semver => match (path_and_version(self.name.as_str()), path_and_version(proposed)) {
                (Some((path, ours)), Some((asked_path, asked))) => {
                    path == asked_path && ours.major == asked.major && ours.minor >= asked.minor
                }
                _ => false,
            },
            Matcher::Function(accepts) => accepts(proposed),
            Matcher::Closure(accepts) => accepts(proposed),
        }
    }
}

/// Why a route can't be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The semver rule needs a version at the end of the name.
    #[error("{name} does not end in a version such as /1.2.0, which the semver rule needs")]
    NotSemver {
        /// The name.
        name: Protocol,
    },
}

struct Version {
    major: u64,
    minor: u64,
}

/// Splits `/path/1.2.3` at its last slash. The version has three numbers; what follows `-` or `+` is not looked at.
fn path_and_version(name: &str) -> Option<(&str, Version)> {
    let (path, version) = name.rsplit_once('/')?;
    let numbers = version.split(['-', '+']).next()?;
    let mut parts = numbers.split('.');
    let [major, minor, _patch] = [number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?];
    if parts.next().is_some() { None } else { Some((path, Version { major, minor })) }
}

/// Digits alone: `parse` by itself would take a sign.
fn number(digits: &str) -> Option<u64> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(routes: &[(&'static str, Matcher, u64)]) -> Router {
        let mut router = Router::new();
        for (name, matcher, id) in routes {
            router.add(Protocol::from_static(name), matcher.clone(), RouteId::new(*id)).unwrap();
        }
        router
    }

    #[test]
    fn the_semver_rule_takes_the_same_path_and_major_and_no_higher_minor() {
        let cases = [
            ("/a/1.2.3", "/a/1.2.3", true),
            ("/a/1.2.3", "/a/1.2.9", true),
            ("/a/1.2.3", "/a/1.0.0", true),
            ("/a/1.2.3", "/a/1.3.0", false),
            ("/a/1.2.3", "/a/2.0.0", false),
            ("/a/1.2.3", "/a/0.2.3", false),
            ("/a/1.2.3", "/b/1.2.3", false),
            ("/a/1.2.3", "/a/b/1.2.3", false),
            ("/a/1.2.3", "/a/1.2", false),
            ("/a/1.2.3", "/a/1.2.3.4", false),
            ("/a/1.2.3", "/a/1.+2.3", false),
            ("/a/1.2.3", "/a/1..3", false),
            ("/a/1.2.3", "/a/v1.2.3", false),
            ("/a/1.2.3", "/a/1.2.0-rc.1+build", true),
            ("/a/1.2.3", "/a/99999999999999999999.0.0", false),
            ("/a/1.2.3", "1.2.3", false),
        ];
        for (ours, asked, taken) in cases {
            assert_eq!(router(&[(ours, Matcher::Semver, 7)]).route(asked).is_some(), taken, "{ours} asked {asked}");
        }
    }

    #[test]
    fn a_semver_route_needs_a_version() {
        let name = Protocol::from_static("/a/new");
        let refused = Router::new().add(name.clone(), Matcher::Semver, RouteId::new(1));
        assert_eq!(refused, Err(RouteError::NotSemver { name }));
    }

    #[test]
    fn the_first_route_that_takes_a_name_gets_it() {
        let first =
            router(&[("/a/", Matcher::Prefix, 1), ("/a/1", Matcher::Exact, 2), ("/z", Matcher::Function(|_| true), 3)]);
        assert_eq!(first.route("/a/1").map(RouteId::get), Some(1));
        assert_eq!(first.route("/b").map(RouteId::get), Some(3));
        let second = router(&[("/a/1", Matcher::Exact, 2), ("/a/", Matcher::Prefix, 1)]);
        assert_eq!(second.route("/a/1").map(RouteId::get), Some(2));
    }

    #[test]
    fn registering_a_name_again_replaces_its_route_in_place() {
        let mut router = router(&[("/a/1.0.0", Matcher::Exact, 1), ("/a", Matcher::Prefix, 2)]);
        let again = router.add(Protocol::from_static("/a/1.0.0"), Matcher::Semver, RouteId::new(3));
        assert_eq!(again, Ok(Some(RouteId::new(1))));
        assert_eq!(router.route("/a/1.0.5").map(RouteId::get), Some(3));
        assert_eq!(router.len(), 2);
        assert_eq!(router.remove(&Protocol::from_static("/a")), Some(RouteId::new(2)));
        assert_eq!(router.remove(&Protocol::from_static("/a")), None);
        assert_eq!(router.route("/ab"), None);
    }

    #[test]
    fn a_predicate_that_takes_all_never_sees_the_words_of_multistream_itself() {
        let all = router(&[("/all", Matcher::Closure(Arc::new(|_| true)), 1)]);
        for word in ["/multistream/1.0.0", "/libp2p/simultaneous-connect", "na", "ls"] {
            assert_eq!(all.route(word), None, "{word}");
        }
        assert!(all.route("anything").is_some());
    }

    #[test]
    fn only_exact_and_semver_names_are_listed() {
        let mixed = router(&[
            ("/a/1.0.0", Matcher::Exact, 1),
            ("/b", Matcher::Prefix, 2),
            ("/c/1.0.0", Matcher::Semver, 3),
            ("/d", Matcher::Function(|_| false), 4),
        ]);
        let names: Vec<&str> = mixed.listed().map(Protocol::as_str).collect();
        assert_eq!(names, ["/a/1.0.0", "/c/1.0.0"]);
    }
}
