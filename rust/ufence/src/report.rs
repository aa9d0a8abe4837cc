use std::ffi::CStr;
use std::mem;
use std::os::raw::{c_char, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;
use std::sync::Mutex;

use ufence_sys as sys;

use crate::{Error, Result};

/// Misuse that the library has seen: dropped rights, drivers that break a rule (F12).
#[derive(Clone, Debug)]
pub struct Report {
    pub kind: String,
    pub text: String,
    pub driver_name: String,
    pub timeline_name: String,
    /// 0: not about one fence.
    pub context: u64,
    pub seqno: u64,
}

// The structure that the library was given stays where it is until another one is set.
struct Handler(*mut sys::ufence_report_handler);
// SAFETY: memory that whoever holds the lock owns.
unsafe impl Send for Handler {}
static SET: Mutex<Handler> = Mutex::new(Handler(ptr::null_mut()));

/// Sets the one handler of the process; None: a line each on stderr, as in the beginning. It is called on
/// any thread, with no lock of the library held. On return the one before is not running and never will.
pub fn set_report_handler(handler: Option<fn(&Report)>) -> Result {
    let mut set = SET.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let next = match handler {
        Some(handler) => Box::into_raw(Box::new(sys::ufence_report_handler {
            fn_: Some(tell),
            data: handler as *mut c_void,
        })),
        None => ptr::null_mut(),
    };
    // SAFETY: `next` stays until another call has replaced it.
    let changed = Error::check(unsafe { sys::ufence_set_report_handler(next) });
    let unused = match changed {
        Ok(_) => mem::replace(&mut set.0, next),
        Err(_) => next,
    };
    if !unused.is_null() {
        // SAFETY: of a Box, and the library does not have it.
        drop(unsafe { Box::from_raw(unused) });
    }
    changed.map(|_| ())
}

unsafe extern "C" fn tell(report: *const sys::ufence_report, data: *mut c_void) {
    // SAFETY: set_report_handler() has put a function there.
    let handler: fn(&Report) = mem::transmute(data);
    let report = &*report;
    let report = Report {
        kind: text_of(report.kind),
        text: text_of(report.text),
        driver_name: text_of(report.driver_name),
        timeline_name: text_of(report.timeline_name),
        context: report.context,
        seqno: report.seqno,
    };
    let _ = catch_unwind(AssertUnwindSafe(|| handler(&report)));
}

unsafe fn text_of(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    CStr::from_ptr(text).to_string_lossy().into_owned()
}
