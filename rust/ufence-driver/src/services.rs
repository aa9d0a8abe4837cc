use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::NonNull;

use crate::bindings as sys;
use crate::Errno;

/// The host, for one device.
#[derive(Clone, Copy)]
pub struct Services {
    pub(crate) host: NonNull<sys::ufence_host>,
    pub(crate) device: NonNull<sys::ufence_device>,
}

// SAFETY: the host's functions may be called by any thread of the driver, from init() until exit().
unsafe impl Send for Services {}
unsafe impl Sync for Services {}

impl Services {
    pub(crate) fn table(&self) -> &sys::ufence_host {
        // SAFETY: constant, and there for longer than the module.
        unsafe { self.host.as_ref() }
    }

    /// Starts a thread of the module, which the host joins after stop(). 15 bytes of the name are shown.
    pub fn start_thread(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Errno> {
        let mut short = [0u8; 16];
        let length = name.len().min(15);
        short[..length].copy_from_slice(&name.as_bytes()[..length]);
        let run: Box<Box<dyn FnOnce() + Send>> = Box::new(Box::new(run));
        let run = Box::into_raw(run);
        let start = self.table().thread_start.expect("a function of the host");
        // SAFETY: thread_main() takes the box.
        let started = unsafe { start(self.device.as_ptr(), short.as_ptr().cast(), Some(thread_main), run.cast()) };
        if started == 0 {
            return Ok(());
        }
        // SAFETY: no thread has it.
        drop(unsafe { Box::from_raw(run) });
        Err(Errno(-started))
    }

    /// Tells the host's report handler something worth knowing.
    pub fn report(&self, text: &str) {
        let mut text: Vec<u8> = text.bytes().filter(|&byte| byte != 0).collect();
        text.push(0);
        let report = self.table().report.expect("a function of the host");
        // SAFETY: the text is copied.
        unsafe { report(self.device.as_ptr(), text.as_ptr().cast()) }
    }

    /// CLOCK_MONOTONIC.
    pub fn now_nanoseconds(&self) -> i64 {
        // SAFETY: a function of the host.
        unsafe { self.table().now_ns.expect("a function of the host")() }
    }
}

unsafe extern "C" fn thread_main(run: *mut std::os::raw::c_void) {
    let run = Box::from_raw(run.cast::<Box<dyn FnOnce() + Send>>());
    let _ = catch_unwind(AssertUnwindSafe(|| run()));
}
