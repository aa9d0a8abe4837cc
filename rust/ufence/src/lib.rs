//! Fences: pending, then signaled, once, with success or an error, and alive after the module, context
//! or process that issued them. Rust over libufence's interface in C.
//!
//! * [`Fence`] is what consumers have: look, wait, `await`, add callbacks, send to other processes.
//! * [`FenceContext`] is what an issuer has: names, and [`DriverFence`]s with data of their own. The data
//!   is given back exactly once, when nobody uses it any more: [`FenceContextOps::retire`].
//! * [`Timeline`] completes any number of fences by number.
//! * [`Host`] loads driver modules and unloads them while their fences are held.
//! * [`Scheduler`] shares a module's device among users, each with an [`Entity`].
//!
//! What a fence promises is numbered F1 to F19 in docs/CONTRACT.md of ufence.
//!
//! ```
//! # fn main() -> Result<(), ufence::Error> {
//! struct Device;
//! impl ufence::FenceContextOps for Device {
//!     type FenceData = String;
//!     fn retire(data: String) {
//!         println!("{} is free again", data);
//!     }
//! }
//!
//! let device = ufence::FenceContext::<Device>::new("demo", "queue")?;
//! let allocation = device.new_fence_allocation("buffer 7".to_string())?; // what can fail is done here
//! let job = allocation.new_fence();
//! let done = job.as_fence().clone();
//! drop(device); // the fence stays
//! let worker = std::thread::spawn(move || job.signal(Ok(())));
//! done.wait(ufence::Deadline::NEVER)?;
//! worker.join().unwrap();
//! assert_eq!(done.status(), Some(Ok(())));
//! # Ok(())
//! # }
//! ```
//!
//! A panic in a callback, in `retire` or in another function of [`FenceContextOps`] ends there: its message
//! is printed by the panic hook, and the library goes on.

mod callback;
mod context;
mod deadline;
mod error;
mod fence;
mod future;
mod module;
mod report;
mod scheduler;
mod sync_file;
mod timeline;

pub use callback::{CallbackError, FenceCallback, FenceCallbackRegistration};
pub use context::{DriverFence, DriverFenceAllocation, FenceContext, FenceContextOps, Settlement};
pub use deadline::Deadline;
pub use error::{Error, Result};
pub use fence::{wait_all, wait_any, Fence};
pub use future::FenceFuture;
pub use module::{
    Host, JobRequest, LoadError, LoadOptions, Module, UnloadOptions, UnloadPolicy, UnloadReport, UnloadState,
};
pub use report::{set_report_handler, Report};
pub use scheduler::{Entity, EntityOptions, EntityStats, JobFences, Priority, Schedule, Scheduler, SchedulerOptions};
pub use sync_file::SyncFile;
pub use timeline::Timeline;
