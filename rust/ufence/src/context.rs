use std::ffi::CString;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::ops::Deref;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::{self, NonNull};

use ufence_sys as sys;

use crate::timeline::options;
use crate::{Deadline, Error, Fence, Result};

/// What an issuer of fences is asked for each of them.
pub trait FenceContextOps: Sized + 'static {
    /// What the issuer keeps for a fence. Any thread may look at it, as the functions below do.
    type FenceData: Send + Sync + 'static;

    /// False: `enable_signaling` is never called. True: it is, at most once.
    const HAS_ENABLE_SIGNALING: bool = false;
    /// False: `set_deadline` is never called.
    const HAS_SET_DEADLINE: bool = false;

    /// Somebody waits, or has a callback: see to it that the completion is noticed.
    fn enable_signaling(_data: &Self::FenceData) {}
    /// A hint, many times: when the result is wanted. The soonest counts.
    fn set_deadline(_data: &Self::FenceData, _deadline: Deadline) {}
    /// Gives the data back: exactly once, when the fence is decided and no function above is inside.
    /// Nothing is waited for, and no grace period passes.
    fn retire(data: Self::FenceData) {
        drop(data)
    }
}

/// Makes fences with its names. It may end at any time: its fences keep what they need.
pub struct FenceContext<T: FenceContextOps> {
    issuer: NonNull<sys::ufence_timeline_issuer>,
    ops: PhantomData<fn() -> T>,
}

// SAFETY: fences are made by any thread, concurrently; the drop is alone by Rust's own rules.
unsafe impl<T: FenceContextOps> Send for FenceContext<T> {}
unsafe impl<T: FenceContextOps> Sync for FenceContext<T> {}

#[repr(C)]
struct Backend<T: FenceContextOps> {
    c: sys::ufence_backend, // first: the library gives its address
    data: T::FenceData,
}

impl<T: FenceContextOps> Backend<T> {
    const OPS: sys::ufence_backend_ops = sys::ufence_backend_ops {
        enable_signaling: if T::HAS_ENABLE_SIGNALING { Some(enable_signaling::<T>) } else { None },
        poll: None,
        set_deadline: if T::HAS_SET_DEADLINE { Some(set_deadline::<T>) } else { None },
        retire: Some(retire::<T>),
        reserved: [ptr::null_mut(); 4],
    };
}

unsafe extern "C" fn enable_signaling<T: FenceContextOps>(backend: *mut sys::ufence_backend) -> i32 {
    let data = &(*backend.cast::<Backend<T>>()).data;
    let _ = catch_unwind(AssertUnwindSafe(|| T::enable_signaling(data)));
    0
}

unsafe extern "C" fn set_deadline<T: FenceContextOps>(backend: *mut sys::ufence_backend, deadline: i64) {
    let data = &(*backend.cast::<Backend<T>>()).data;
    let _ = catch_unwind(AssertUnwindSafe(|| T::set_deadline(data, Deadline(deadline))));
}

unsafe extern "C" fn retire<T: FenceContextOps>(backend: *mut sys::ufence_backend, _by_last_op: u8) {
    let backend = Box::from_raw(backend.cast::<Backend<T>>());
    let _ = catch_unwind(AssertUnwindSafe(|| T::retire(backend.data)));
}

impl<T: FenceContextOps> FenceContext<T> {
    /// The names are what consumers see, for ever.
    pub fn new(driver_name: &str, timeline_name: &str) -> Result<Self> {
        let driver_name = CString::new(driver_name).map_err(|_| Error::INVALID)?;
        let timeline_name = CString::new(timeline_name).map_err(|_| Error::INVALID)?;
        let mut issuer = ptr::null_mut();
        // SAFETY: the options and the names in them are lent for the call.
        Error::check(unsafe {
            sys::ufence_timeline_create(&options(&driver_name, &timeline_name, 0), &mut issuer)
        })?;
        Ok(FenceContext { issuer: NonNull::new(issuer).expect("made"), ops: PhantomData })
    }

    /// Does what can fail of making a fence. The fence has no number yet, and nobody sees it.
    pub fn new_fence_allocation(&self, data: T::FenceData) -> Result<DriverFenceAllocation<'_, T>> {
        let mut room = ptr::null_mut();
        // SAFETY: on success `room` is the caller's.
        Error::check(unsafe { sys::ufence_fence_room_reserve(&mut room) })?;
        let ops = &Backend::<T>::OPS;
        let backend = Box::new(Backend { c: sys::ufence_backend { ops }, data });
        Ok(DriverFenceAllocation { context: self, room, backend: ManuallyDrop::new(backend) })
    }
}

impl<T: FenceContextOps> Drop for FenceContext<T> {
    fn drop(&mut self) {
        // SAFETY: it is this one's, and its fences have references of their own to what they need.
        unsafe { sys::ufence_timeline_drop(self.issuer.as_ptr()) }
    }
}

