//! A way that packets take in one direction, and what happens to them on it.
//!
//! ```text
//!  packet --> [ queue, at most `queue` bytes ] --> bandwidth --> loss --> latency + jitter --> out
//!                     | full: dropped                              | lost
//! ```

use crate::rng::Rng;
use crate::trace::DropReason;
use core::time::Duration;
use tidewire_core::Time;

/// What a link does to packets. A plain value: give it to [`World::link`](crate::World::link) and its kin.
///
/// ```
/// use core::time::Duration;
/// use tidewire_sim::Link;
///
/// let phone = Link::new(Duration::from_millis(60)).jitter(Duration::from_millis(20)).loss(0.02).bandwidth(1_000_000);
/// # let _ = phone;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    latency: Duration,
    jitter: Duration,
    loss: f64,
    bandwidth: Option<u64>,
    queue: u64,
    mtu: usize,
}

impl Link {
    /// Delivers everything, `latency` later.
    pub const fn new(latency: Duration) -> Self {
        Link { latency, jitter: Duration::ZERO, loss: 0.0, bandwidth: None, queue: 256 * 1024, mtu: 1500 }
    }

    /// Adds up to this much to the latency, anew for each packet, evenly spread: packets may overtake each other.
    /// Default 0.
    #[must_use]
    pub const fn jitter(mut self, most: Duration) -> Self {
        self.jitter = most;
        self
    }

    /// Loses this part of the packets: 0.0 none, 1.0 all. Default 0.
    #[must_use]
    pub const fn loss(mut self, probability: f64) -> Self {
        self.loss = probability;
        self
    }

    /// Carries this many bytes a second, headers counted, one packet after the other. Default: no limit.
    #[must_use]
    pub const fn bandwidth(mut self, bytes_per_second: u64) -> Self {
        self.bandwidth = Some(bytes_per_second);
        self
    }

    /// How many bytes may wait for the bandwidth; what comes on top is dropped. Default 256 KiB.
    #[must_use]
    pub const fn queue(mut self, bytes: u64) -> Self {
        self.queue = bytes;
        self
    }

    /// The largest datagram that passes, headers counted; larger ones are dropped without a word. TCP is taken to know it,
    /// and is not concerned. Default 1500.
    #[must_use]
    pub const fn mtu(mut self, bytes: usize) -> Self {
        self.mtu = bytes;
        self
    }

    /// Whether what happens to a packet depends on those before it.
    pub(crate) const fn has_memory(&self) -> bool {
        self.bandwidth.is_some()
    }
}

impl Default for Link {
    /// 10 ms, and no other fault.
    fn default() -> Self {
        Link::new(Duration::from_millis(10))
    }
}

/// A link in use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pipe {
    /// `None`: the world's default, whatever that is by then.
    link: Option<Link>,
    /// When the last packet that was let in has left the queue.
    free_at: Time,
    /// Nothing passes before.
    cut_until: Time,
}

impl Pipe {
    pub(crate) const fn new(link: Link) -> Self {
        Pipe { link: Some(link), free_at: Time::ZERO, cut_until: Time::ZERO }
    }

    /// What waits goes on waiting, and a cut stays.
    pub(crate) fn set(&mut self, link: Link) {
        self.link = Some(link);
    }

    pub(crate) const fn cut(&mut self, until: Time) {
        self.cut_until = until;
    }

    /// When a packet of this size that enters now comes out.
    pub(crate) fn pass(
        &mut self,
        now: Time,
        (size, datagram): (usize, bool),
        default: &Link,
        rng: &mut Rng,
    ) -> Result<Time, DropReason> {
        let Link { latency, jitter, loss, bandwidth, queue, mtu } = *self.link.as_ref().unwrap_or(default);
        if now < self.cut_until {
            return Err(DropReason::Cut);
        }
        if datagram && size > mtu {
            return Err(DropReason::TooLarge);
        }
        let sent = match bandwidth {
            None => now,
            Some(rate) => {
                let start = self.free_at.max(now);
                let waiting = bytes_in(start.since(now), rate);
                if waiting.saturating_add(size as u64) > queue {
                    return Err(DropReason::QueueFull);
                }
                self.free_at = start + time_for(size as u64, rate);
                self.free_at
            }
        };
        if loss > 0.0 && rng.chance(loss) {
            return Err(DropReason::Lost);
        }
        let jitter = if jitter.is_zero() { jitter } else { rng.up_to(jitter) };
        Ok(sent + latency + jitter)
    }
}

