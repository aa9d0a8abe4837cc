//! A driver that adds, on a thread of its own; a job of opcode KEEP waits until it is cancelled, and those
//! of PANIC and PANIC_ON_THREAD show what becomes of a panic.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ufence_driver::{ufence_driver, Driver, Errno, Job, JobId, Plain, Services, Settlement};

const ADD: u32 = 0;
const KEEP: u32 = 1;
const PANIC: u32 = 2;
const PANIC_ON_THREAD: u32 = 3;

#[repr(C)]
#[derive(Clone, Copy)]
struct AddArgs {
    a: i64,
    b: i64,
    sum: *mut i64, // the caller's, until the job is signaled
}
// SAFETY: integers and a pointer, in C's layout.
unsafe impl Plain for AddArgs {}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    kept: Vec<Job>,
    stopping: bool,
}

struct Adder {
    host: Services,
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Adder {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let job = {
                let mut queue = self.lock();
                loop {
                    if let Some(job) = queue.jobs.pop_front() {
                        break job;
                    }
                    if queue.stopping {
                        return;
                    }
                    queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
            };
            if job.opcode() == PANIC_ON_THREAD {
                // The thread goes on: it catches what it can go on after.
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let _job = job; // dropped on the way: signaled
                    panic!("a job asked for it, on a thread");
                }));
                debug_assert!(ended.is_err());
                continue;
            }
            match job.args::<AddArgs>() {
                Some(args) => {
                    // SAFETY: the caller keeps the place for the sum until the job is signaled.
                    unsafe { *args.sum = args.a.wrapping_add(args.b) };
                    job.signal(Ok(()));
                }
                None => job.signal(Err(Errno::INVALID)),
            }
        }
    }
}

impl Driver for Adder {
    const CAN_CANCEL: bool = true;

    fn new(host: Services) -> Result<Adder, Errno> {
        Ok(Adder { host, queue: Mutex::default(), changed: Condvar::new() })
    }

    fn start(&'static self) -> Result<(), Errno> {
        self.host.start_thread("adder", move || self.work())
    }

    fn submit(&self, job: Job) {
        match job.opcode() {
            ADD | PANIC_ON_THREAD => {
                self.lock().jobs.push_back(job);
                self.changed.notify_one();
            }
            KEEP => self.lock().kept.push(job),
            PANIC => panic!("a job asked for it"),
            _ => job.signal(Err(Errno::INVALID)),
        }
    }

    fn cancel(&self, id: JobId) {
        let mut later = Settlement::new(self.host);
        let mut queue = self.lock();
        if let Some(place) = queue.kept.iter().position(|job| job.id() == id) {
            queue.kept.swap_remove(place).decide(Err(Errno::CANCELED), &mut later);
        }
    }

    fn stop(&self) {
        let mut later = Settlement::new(self.host);
        let mut queue = self.lock();
        queue.stopping = true;
        for job in queue.kept.drain(..) {
            job.decide(Err(Errno::CANCELED), &mut later);
        }
        self.changed.notify_all();
    }
}

ufence_driver!(Adder, name: "adder", timeline: "sums", description: "adds two numbers, in Rust");
