use std::ffi::CString;
use std::fmt;
use std::mem;
use std::os::raw::c_char;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::time::Duration;

use ufence_sys as sys;

use crate::fence::{copied, pointers};
use crate::{Deadline, Error, Fence, Result};

/// Loads driver modules, and unloads them while others hold their fences. Dropped, it unloads what is
/// loaded.
pub struct Host(NonNull<sys::ufence_module_host>);

// SAFETY: all functions but the drop may be called by any thread, concurrently.
unsafe impl Send for Host {}
unsafe impl Sync for Host {}

/// A loaded module and its device; it outlives the module, and says Error::NO_DEVICE then.
pub struct Module(NonNull<sys::ufence_module>);

// SAFETY: as Host.
unsafe impl Send for Module {}
unsafe impl Sync for Module {}

/// Why a module was not loaded, for programs and, in a line, for people.
#[derive(Debug)]
pub struct LoadError {
    pub error: Error,
    pub why: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.why, self.error)
    }
}
impl std::error::Error for LoadError {}

/// What a load may ask for.
#[derive(Default, Clone, Copy, Debug)]
pub struct LoadOptions<'a> {
    /// Maps a copy in memory that nobody can change, so that the file may be replaced.
    pub private_copy: bool,
    /// So many jobs may be pending at once.
    pub pending_max: Option<u32>,
    /// What the opcodes have to mean, and since which version.
    pub interface: Option<(&'a str, u32)>,
    /// Values for options that the driver has.
    pub options: &'a [(&'a str, &'a str)],
}

/// Work for a device.
#[derive(Default, Clone, Copy)]
pub struct JobRequest<'a> {
    pub opcode: u32,
    /// Copied.
    pub args: &'a [u8],
    /// The device gets the job when all are signaled.
    pub in_fences: &'a [Fence],
    /// False: the first error of an in-fence ends the job.
    pub run_after_failed_in_fence: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnloadPolicy {
    /// Waits for jobs until the deadline, then cancels what is left.
    Drain(Deadline),
    /// Asks the module to end them now.
    Cancel,
    /// Changes nothing if there are any.
    Refuse,
}

#[derive(Clone, Copy, Debug)]
pub struct UnloadOptions {
    pub policy: UnloadPolicy,
    /// How long each later step may take.
    pub give_up: Duration,
    /// Calls into the module are given up then as well: a thread of their own makes them.
    pub bounds_calls: bool,
}

