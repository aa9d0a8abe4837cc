use std::time::Duration;

/// Until when to wait: a point of CLOCK_MONOTONIC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Deadline(pub(crate) i64);

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

extern "C" {
    fn clock_gettime(clock: i32, now: *mut Timespec) -> i32;
}

const CLOCK_MONOTONIC: i32 = 1;

impl Deadline {
    /// Does not wait at all.
    pub const NOW: Deadline = Deadline(0);
    /// Waits for as long as it takes.
    pub const NEVER: Deadline = Deadline(i64::MAX);

    /// As `clock_gettime()` counts, in nanoseconds.
    pub const fn from_nanoseconds(monotonic: i64) -> Deadline {
        Deadline(monotonic)
    }

    pub fn after(time: Duration) -> Deadline {
        let mut now = Timespec { seconds: 0, nanoseconds: 0 };
        // SAFETY: `now` is a struct timespec of a 64-bit system, which the call fills in.
        unsafe { clock_gettime(CLOCK_MONOTONIC, &mut now) };
        let now = now.seconds * 1_000_000_000 + now.nanoseconds;
        Deadline(i64::try_from(time.as_nanos()).ok().and_then(|wait| now.checked_add(wait)).unwrap_or(i64::MAX))
    }
}