const SECOND: u128 = 1_000_000_000;

/// How long this many bytes take, rounded up to a nanosecond.
fn time_for(bytes: u64, rate: u64) -> Duration {
    let nanos = (u128::from(bytes) * SECOND).div_ceil(u128::from(rate.max(1)));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// How many bytes pass in this time.
fn bytes_in(time: Duration, rate: u64) -> u64 {
    u64::try_from(time.as_nanos() * u128::from(rate) / SECOND).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_000);

    fn pass(pipe: &mut Pipe, size: usize) -> Result<Duration, DropReason> {
        pipe.pass(NOW, (size, true), &Link::default(), &mut Rng::new(1)).map(|at| at.since(NOW))
    }

    #[test]
    fn without_faults_a_packet_takes_the_latency() {
        let mut pipe = Pipe::new(Link::new(Duration::from_nanos(123)));
        assert_eq!(pass(&mut pipe, 1_000), Ok(Duration::from_nanos(123)));
        assert_eq!(pass(&mut pipe, 1_000), Ok(Duration::from_nanos(123)));
    }

    #[test]
    fn packets_leave_one_after_the_other_at_the_bandwidth() {
        let mut pipe = Pipe::new(Link::new(Duration::from_millis(5)).bandwidth(1_000_000));
        assert_eq!(pass(&mut pipe, 1_000), Ok(Duration::from_millis(6)));
        assert_eq!(pass(&mut pipe, 500), Ok(Duration::from_micros(6_500)));
        let later = NOW + Duration::from_secs(1);
        assert_eq!(
            pipe.pass(later, (1_000, true), &Link::default(), &mut Rng::new(1)),
            Ok(later + Duration::from_millis(6))
        );
    }

    #[test]
    fn a_byte_at_an_odd_rate_rounds_up() {
        let mut pipe = Pipe::new(Link::new(Duration::ZERO).bandwidth(3));
        assert_eq!(pass(&mut pipe, 1), Ok(Duration::from_nanos(333_333_334)));
    }

    #[test]
    fn what_does_not_fit_into_the_queue_is_dropped() {
        let mut pipe = Pipe::new(Link::new(Duration::ZERO).bandwidth(1_000).queue(1_000));
        assert!(pass(&mut pipe, 600).is_ok());
        assert_eq!(pass(&mut pipe, 600), Err(DropReason::QueueFull));
        assert!(pass(&mut pipe, 400).is_ok());
    }

    #[test]
    fn a_cut_ends_at_its_time() {
        let mut pipe = Pipe::new(Link::new(Duration::ZERO));
        pipe.cut(NOW + Duration::from_nanos(1));
        assert_eq!(pass(&mut pipe, 1), Err(DropReason::Cut));
        assert!(pipe.pass(NOW + Duration::from_nanos(1), (1, true), &Link::default(), &mut Rng::new(1)).is_ok());
    }

    #[test]
    fn only_datagrams_meet_the_mtu() {
        let mut pipe = Pipe::new(Link::default().mtu(100));
        assert_eq!(pass(&mut pipe, 101), Err(DropReason::TooLarge));
        assert!(pass(&mut pipe, 100).is_ok());
        assert!(pipe.pass(NOW, (101, false), &Link::default(), &mut Rng::new(1)).is_ok());
    }

    #[test]
    fn jitter_stays_within_its_bound() {
        let mut pipe = Pipe::new(Link::new(Duration::from_millis(1)).jitter(Duration::from_millis(2)));
        let mut rng = Rng::new(9);
        let took: Vec<Duration> = (0..1_000)
            .filter_map(|_| pipe.pass(NOW, (1, true), &Link::default(), &mut rng).ok())
            .map(|at| at.since(NOW))
            .collect();
        let (least, most) = (took.iter().min().unwrap(), took.iter().max().unwrap());
        assert!(*least >= Duration::from_millis(1) && *least < Duration::from_micros(1_050), "{least:?}");
        assert!(*most <= Duration::from_millis(3) && *most > Duration::from_micros(2_950), "{most:?}");
    }
}
