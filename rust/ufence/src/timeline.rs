use std::ffi::{CStr, CString};
use std::mem;
use std::ptr::{self, NonNull};

use ufence_sys as sys;

use crate::{Error, Fence, Result};

/// Issues fences in order, and completes any number of them by number. Dropped with fences that are
/// pending, it ends them with Error::CANCELED, and that is reported (F12).
pub struct Timeline(NonNull<sys::ufence_timeline_issuer>);

// SAFETY: all functions but the drop may be called by any thread, concurrently.
unsafe impl Send for Timeline {}
unsafe impl Sync for Timeline {}

pub(crate) fn options(driver_name: &CStr, timeline_name: &CStr, initial_seqno: u64) -> sys::ufence_timeline_options {
    sys::ufence_timeline_options {
        size: mem::size_of::<sys::ufence_timeline_options>(),
        driver_name: driver_name.as_ptr(),
        timeline_name: timeline_name.as_ptr(),
        initial_seqno,
    }
}

impl Timeline {
    /// The first fence has the number after `initial_seqno`.
    pub fn new(driver_name: &str, timeline_name: &str, initial_seqno: u64) -> Result<Timeline> {
        let driver_name = CString::new(driver_name).map_err(|_| Error::INVALID)?;
        let timeline_name = CString::new(timeline_name).map_err(|_| Error::INVALID)?;
        let mut issuer = ptr::null_mut();
        // SAFETY: the options and the names in them are lent for the call.
        Error::check(unsafe {
            sys::ufence_timeline_create(&options(&driver_name, &timeline_name, initial_seqno), &mut issuer)
        })?;
        Ok(Timeline(NonNull::new(issuer).expect("made")))
    }

    /// The next fence of the sequence.
    pub fn emit(&self) -> Result<Fence> {
        // SAFETY: an issuer that lives; so are all below.
        Fence::made_by(|to| unsafe { sys::ufence_timeline_emit(self.0.as_ptr(), to) })
    }

    /// All fences up to this one have succeeded. Callbacks run here.
    pub fn signal_up_to(&self, seqno: u64) {
        unsafe { sys::ufence_timeline_signal_up_to(self.0.as_ptr(), seqno) }
    }

    /// One fence by itself. False: it was decided before, or is none of this timeline.
    pub fn signal(&self, fence: &Fence, result: Result) -> bool {
        unsafe { sys::ufence_timeline_signal(self.0.as_ptr(), fence.as_raw(), Error::to_c(result)) != 0 }
    }

    /// Closes it: what is not complete ends with the error, also in future.
    pub fn fail(&self, error: Error) {
        unsafe { sys::ufence_timeline_fail(self.0.as_ptr(), -error.errno()) }
    }

    pub fn context(&self) -> u64 {
        unsafe { sys::ufence_timeline_context(self.0.as_ptr()) }
    }

    /// The highest number that is complete.
    pub fn completed(&self) -> u64 {
        unsafe { sys::ufence_timeline_completed(self.0.as_ptr()) }
    }

    /// The highest number that was emitted.
    pub fn emitted(&self) -> u64 {
        unsafe { sys::ufence_timeline_emitted(self.0.as_ptr()) }
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        // SAFETY: it is this one's; its fences keep what they need.
        unsafe { sys::ufence_timeline_drop(self.0.as_ptr()) }
    }
}
