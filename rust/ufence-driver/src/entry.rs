//! The entry symbol, and what the host calls through it.

use std::any::Any;
use std::mem;
use std::os::raw::c_void;
use std::panic::{self, catch_unwind, AssertUnwindSafe, Location};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::bindings as sys;
use crate::{Driver, Errno, Job, JobId, Services};

/// The driver's table: constant data (D-1).
#[repr(transparent)]
pub struct Entry(sys::ufence_driver);

// SAFETY: nobody writes it, and what it points to is constant.
unsafe impl Sync for Entry {}

/// The ABI note of D-2.
#[repr(C, align(4))]
pub struct Note(sys::ufence_abi_note);

pub const ABI_NOTE: Note = Note(sys::ufence_abi_note {
    namesz: sys::UFENCE_NOTE_NAME.len() as u32,
    descsz: 4,
    type_: sys::UFENCE_NOTE_TYPE_ABI,
    name: [b'u' as _, b'f' as _, b'e' as _, b'n' as _, b'c' as _, b'e' as _, 0, 0],
    abi_version: sys::UFENCE_ABI_VERSION,
});

/// What init() makes.
struct Instance<D> {
    host: Services,
    driver: D,
}

struct Ops<D>(D);

impl<D: Driver> Ops<D> {
    const TABLE: sys::ufence_device_ops = sys::ufence_device_ops {
        size: mem::size_of::<sys::ufence_device_ops>() as u32,
        reserved: 0,
        submit: Some(submit::<D>),
        enable_signaling: None,
        poll: None,
        set_deadline: None,
        retire: None,
        cancel: if D::CAN_CANCEL { Some(cancel::<D>) } else { None },
        request_notify: None,
        retire_timeline: None,
        lock: None,
        unlock: None,
        wait: None,
        release: None,
        observe: None,
    };
    const TABLE_REF: &'static sys::ufence_device_ops = &Self::TABLE;
}

/// The name behind the last zero but one: what the macro was given, or its default.
const fn last_text(text: &'static str) -> *const std::os::raw::c_char {
    let bytes = text.as_bytes();
    let mut start = bytes.len() - 1;
    while start > 0 && bytes[start - 1] != 0 {
        start -= 1;
    }
    // SAFETY: inside the text.
    unsafe { bytes.as_ptr().add(start).cast() }
}

/// Each text ends with a zero.
pub const fn make<D: Driver>(name: &'static str, timeline: &'static str, description: &'static str) -> Entry {
    Entry(sys::ufence_driver {
        size: mem::size_of::<sys::ufence_driver>() as u32,
        abi_version: sys::UFENCE_ABI_VERSION,
        features: if D::CAN_CANCEL { sys::UFENCE_F_CANCEL as u64 } else { 0 },
        name: last_text(name),
        timeline: last_text(timeline),
        description: last_text(description),
        ops: Ops::<D>::TABLE_REF,
        init: Some(init::<D>),
        stop: Some(stop::<D>),
        exit: Some(exit::<D>),
        interface_name: ptr::null(),
        interface_version: 0,
        options_count: 0,
        options: ptr::null(),
    })
}

// Whom the panic hook tells. Set by init(), null after exit(): a module is one device.
static HOST: AtomicPtr<sys::ufence_host> = AtomicPtr::new(ptr::null_mut());
static DEVICE: AtomicPtr<sys::ufence_device> = AtomicPtr::new(ptr::null_mut());

/// The type of a panic's description has another name and text since Rust 1.81; what it is made of has not.
fn tell_panic(payload: &dyn Any, at: Option<&Location<'_>>) {
    // Acquire: the device is there with the host; pairs with init().
    let host = NonNull::new(HOST.load(Ordering::Acquire));
    let device = NonNull::new(DEVICE.load(Ordering::Relaxed));
    if let (Some(host), Some(device)) = (host, device) {
        let said = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("without a text");
        let place = at.map_or(String::new(), |at| format!(", {}", at));
        Services { host, device }.report(&format!("D-4: the driver panicked: '{}'{}", said, place));
    }
}

unsafe extern "C" fn init<D: Driver>(
    host: *const sys::ufence_host,
    device: *mut sys::ufence_device,
    state: *mut *mut c_void,
) -> i32 {
    const WRONG_VERSION: i32 = -71;
    if ((*host).size as usize) < mem::size_of::<sys::ufence_host>() || (*host).abi_version != sys::UFENCE_ABI_VERSION {
        return WRONG_VERSION;
    }
    let (host, device) = match (NonNull::new(host as *mut _), NonNull::new(device)) {
        (Some(host), Some(device)) => (host, device),
        _ => return WRONG_VERSION,
    };
    let services = Services { host, device };
    DEVICE.store(device.as_ptr(), Ordering::Relaxed);
    // Release: see tell_panic().
    HOST.store(host.as_ptr(), Ordering::Release);
    let made = catch_unwind(AssertUnwindSafe(|| {
        panic::set_hook(Box::new(|info| tell_panic(info.payload(), info.location())));
        let driver = D::new(services)?;
        let instance = Box::leak(Box::new(Instance { host: services, driver }));
        let instance: NonNull<Instance<D>> = instance.into();
        // It stays in place until exit(), after which no code of the module runs.
        let lasting: &'static Instance<D> = &*instance.as_ptr();
        let started = catch_unwind(AssertUnwindSafe(|| lasting.driver.start())).unwrap_or(Err(Errno::IO));
        if let Err(error) = started {
            // The host joins what was started when this has returned; so the device stays.
            let _ = catch_unwind(AssertUnwindSafe(|| lasting.driver.stop()));
            return Err(error);
        }
        Ok(instance)
    }));
    match made.unwrap_or(Err(Errno::IO)) {
        Ok(instance) => {
            *state = instance.as_ptr().cast();
            0
        }
        Err(error) => {
            forget_hook();
            error.to_c()
        }
    }
}

/// Frees the hook, which is memory of this module.
fn forget_hook() {
    let _ = catch_unwind(|| drop(panic::take_hook()));
    HOST.store(ptr::null_mut(), Ordering::Release);
}

unsafe extern "C" fn submit<D: Driver>(state: *mut c_void, job: *mut sys::ufence_job) -> i32 {
    let instance = &*state.cast::<Instance<D>>();
    if let Some(job) = NonNull::new(job) {
        let job = Job::new(job, instance.host);
        // A panic drops the job, if it has not been given on: it is signaled then.
        let _ = catch_unwind(AssertUnwindSafe(|| instance.driver.submit(job)));
    }
    0
}

unsafe extern "C" fn cancel<D: Driver>(state: *mut c_void, job: *mut sys::ufence_job) {
    let instance = &*state.cast::<Instance<D>>();
    let job = JobId::of(job);
    let _ = catch_unwind(AssertUnwindSafe(|| instance.driver.cancel(job)));
}

unsafe extern "C" fn stop<D: Driver>(state: *mut c_void) {
    let instance = &*state.cast::<Instance<D>>();
    let _ = catch_unwind(AssertUnwindSafe(|| instance.driver.stop()));
}

unsafe extern "C" fn exit<D: Driver>(state: *mut c_void) {
    let instance = Box::from_raw(state.cast::<Instance<D>>());
    let _ = catch_unwind(AssertUnwindSafe(|| drop(instance)));
    forget_hook();
}
