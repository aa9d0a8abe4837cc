use std::cell::UnsafeCell;
use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process;
use std::ptr::{addr_of_mut, NonNull};
use std::sync::atomic::{AtomicU8, Ordering};

use ufence_sys as sys;

use crate::{Error, Fence};

/// What runs when a fence is signaled: once, on the thread that settles the fence, without a lock of
/// the library. It may signal fences, and add and drop registrations, also its own.
pub trait FenceCallback: Send + 'static {
    fn on_signal(&mut self);
}

impl<F: FnMut() + Send + 'static> FenceCallback for F {
    fn on_signal(&mut self) {
        self()
    }
}

/// Why there is no registration.
pub enum CallbackError<C> {
    /// The fence is signaled; the callback did not run, and is given back.
    AlreadySignaled(C),
    /// Another error, for instance Error::OWNER_DEAD in a child of fork().
    Other(Error, C),
}

impl<C> fmt::Debug for CallbackError<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallbackError::AlreadySignaled(_) => f.write_str("AlreadySignaled"),
            CallbackError::Other(error, _) => write!(f, "Other({:?})", error),
        }
    }
}

// `state` of a node. QUEUED -> RUNNING -> DONE, by the thread that runs the callback; RUNNING -> ORPHANED by
// the same thread, where the callback drops its own registration: the end of the callback frees the node.
const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
const DONE: u8 = 2;
const ORPHANED: u8 = 3;

#[repr(C)]
struct Node<C> {
    cb: sys::ufence_fence_cb, // first: the library gives its address
    state: AtomicU8,
    callback: UnsafeCell<C>,
}

/// Keeps a callback registered. Its drop removes the callback and, if it is running on another thread,
/// waits for its return: afterwards it is not running and never will.
///
/// Two callbacks that drop each other's registration while both run would wait for ever: the process is
/// aborted after a message.
pub struct FenceCallbackRegistration<C: FenceCallback> {
    fence: Fence,
    node: NonNull<Node<C>>, // of a Box; C's functions are called by one thread at a time
}

// SAFETY: the callback is Send, and reached through the registration by drop() alone, after the barrier.
unsafe impl<C: FenceCallback> Send for FenceCallbackRegistration<C> {}
unsafe impl<C: FenceCallback> Sync for FenceCallbackRegistration<C> {}

impl<C: FenceCallback> FenceCallbackRegistration<C> {
    pub fn new(fence: &Fence, callback: C) -> Result<Self, CallbackError<C>> {
        let node = Box::new(Node {
            cb: sys::ufence_fence_cb { node: [0; 8], fn_: Some(run::<C>), data: std::ptr::null_mut() },
            state: AtomicU8::new(QUEUED),
            callback: UnsafeCell::new(callback),
        });
        let node = Box::into_raw(node);
        // SAFETY: the node stays where it is until its function ran or remove_callback() returned.
        let added = unsafe { sys::ufence_fence_add_callback(fence.as_raw(), addr_of_mut!((*node).cb)) };
        match Error::check(added) {
            // SAFETY: Box::into_raw() gives no null.
            Ok(_) => Ok(Self { fence: fence.clone(), node: unsafe { NonNull::new_unchecked(node) } }),
            Err(error) => {
                // SAFETY: the library has not kept the node.
                let callback = unsafe { Box::from_raw(node) }.callback.into_inner();
                Err(if fence.is_signaled() {
                    CallbackError::AlreadySignaled(callback)
                } else {
                    CallbackError::Other(error, callback)
                })
            }
        }
    }

    pub fn fence(&self) -> &Fence {
        &self.fence
    }
}

unsafe extern "C" fn run<C: FenceCallback>(_: *mut sys::ufence_fence, cb: *mut sys::ufence_fence_cb) {
    let node = cb.cast::<Node<C>>();
    // Relaxed, as all of `state`: RUNNING is looked at by this thread alone, and DONE after the barrier.
    (*node).state.store(RUNNING, Ordering::Relaxed);
    let callback = (*node).callback.get();
    let _ = catch_unwind(AssertUnwindSafe(|| (*callback).on_signal()));
    let orphaned = (*node)
        .state
        .compare_exchange(RUNNING, DONE, Ordering::Relaxed, Ordering::Relaxed)
        .is_err();
    if orphaned {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(node))));
    }
}

impl<C: FenceCallback> Drop for FenceCallbackRegistration<C> {
    fn drop(&mut self) {
        let node = self.node.as_ptr();
        // SAFETY: the node was queued by new(), and is freed once: here, or by run() if it is ORPHANED.
        unsafe {
            let removed = sys::ufence_fence_remove_callback(self.fence.as_raw(), addr_of_mut!((*node).cb));
            if removed < 0 {
                eprintln!("ufence: two callbacks that run drop each other's registration: {}", self.fence);
                process::abort();
            }
            // It ran, and is still running: then it is this thread that runs it.
            if removed == 0
                && (*node)
                    .state
                    .compare_exchange(RUNNING, ORPHANED, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
            {
                return;
            }
            drop(Box::from_raw(node));
        }
    }
}
