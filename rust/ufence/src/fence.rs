use std::fmt;
use std::mem;
use std::os::unix::io::{FromRawFd, OwnedFd};
use std::ptr::{self, addr_of, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use ufence_sys as sys;

use crate::{Deadline, Error, FenceFuture, Result, SyncFile};

/// A reference to a fence. Clones are references to the same fence.
///
/// Two fences are equal if they are the same one.
#[repr(transparent)]
pub struct Fence(NonNull<sys::ufence_fence>);

// SAFETY: all functions on fences may be called by any thread, concurrently; references are counted by
// atomic operations.
unsafe impl Send for Fence {}
unsafe impl Sync for Fence {}

impl Fence {
    /// Takes over a reference.
    ///
    /// # Safety
    /// `raw` is a fence, and the caller's reference to it is given away.
    #[inline]
    pub unsafe fn from_raw(raw: *mut sys::ufence_fence) -> Fence {
        Fence(NonNull::new(raw).expect("a fence is not null"))
    }

    /// The fence; its reference is still this one's.
    #[inline]
    pub fn as_raw(&self) -> *mut sys::ufence_fence {
        self.0.as_ptr()
    }

    /// Calls a function that hands a fence over.
    pub(crate) fn made_by(make: impl FnOnce(*mut *mut sys::ufence_fence) -> i32) -> Result<Fence> {
        let mut made = ptr::null_mut();
        Error::check(make(&mut made))?;
        // SAFETY: on success the function has written a reference that is the caller's.
        Ok(unsafe { Fence::from_raw(made) })
    }

    /// The one that is signaled already; it costs nothing.
    pub fn stub() -> Fence {
        // SAFETY: a reference that is the caller's.
        unsafe { Fence::from_raw(sys::ufence_fence_get_stub()) }
    }

    /// Signaled when all are; its error is the first one that occurred. Error::INVALID: none are given.
    pub fn all(fences: &[Fence]) -> Result<Fence> {
        Fence::array(fences, sys::UFENCE_ARRAY_ALL)
    }

    /// Signaled when the first is, with its error.
    pub fn any(fences: &[Fence]) -> Result<Fence> {
        Fence::array(fences, sys::UFENCE_ARRAY_ANY)
    }

    fn array(fences: &[Fence], mode: sys::ufence_array_mode) -> Result<Fence> {
        // SAFETY: a slice of fences is an array of their pointers, which are lent for the call.
        Fence::made_by(|to| unsafe { sys::ufence_array_create(pointers(fences), fences.len(), mode, to) })
    }

    /// One fence for what is pending among these, containers or not.
    pub fn merge(fences: &[Fence]) -> Result<Fence> {
        // SAFETY: as for array().
        Fence::made_by(|to| unsafe { sys::ufence_merge(pointers(fences), fences.len(), to) })
    }

    /// The result, if the fence is marked signaled. None: ask the library. As the inline functions of
    /// `ufence/ufence.h` look.
    #[inline]
    fn marked_status(&self) -> Option<Result> {
        let view: *const sys::ufence_fence_view = self.as_raw().cast();
        // SAFETY: a fence with a reference begins with this view. Its state is changed by atomic operations alone,
        // and its error is constant once the bit is set.
        unsafe {
            let state = &*addr_of!((*view).state).cast::<AtomicU32>();
            if state.load(Ordering::Acquire) & sys::UFENCE_FENCE_SIGNALED == 0 {
                return None;
            }
            Some(Error::check(addr_of!((*view).error).read()).map(|_| ()))
        }
    }

    /// The result is fixed. No lock, no foreign code.
    #[inline]
    pub fn is_signaled(&self) -> bool {
        // SAFETY: a fence with a reference; so are all below.
        self.marked_status().is_some() || unsafe { sys::ufence_fence_is_signaled(self.as_raw()) != 0 }
    }

    /// All callbacks have returned, too.
    pub fn is_settled(&self) -> bool {
        unsafe { sys::ufence_fence_is_settled(self.as_raw()) != 0 }
    }

    /// None while it is pending.
    #[inline]
    pub fn status(&self) -> Option<Result> {
        if let marked @ Some(_) = self.marked_status() {
            return marked;
        }
        match unsafe { sys::ufence_fence_status(self.as_raw()) } {
            0 => None,
            status => Some(Error::check(status).map(|_| ())),
        }
    }

    /// When it was signaled, in nanoseconds of CLOCK_MONOTONIC; 0 while it is pending.
    pub fn timestamp_nanoseconds(&self) -> i64 {
        unsafe { sys::ufence_fence_timestamp_ns(self.as_raw()) }
    }

    pub fn context(&self) -> u64 {
        unsafe { sys::ufence_fence_context(self.as_raw()) }
    }

    pub fn seqno(&self) -> u64 {
        unsafe { sys::ufence_fence_seqno(self.as_raw()) }
    }

    pub fn driver_name(&self) -> String {
        copied(|buffer, size| unsafe { sys::ufence_fence_driver_name(self.as_raw(), buffer, size) })
    }

    pub fn timeline_name(&self) -> String {
        copied(|buffer, size| unsafe { sys::ufence_fence_timeline_name(self.as_raw(), buffer, size) })
    }

    /// Waits until it is signaled, with whatever result. Error::TIMED_OUT: not by then.
    pub fn wait(&self, deadline: Deadline) -> Result {
        Error::check(unsafe { sys::ufence_fence_wait(self.as_raw(), deadline.0) }).map(|_| ())
    }

    /// Waits until it is signaled, and returns its result.
    pub fn wait_result(&self, deadline: Deadline) -> Result {
        Error::check(unsafe { sys::ufence_fence_wait_result(self.as_raw(), deadline.0) }).map(|_| ())
    }

    /// Waits until all callbacks have returned.
    pub fn wait_settled(&self, deadline: Deadline) -> Result {
        Error::check(unsafe { sys::ufence_fence_wait_settled(self.as_raw(), deadline.0) }).map(|_| ())
    }

    /// Its result, when it is signaled: `fence.future().await`. No thread waits for it.
    #[inline]
    pub fn future(&self) -> FenceFuture {
        match self.marked_status() {
            Some(result) => FenceFuture::ready(result),
            None => FenceFuture::of(self.clone()),
        }
    }

    /// Has the issuer notice the completion; waits, callbacks and futures do it by themselves.
    pub fn enable_signaling(&self) {
        unsafe { sys::ufence_fence_enable_signaling(self.as_raw()) }
    }

    /// Asks the issuer, and signals if the work is complete: callbacks then run here.
    pub fn poll(&self) -> bool {
        unsafe { sys::ufence_fence_poll(self.as_raw()) != 0 }
    }

    /// A hint for the issuer: when the result is wanted.
    pub fn set_deadline(&self, deadline: Deadline) {
        unsafe { sys::ufence_fence_set_deadline(self.as_raw(), deadline.0) }
    }

    /// A descriptor that poll() says to be readable once it is signaled, for this process alone.
    pub fn pollable_fd(&self) -> Result<OwnedFd> {
        let fd = Error::check(unsafe { sys::ufence_fence_pollable_fd(self.as_raw()) })?;
        // SAFETY: the descriptor is the caller's.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// A descriptor that any process can poll and import.
    pub fn export(&self) -> Result<SyncFile> {
        SyncFile::export(self)
    }
}

/// Waits until one is signaled: its index, the lowest that is.
pub fn wait_any(fences: &[Fence], deadline: Deadline) -> Result<usize> {
    // SAFETY: as for array(). The index is below the length of a slice.
    let index = unsafe { sys::ufence_fence_wait_any(pointers(fences), fences.len(), deadline.0) };
    if index < 0 {
        Error::check(index as i32)?;
    }
    Ok(index as usize)
}

/// Waits until all are signaled, with whatever results.
pub fn wait_all(fences: &[Fence], deadline: Deadline) -> Result {
    // SAFETY: as for array().
    Error::check(unsafe { sys::ufence_fence_wait_all(pointers(fences), fences.len(), deadline.0) }).map(|_| ())
}

pub(crate) fn pointers(fences: &[Fence]) -> *const *mut sys::ufence_fence {
    fences.as_ptr().cast()
}

/// The text of a function that works as snprintf() does.
pub(crate) fn copied(get: impl Fn(*mut std::os::raw::c_char, usize) -> usize) -> String {
    let mut text = vec![0u8; 64];
    let length = get(text.as_mut_ptr().cast(), text.len());
    if length >= text.len() {
        text.resize(length + 1, 0);
        get(text.as_mut_ptr().cast(), text.len());
    }
    text.truncate(length);
    String::from_utf8_lossy(&text).into_owned()
}

impl Clone for Fence {
    #[inline]
    fn clone(&self) -> Fence {
        // SAFETY: the reference of `self` keeps it while another is taken.
        unsafe { Fence::from_raw(sys::ufence_fence_get(self.as_raw())) }
    }
}

impl Drop for Fence {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the reference is this one's, and not used again.
        unsafe { sys::ufence_fence_put(self.as_raw()) }
    }
}

impl PartialEq for Fence {
    fn eq(&self, other: &Fence) -> bool {
        self.0 == other.0
    }
}
impl Eq for Fence {}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No memory: an empty text.
        f.write_str(&copied(|buffer, size| {
            let length = unsafe { sys::ufence_fence_describe(self.as_raw(), buffer, size) };
            length.max(0) as usize
        }))
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fence({})", self)
    }
}

// A slice of fences is an array of pointers.
const _: () = assert!(mem::size_of::<Fence>() == mem::size_of::<*mut sys::ufence_fence>());
