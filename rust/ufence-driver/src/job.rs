use std::mem;
use std::ptr::{self, NonNull};

use crate::bindings as sys;
use crate::{Errno, Services};

/// Bytes are a value of this type, and a value is bytes.
///
/// # Safety
/// Any bytes are a valid value, there are no destructors, and the layout is C's: plain integers and raw
/// pointers in a `#[repr(C)]` struct. What pointers in it point to is the driver's promise (D-6).
pub unsafe trait Plain: Copy + 'static {}

/// A job that the device has, and the duty to end it: once, by [`Job::signal`] or [`Job::decide`].
/// Dropped otherwise, as by a panic, it ends with Errno::CANCELED.
pub struct Job {
    job: NonNull<sys::ufence_job>,
    host: Services,
}

// SAFETY: any thread of the driver may decide a job; the memory is the job's until then.
unsafe impl Send for Job {}
unsafe impl Sync for Job {}

/// Which job: its place and number. It keeps nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct JobId(usize, u64);

impl JobId {
    /// # Safety
    /// A job that lives.
    pub(crate) unsafe fn of(job: *mut sys::ufence_job) -> JobId {
        JobId(job as usize, (*job).seqno)
    }
}

impl Job {
    pub(crate) fn new(job: NonNull<sys::ufence_job>, host: Services) -> Job {
        Job { job, host }
    }

    fn get(&self) -> &sys::ufence_job {
        // SAFETY: the host's memory, until the decision, which uses `self` up.
        unsafe { self.job.as_ref() }
    }

    pub fn id(&self) -> JobId {
        // SAFETY: see get().
        unsafe { JobId::of(self.job.as_ptr()) }
    }
    pub fn opcode(&self) -> u32 {
        self.get().opcode
    }
    pub fn context(&self) -> u64 {
        self.get().context
    }
    pub fn seqno(&self) -> u64 {
        self.get().seqno
    }

    /// The bytes that came with it.
    pub fn bytes(&self) -> &[u8] {
        let job = self.get();
        if job.args_size == 0 {
            return &[];
        }
        // SAFETY: the host's copy, until the decision (D-6).
        unsafe { std::slice::from_raw_parts(job.args.cast(), job.args_size as usize) }
    }

    /// The arguments as a T; None: they are shorter. Longer is fine: a newer caller.
    pub fn args<T: Plain>(&self) -> Option<T> {
        let bytes = self.bytes();
        if bytes.len() < mem::size_of::<T>() {
            return None;
        }
        // SAFETY: enough bytes, any of which are a T.
        Some(unsafe { ptr::read_unaligned(bytes.as_ptr().cast()) })
    }

    /// Ends it, and runs retire and callbacks here: no lock is held.
    pub fn signal(self, result: Result<(), Errno>) {
        let signal = self.host.table().signal.expect("a function of the host");
        let job = mem::ManuallyDrop::new(self).job;
        // SAFETY: a job that was not decided.
        unsafe { signal(job.as_ptr(), to_c(result)) };
    }

    /// Ends it under whatever locks (D-7); the rest runs when `later` ends.
    pub fn decide(self, result: Result<(), Errno>, later: &mut Settlement) {
        let decide = self.host.table().decide.expect("a function of the host");
        let job = mem::ManuallyDrop::new(self).job;
        // SAFETY: as signal().
        unsafe { decide(job.as_ptr(), to_c(result), &mut later.decided) };
    }
}

fn to_c(result: Result<(), Errno>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_c(),
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let signal = self.host.table().signal.expect("a function of the host");
        // SAFETY: as signal().
        unsafe { signal(self.job.as_ptr(), Errno::CANCELED.to_c()) };
    }
}

/// Decided jobs whose callbacks are still to run. Declared before the locks under which [`Job::decide`]
/// is called, it ends after they are dropped (D-7).
pub struct Settlement {
    decided: sys::ufence_settlement,
    host: Services,
}

impl Settlement {
    pub fn new(host: Services) -> Settlement {
        Settlement { decided: sys::ufence_settlement { head: ptr::null_mut() }, host }
    }
}

impl Drop for Settlement {
    fn drop(&mut self) {
        let settle = self.host.table().settle.expect("a function of the host");
        // SAFETY: what decide() has filled.
        unsafe { settle(&mut self.decided) }
    }
}
