//! Driver modules for ufence: a type that implements [`Driver`], and [`ufence_driver!`], in a crate of
//! type `cdylib`. Nothing of libufence is linked; the host gives a module what it needs.
//!
//! ```
//! use ufence_driver::{ufence_driver, Driver, Errno, Job, Services};
//!
//! struct Null;
//! impl Driver for Null {
//!     fn new(_host: Services) -> Result<Null, Errno> {
//!         Ok(Null)
//!     }
//!     fn submit(&self, job: Job) {
//!         job.signal(Ok(()));
//!     }
//!     fn stop(&self) {}
//! }
//! ufence_driver!(Null, name: "null", description: "completes every job at once");
//! # fn main() {}
//! ```
//!
//! What keeps a module unloadable (D-8, D-13, D-14): threads are started by [`Services::start_thread`], never
//! by `std::thread`, whose use is refused at load; and nothing that has a thread-local with a destructor,
//! as `thread::current()` and `thread_local!` of a type with `Drop`, which defers the unmapping to the end of
//! the thread. Mutex, Condvar, atomics, collections and files are free of both.
//!
//! A panic does not leave the module: of a function that the host calls, it ends the call; the job that it
//! had is signaled with an error; of a thread of the module it ends the thread. The message goes to the host's
//! report handler, and to nobody else. The standard library's own panic hook is not used: it would keep the
//! module mapped.

#[allow(non_camel_case_types, non_upper_case_globals, dead_code)]
mod bindings;
mod entry;
mod job;
mod services;

pub use job::{Job, JobId, Plain, Settlement};
pub use services::Services;

#[doc(hidden)]
pub use entry::{make, Entry, Note, ABI_NOTE};

/// The number of an error, positive: 1 to 4095.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub i32);

impl Errno {
    pub const IO: Errno = Errno(5);
    pub const NO_MEMORY: Errno = Errno(12);
    pub const INVALID: Errno = Errno(22);
    pub const CANCELED: Errno = Errno(125);

    /// As C has it; what is no errno is -EINVAL (D-16).
    fn to_c(self) -> i32 {
        if self.0 >= 1 && self.0 <= 4095 {
            -self.0
        } else {
            -Errno::INVALID.0
        }
    }
}

/// A driver's device. Any thread may call its functions, concurrently, with no lock of the host held; they
/// do not block for long, and do not wait for fences (D-15).
pub trait Driver: Sized + Send + Sync + 'static {
    /// Jobs can be asked to end early: [`Driver::cancel`].
    const CAN_CANCEL: bool = false;

    /// Makes the device; an error is the error of the load.
    fn new(host: Services) -> Result<Self, Errno>;
    /// Threads are started here, where the device stays in place. An error is the load's, after stop().
    fn start(&'static self) -> Result<(), Errno> {
        Ok(())
    }
    /// Takes a job. Signaled with an error, it counts as refused.
    fn submit(&self, job: Job);
    /// Asks for the end of a job as soon as the device lets go of its memory (D-12). The driver may be
    /// signaling it just then.
    fn cancel(&self, _job: JobId) {}
    /// Quiets the device: its threads end, and its jobs are signaled (D-9). Afterwards the device is dropped.
    fn stop(&self);
}

/// Makes a type that implements [`Driver`] the driver of this module: once, in a crate of type `cdylib`.
///
/// `ufence_driver!(Type, name: "...", timeline: "...", description: "...")`; all but the name may be left out.
#[macro_export]
macro_rules! ufence_driver {
    ($driver:ty, name: $name:literal $(, timeline: $timeline:literal)? $(, description: $description:literal)? $(,)?) => {
        #[no_mangle]
        #[allow(non_upper_case_globals)]
        pub static ufence_driver: $crate::Entry = $crate::make::<$driver>(
            ::std::concat!($name, "\0"),
            ::std::concat!("queue" $(, "\0", $timeline)?, "\0"),
            ::std::concat!("" $(, $description)?, "\0"),
        );
        #[used]
        #[link_section = ".note.ufence"]
        static UFENCE_ABI_NOTE: $crate::Note = $crate::ABI_NOTE;
    };
}