/// A fence to be: [`DriverFenceAllocation::new_fence`] cannot fail.
pub struct DriverFenceAllocation<'a, T: FenceContextOps> {
    context: &'a FenceContext<T>,
    room: *mut sys::ufence_fence_room,
    backend: ManuallyDrop<Box<Backend<T>>>,
}

// SAFETY: the room is memory that nobody else knows; the data is Send.
unsafe impl<T: FenceContextOps> Send for DriverFenceAllocation<'_, T> {}

impl<T: FenceContextOps> DriverFenceAllocation<'_, T> {
    /// Makes the fence, with the next number of its context.
    pub fn new_fence(self) -> DriverFence<T> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, so that the box is taken once.
        let backend = NonNull::from(Box::leak(unsafe { ManuallyDrop::take(&mut this.backend) }));
        let mut right = ptr::null_mut();
        // SAFETY: the room is used up; the backend stays until retire.
        unsafe {
            let (issuer, data) = (this.context.issuer.as_ptr(), backend.as_ptr().cast());
            sys::ufence_timeline_create_reserved(issuer, this.room, data, ptr::null_mut(), &mut right);
            DriverFence {
                // As ufence_signaler_fence() says, without the call.
                fence: ManuallyDrop::new(Fence::from_raw(right.cast())),
                right: NonNull::new(right).expect("made"),
                backend,
            }
        }
    }
}

impl<T: FenceContextOps> Drop for DriverFenceAllocation<'_, T> {
    fn drop(&mut self) {
        // SAFETY: neither was used up.
        unsafe {
            sys::ufence_fence_room_drop(self.room);
            ManuallyDrop::drop(&mut self.backend);
        }
    }
}

/// The right to signal one fence, and the duty, with the data that the issuer keeps for it.
///
/// Dropped, it signals Error::CANCELED, and that is reported (F12). Forgotten, its fence stays pending,
/// and its data stays; nothing else is concerned.
pub struct DriverFence<T: FenceContextOps> {
    fence: ManuallyDrop<Fence>, // the right's reference
    right: NonNull<sys::ufence_signaler>,
    // Not retired while this lives: nobody else has a right to decide the fence, and no op says "complete".
    backend: NonNull<Backend<T>>,
}

// SAFETY: the right may be used by one thread at a time, which is whoever owns this; the data is Send and Sync.
unsafe impl<T: FenceContextOps> Send for DriverFence<T> {}
unsafe impl<T: FenceContextOps> Sync for DriverFence<T> {}

impl<T: FenceContextOps> DriverFence<T> {
    /// What consumers get a clone of.
    pub fn as_fence(&self) -> &Fence {
        &self.fence
    }

    /// Signals it; retire and the callbacks run here.
    ///
    /// ```compile_fail,E0382
    /// fn twice<T: ufence::FenceContextOps>(fence: ufence::DriverFence<T>) {
    ///     fence.signal(Ok(()));
    ///     fence.signal(Ok(()));
    /// }
    /// ```
    pub fn signal(self, result: Result) {
        let right = self.into_right();
        // SAFETY: the right is used up.
        unsafe { sys::ufence_signaler_signal(right, Error::to_c(result)) };
    }

    /// Fixes the result and wakes waiters, under whatever locks; retire and the callbacks run when
    /// `later` ends.
    pub fn decide(self, result: Result, later: &mut Settlement) {
        let right = self.into_right();
        // SAFETY: the right is used up.
        unsafe { sys::ufence_signaler_decide(right, Error::to_c(result), &mut later.decided) };
    }

    fn into_right(self) -> *mut sys::ufence_signaler {
        ManuallyDrop::new(self).right.as_ptr()
    }
}

impl<T: FenceContextOps> Deref for DriverFence<T> {
    type Target = T::FenceData;

    fn deref(&self) -> &T::FenceData {
        // SAFETY: see `backend`.
        unsafe { &self.backend.as_ref().data }
    }
}

impl<T: FenceContextOps> Drop for DriverFence<T> {
    fn drop(&mut self) {
        // SAFETY: the right was not used.
        unsafe { sys::ufence_signaler_drop(self.right.as_ptr()) }
    }
}

impl<T: FenceContextOps> fmt::Debug for DriverFence<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DriverFence({})", *self.fence)
    }
}

/// Decided fences whose retire and callbacks are still to run. Declared before the locks under which
/// [`DriverFence::decide`] is called, it ends after they are dropped.
pub struct Settlement {
    decided: sys::ufence_settlement,
}

impl Settlement {
    pub fn new() -> Settlement {
        Settlement { decided: sys::ufence_settlement { head: ptr::null_mut() } }
    }

    /// Runs them now; it may be filled again.
    pub fn settle(&mut self) {
        // SAFETY: what ufence_signaler_decide() has filled; it is empty afterwards.
        unsafe { sys::ufence_settle(&mut self.decided) }
    }
}

impl Default for Settlement {
    fn default() -> Settlement {
        Settlement::new()
    }
}

impl Drop for Settlement {
    fn drop(&mut self) {
        self.settle()
    }
}

const _: () = assert!(mem::size_of::<Settlement>() == mem::size_of::<*mut ()>());
