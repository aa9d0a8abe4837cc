use std::ffi::CString;
use std::mem;
use std::ptr::{self, NonNull};
use std::time::Duration;

use ufence_sys as sys;

use crate::{Deadline, Error, Fence, JobRequest, Module, Result};

/// Shares a module's device among entities, and outlives the instances of the module. Dropped, it ends what
/// is queued with Error::CANCELED and gives the device a second for what it has.
pub struct Scheduler(NonNull<sys::ufence_scheduler>);

// SAFETY: all functions but the drop may be called by any thread, concurrently.
unsafe impl Send for Scheduler {}
unsafe impl Sync for Scheduler {}

/// A user's queue of jobs. It may outlive its scheduler; dropped, what is queued ends with ESRCH.
pub struct Entity(NonNull<sys::ufence_entity>);

// SAFETY: as Scheduler.
unsafe impl Send for Entity {}
unsafe impl Sync for Entity {}

/// Which entity comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Schedule {
    /// Each gets device time by its weight.
    Fair,
    /// Within a priority the job that was pushed first.
    Fifo,
    /// Within a priority the soonest deadline of the finished fence.
    Deadline,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Priority {
    Kernel,
    High,
    Normal,
    Low,
}

impl Priority {
    fn to_c(self) -> u32 {
        match self {
            Priority::Kernel => sys::UFENCE_PRIORITY_KERNEL,
            Priority::High => sys::UFENCE_PRIORITY_HIGH,
            Priority::Normal => sys::UFENCE_PRIORITY_NORMAL,
            Priority::Low => sys::UFENCE_PRIORITY_LOW,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct SchedulerOptions {
    pub schedule: Schedule,
    /// How much the device has at once.
    pub credit_limit: u32,
    /// How long the oldest job of the device may take until it is asked to cancel it.
    pub timeout: Option<Duration>,
}

impl Default for SchedulerOptions {
    fn default() -> SchedulerOptions {
        SchedulerOptions { schedule: Schedule::Fair, credit_limit: 64, timeout: None }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct EntityOptions<'a> {
    pub name: &'a str,
    pub priority: Priority,
    /// Its share under Schedule::Fair; None: of its priority, 64, 32, 8 and 1.
    pub weight: Option<u32>,
    /// The error of a fence that a job waited for ends the job.
    pub propagates_errors: bool,
    /// Jobs end with Error::NO_DEVICE where there is no device; else they wait for the next instance.
    pub ends_without_device: bool,
}

impl Default for EntityOptions<'_> {
    fn default() -> Self {
        EntityOptions {
            name: "",
            priority: Priority::Normal,
            weight: None,
            propagates_errors: false,
            ends_without_device: false,
        }
    }
}

/// The two fences of a job.
pub struct JobFences {
    /// The device has it, or never will.
    pub scheduled: Fence,
    /// It has ended.
    pub finished: Fence,
}

#[derive(Clone, Copy, Debug)]
pub struct EntityStats {
    pub jobs_pushed: u64,
    pub jobs_ended: u64,
    pub device_time: Duration,
    pub timeouts: u32,
}

impl Scheduler {
    pub fn new(module: &Module, options: SchedulerOptions) -> Result<Scheduler> {
        let options = sys::ufence_scheduler_options {
            size: mem::size_of::<sys::ufence_scheduler_options>(),
            name: ptr::null(),
            credit_limit: options.credit_limit,
            order: match options.schedule {
                Schedule::Fair => sys::UFENCE_SCHEDULE_FAIR,
                Schedule::Fifo => sys::UFENCE_SCHEDULE_FIFO,
                Schedule::Deadline => sys::UFENCE_SCHEDULE_DEADLINE,
            },
            timeout_ns: match options.timeout {
                Some(time) => i64::try_from(time.as_nanos()).unwrap_or(i64::MAX).max(1),
                None => 0,
            },
            passes_max: 0,
            fails_after_reset: 0,
            own_loop: 0,
            wake: None,
            timed_out: None,
            data: ptr::null_mut(),
        };
        let mut scheduler = ptr::null_mut();
        // SAFETY: a module that lives, options that are lent for the call; on success the scheduler is the
        // caller's.
        Error::check(unsafe { sys::ufence_scheduler_create(module.as_raw(), &options, &mut scheduler) })?;
        Ok(Scheduler(NonNull::new(scheduler).expect("made")))
    }

    /// From now on jobs go to this instance, for instance of the module's next build; None: nowhere.
    pub fn attach(&self, module: Option<&Module>) -> Result {
        // SAFETY: both live; so they do below.
        let attached =
            unsafe { sys::ufence_scheduler_attach(self.0.as_ptr(), module.map_or(ptr::null_mut(), Module::as_raw)) };
        Error::check(attached).map(drop)
    }

    pub fn entity(&self, options: EntityOptions<'_>) -> Result<Entity> {
        let name = CString::new(options.name).map_err(|_| Error::INVALID)?;
        let options = sys::ufence_entity_options {
            size: mem::size_of::<sys::ufence_entity_options>(),
            name: name.as_ptr(),
            priority: options.priority.to_c(),
            weight: options.weight.unwrap_or(0),
            errors_max: 0,
            propagates_errors: options.propagates_errors.into(),
            ends_without_device: options.ends_without_device.into(),
        };
        let mut entity = ptr::null_mut();
        Error::check(unsafe { sys::ufence_entity_create(self.0.as_ptr(), &options, &mut entity) })?;
        Ok(Entity(NonNull::new(entity).expect("made")))
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // SAFETY: it is this one's.
        unsafe { sys::ufence_scheduler_destroy(self.0.as_ptr(), Deadline::after(Duration::from_secs(1)).0) };
    }
}

impl Entity {
    /// Queues a job; the entity's options say what the error of an in-fence does, not the request.
    ///
    /// # Safety
    /// As Module::submit(), until `finished` is signaled.
    pub unsafe fn push(&self, request: JobRequest<'_>, credits: u32) -> Result<JobFences> {
        let (mut scheduled, mut finished) = (ptr::null_mut(), ptr::null_mut());
        let pushed =
            sys::ufence_entity_push(self.0.as_ptr(), &request.to_c(), credits, &mut scheduled, &mut finished);
        Error::check(pushed)?;
        Ok(JobFences { scheduled: Fence::from_raw(scheduled), finished: Fence::from_raw(finished) })
    }

    /// What is queued does not run: each ends with the error, in order. What the device has goes on.
    pub fn kill(&self, error: Error) -> Result {
        // SAFETY: an entity that lives; so are all below.
        Error::check(unsafe { sys::ufence_entity_kill(self.0.as_ptr(), -error.errno()) }).map(drop)
    }

    /// Waits until all jobs that were pushed before have ended.
    pub fn flush(&self, deadline: Deadline) -> Result {
        Error::check(unsafe { sys::ufence_entity_flush(self.0.as_ptr(), deadline.0) }).map(drop)
    }

    /// Counts from the next choice on, as set_weight().
    pub fn set_priority(&self, priority: Priority) -> Result {
        Error::check(unsafe { sys::ufence_entity_set_priority(self.0.as_ptr(), priority.to_c()) }).map(drop)
    }

    /// None: of its priority.
    pub fn set_weight(&self, weight: Option<u32>) -> Result {
        Error::check(unsafe { sys::ufence_entity_set_weight(self.0.as_ptr(), weight.unwrap_or(0)) }).map(drop)
    }

    pub fn stats(&self) -> EntityStats {
        let mut stats = sys::ufence_entity_stats {
            size: mem::size_of::<sys::ufence_entity_stats>(),
            jobs_pushed: 0,
            jobs_ended: 0,
            device_time_ns: 0,
            timeouts: 0,
            last_error: 0,
        };
        unsafe { sys::ufence_entity_get_stats(self.0.as_ptr(), &mut stats) };
        EntityStats {
            jobs_pushed: stats.jobs_pushed,
            jobs_ended: stats.jobs_ended,
            device_time: Duration::from_nanos(stats.device_time_ns.max(0) as u64),
            timeouts: stats.timeouts,
        }
    }
}

impl Drop for Entity {
    fn drop(&mut self) {
        // SAFETY: it is this one's.
        unsafe { sys::ufence_entity_destroy(self.0.as_ptr()) }
    }
}