impl Default for UnloadOptions {
    fn default() -> UnloadOptions {
        UnloadOptions {
            policy: UnloadPolicy::Drain(Deadline::NEVER),
            give_up: Duration::from_secs(10),
            bounds_calls: false,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum UnloadState {
    Refused,
    /// Something of it may still run, or its mapping stays.
    Pinned,
    /// The mapping goes once another thread has ended.
    Deferred,
    /// Verified.
    Unmapped,
}

#[derive(Clone, Debug)]
pub struct UnloadReport {
    pub state: UnloadState,
    /// 1 to 8.
    pub last_step: i32,
    pub jobs_drained: u64,
    pub jobs_cancelled: u64,
    pub callbacks_removed: u64,
    pub duration: Duration,
    /// What pins it, by name.
    pub pins: String,
    /// Libraries that came with it and stay mapped.
    pub kept: String,
}

impl JobRequest<'_> {
    /// It borrows what the request does.
    pub(crate) fn to_c(self) -> sys::ufence_job_request {
        sys::ufence_job_request {
            size: mem::size_of::<sys::ufence_job_request>(),
            opcode: self.opcode,
            run_after_failed_in_fence: self.run_after_failed_in_fence.into(),
            args: self.args.as_ptr().cast(),
            args_size: self.args.len(),
            in_fences: pointers(self.in_fences),
            in_fence_count: self.in_fences.len(),
        }
    }
}

impl Host {
    pub fn new() -> Result<Host> {
        let mut host = ptr::null_mut();
        // SAFETY: on success the host is the caller's.
        Error::check(unsafe { sys::ufence_module_host_create(&mut host) })?;
        Ok(Host(NonNull::new(host).expect("made")))
    }

    /// Checks the file, maps it, runs its init().
    ///
    /// # Safety
    /// The module keeps the rules D-1 to D-24 of `ufence/driver.h`: its code runs in this process.
    pub unsafe fn load(&self, path: impl AsRef<Path>) -> std::result::Result<Module, LoadError> {
        self.load_with(path, LoadOptions::default())
    }

    /// The same with what LoadOptions asks for.
    ///
    /// # Safety
    /// As load().
    pub unsafe fn load_with(
        &self,
        path: impl AsRef<Path>,
        options: LoadOptions<'_>,
    ) -> std::result::Result<Module, LoadError> {
        let path = c_text(path.as_ref().as_os_str().as_bytes())?;
        let interface = options.interface.map(|(name, _)| c_text(name.as_bytes())).transpose()?;
        let mut texts = Vec::new();
        for (name, value) in options.options {
            texts.push((c_text(name.as_bytes())?, c_text(value.as_bytes())?));
        }
        let values: Vec<_> = texts
            .iter()
            .map(|(name, value)| sys::ufence_option_value { name: name.as_ptr(), value: value.as_ptr() })
            .collect();
        let options = sys::ufence_load_options {
            size: mem::size_of::<sys::ufence_load_options>(),
            private_copy: options.private_copy.into(),
            pending_max: options.pending_max.unwrap_or(0),
            interface_name: interface.as_ref().map_or(ptr::null(), |name| name.as_ptr()),
            interface_version: options.interface.map_or(0, |(_, version)| version),
            options_count: values.len() as u32,
            options: values.as_ptr(),
        };
        let mut module = ptr::null_mut();
        let mut why: [c_char; 1024] = [0; 1024];
        let loaded = sys::ufence_module_load_with(
            self.0.as_ptr(),
            path.as_ptr(),
            &options,
            &mut module,
            why.as_mut_ptr(),
            why.len(),
        );
        match Error::check(loaded) {
            Ok(_) => Ok(Module(NonNull::new(module).expect("made"))),
            Err(error) => Err(LoadError { error, why: text_of(&why) }),
        }
    }

    /// Unloads it, in eight steps; the report says how that ended.
    pub fn unload(&self, module: &Module, options: UnloadOptions) -> Result<UnloadReport> {
        let (policy, drain_deadline_ns) = match options.policy {
            UnloadPolicy::Drain(Deadline::NEVER) => (sys::UFENCE_UNLOAD_DRAIN, 0),
            UnloadPolicy::Drain(deadline) => (sys::UFENCE_UNLOAD_DRAIN, deadline.0.max(1)),
            UnloadPolicy::Cancel => (sys::UFENCE_UNLOAD_CANCEL, 0),
            UnloadPolicy::Refuse => (sys::UFENCE_UNLOAD_REFUSE, 0),
        };
        let options = sys::ufence_unload_options {
            size: mem::size_of::<sys::ufence_unload_options>(),
            policy,
            drain_deadline_ns,
            give_up_ns: i64::try_from(options.give_up.as_nanos()).unwrap_or(i64::MAX).max(1),
            bounds_calls: options.bounds_calls.into(),
        };
        let mut report = sys::ufence_unload_report {
            size: mem::size_of::<sys::ufence_unload_report>(),
            state: sys::UFENCE_UNLOAD_REFUSED,
            last_step: 0,
            jobs_drained: 0,
            jobs_cancelled: 0,
            callbacks_removed: 0,
            duration_ns: 0,
            pins: [0; 256],
            kept: [0; 256],
        };
        // SAFETY: both live, the structures are lent for the call.
        Error::check(unsafe {
            sys::ufence_module_unload(self.0.as_ptr(), module.0.as_ptr(), &options, &mut report)
        })?;
        Ok(UnloadReport {
            state: match report.state {
                sys::UFENCE_UNLOAD_REFUSED => UnloadState::Refused,
                sys::UFENCE_UNLOAD_DEFERRED => UnloadState::Deferred,
                sys::UFENCE_UNLOAD_UNMAPPED => UnloadState::Unmapped,
                _ => UnloadState::Pinned,
            },
            last_step: report.last_step,
            jobs_drained: report.jobs_drained,
            jobs_cancelled: report.jobs_cancelled,
            callbacks_removed: report.callbacks_removed,
            duration: Duration::from_nanos(report.duration_ns.max(0) as u64),
            pins: text_of(&report.pins),
            kept: text_of(&report.kept),
        })
    }

    /// Looks again after what an unload has deferred: how many are unmapped now.
    pub fn retry_deferred(&self) -> usize {
        // SAFETY: a host that lives.
        unsafe { sys::ufence_module_host_retry_deferred(self.0.as_ptr()) }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // SAFETY: it is this one's.
        unsafe { sys::ufence_module_host_destroy(self.0.as_ptr()) }
    }
}

impl Module {
    /// Gives the device a job; the fence is signaled when it is done.
    ///
    /// # Safety
    /// `opcode` and `args` are what the driver expects: it may take bytes of `args` for addresses, and
    /// what they point to stays in place until the fence is signaled.
    pub unsafe fn submit(&self, request: JobRequest<'_>) -> Result<Fence> {
        Fence::made_by(|to| sys::ufence_module_submit(self.0.as_ptr(), &request.to_c(), to))
    }

    pub(crate) fn as_raw(&self) -> *mut sys::ufence_module {
        self.0.as_ptr()
    }

    pub fn driver_name(&self) -> String {
        // SAFETY: a module that lives.
        copied(|buffer, size| unsafe { sys::ufence_module_driver_name(self.0.as_ptr(), buffer, size) })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: it is this one's reference.
        unsafe { sys::ufence_module_put(self.0.as_ptr()) }
    }
}

/// A text for C.
fn c_text(bytes: &[u8]) -> std::result::Result<CString, LoadError> {
    CString::new(bytes)
        .map_err(|_| LoadError { error: Error::INVALID, why: "a path, name or value has a zero in it".to_string() })
}

/// What C has written there, up to the zero.
fn text_of(buffer: &[c_char]) -> String {
    let bytes: Vec<u8> = buffer.iter().map(|&c| c as u8).take_while(|&c| c != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
