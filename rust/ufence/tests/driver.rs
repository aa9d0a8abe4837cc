//! The driver in Rust (examples/adder), whose file is in UFENCE_ADDER.
use std::fs;
use std::sync::mpsc::channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use ufence::*;

const ADD: u32 = 0;
const KEEP: u32 = 1;
const PANIC: u32 = 2;
const PANIC_ON_THREAD: u32 = 3;

fn adder() -> String {
    std::env::var("UFENCE_ADDER").expect("UFENCE_ADDER is the file of the module")
}

/// One test at a time: they look at the mappings of the process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_mapped() -> bool {
    fs::read_to_string("/proc/self/maps").unwrap().contains(&adder())
}

fn arguments(a: i64, b: i64, sum: &mut i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&a.to_ne_bytes());
    bytes.extend_from_slice(&b.to_ne_bytes());
    bytes.extend_from_slice(&(sum as *mut i64 as usize).to_ne_bytes());
    bytes
}

fn submit(module: &Module, opcode: u32, args: &[u8]) -> Result<Fence> {
    // SAFETY: what the driver expects; each test keeps the place for a sum until its fence is signaled.
    unsafe { module.submit(JobRequest { opcode, args, ..JobRequest::default() }) }
}

fn load(host: &Host) -> Module {
    // SAFETY: the example keeps the rules for drivers.
    unsafe { host.load(adder()) }.unwrap_or_else(|error| panic!("{}", error))
}

fn unload(host: &Host, module: &Module, policy: UnloadPolicy) -> UnloadReport {
    let report = host.unload(module, UnloadOptions { policy, ..UnloadOptions::default() }).unwrap();
    assert_eq!(report.state, UnloadState::Unmapped, "{:?}", report);
    assert!(!is_mapped());
    report
}

#[test]
fn adds_and_is_unmapped() {
    let _alone = alone();
    let host = Host::new().unwrap();
    let module = load(&host);
    assert!(is_mapped());
    assert_eq!(module.driver_name(), "adder");
    let mut sum = 0;
    let done = submit(&module, ADD, &arguments(40, 2, &mut sum)).unwrap();
    assert_eq!(done.wait_result(Deadline::NEVER), Ok(()));
    assert_eq!(sum, 42);
    assert_eq!(submit(&module, ADD, &[]).unwrap().wait_result(Deadline::NEVER), Err(Error::INVALID));
    assert_eq!(submit(&module, 99, &[]).unwrap().status(), Some(Err(Error::INVALID)));
    let kept = submit(&module, KEEP, &[]).unwrap();
    let report = unload(&host, &module, UnloadPolicy::Cancel);
    assert_eq!((report.jobs_cancelled, report.pins.as_str()), (1, ""));
    assert_eq!(kept.status(), Some(Err(Error::CANCELED)));
    assert_eq!(done.timeline_name(), "sums");
    assert_eq!(submit(&module, KEEP, &[]), Err(Error::NO_DEVICE));
}

#[test]
fn is_loaded_as_asked_or_not_at_all() {
    let _alone = alone();
    let host = Host::new().unwrap();
    let refused = |options| match unsafe { host.load_with(adder(), options) } {
        Ok(_) => panic!("it was loaded"),
        Err(error) => (error.error.errno(), error.why),
    };
    let (errno, why) = refused(LoadOptions { interface: Some(("multiplier", 1)), ..LoadOptions::default() });
    assert!(errno == 93 && why.contains("multiplier"), "{}", why);
    let (errno, why) = refused(LoadOptions { options: &[("speed", "high")], ..LoadOptions::default() });
    assert!(errno == Error::INVALID.errno() && why.contains("speed"), "{}", why);
    assert_eq!(refused(LoadOptions { options: &[("a\0b", "")], ..LoadOptions::default() }).0, Error::INVALID.errno());
    let options = LoadOptions { pending_max: Some(1), private_copy: true, ..LoadOptions::default() };
    // SAFETY: as load().
    let module = unsafe { host.load_with(adder(), options) }.unwrap();
    let _kept = submit(&module, KEEP, &[]).unwrap();
    assert_eq!(submit(&module, KEEP, &[]).map(drop).unwrap_err().errno(), 11);
    host.unload(&module, UnloadOptions { policy: UnloadPolicy::Cancel, ..UnloadOptions::default() }).unwrap();
}

#[test]
fn is_shared_by_entities_whose_jobs_outlive_an_instance() {
    let _alone = alone();
    let host = Host::new().unwrap();
    let module = load(&host);
    let scheduler = Scheduler::new(&module, SchedulerOptions::default()).unwrap();
    let heavy = EntityOptions { name: "heavy", weight: Some(3), ..EntityOptions::default() };
    let patient = scheduler.entity(heavy).unwrap();
    let impatient =
        scheduler.entity(EntityOptions { ends_without_device: true, ..EntityOptions::default() }).unwrap();
    let mut sum = 0;
    let args = arguments(40, 2, &mut sum);
    let add = JobRequest { opcode: ADD, args: &args, ..JobRequest::default() };
    // SAFETY: what the driver expects; `sum` stays until the fences are signaled.
    let push = |entity: &Entity, request| unsafe { entity.push(request, 1) };
    let fences = push(&patient, add).unwrap();
    assert_eq!(fences.finished.wait_result(Deadline::NEVER), Ok(()));
    assert!(fences.scheduled.is_signaled());
    assert_eq!(unsafe { std::ptr::read_volatile(&sum) }, 42);
    unload(&host, &module, UnloadPolicy::Cancel);
    let ended = push(&impatient, add).unwrap().finished;
    assert_eq!(ended.wait_result(Deadline::NEVER), Err(Error::NO_DEVICE));
    let waits = push(&patient, add).unwrap().finished;
    assert!(!waits.is_signaled());
    let next = load(&host);
    scheduler.attach(Some(&next)).unwrap();
    assert_eq!(waits.wait_result(Deadline::NEVER), Ok(()));
    scheduler.attach(None).unwrap();
    let killed = push(&patient, add).unwrap().finished;
    patient.kill(Error::IO).unwrap();
    patient.flush(Deadline::NEVER).unwrap();
    assert_eq!(killed.status(), Some(Err(Error::IO)));
    assert_eq!((patient.stats().jobs_pushed, patient.stats().jobs_ended), (3, 3));
    assert!(push(&patient, add).is_err());
    drop((patient, impatient, scheduler));
    unload(&host, &next, UnloadPolicy::Cancel);
}

static REPORTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[test]
fn panics_stay_inside_and_do_not_pin() {
    let _alone = alone();
    std::env::set_var("RUST_BACKTRACE", "1");
    set_report_handler(Some(|report| REPORTS.lock().unwrap().push(report.text.clone()))).unwrap();
    let host = Host::new().unwrap();
    let module = load(&host);
    let failed = submit(&module, PANIC, &[]).unwrap();
    assert_eq!(failed.wait_result(Deadline::NEVER), Err(Error::CANCELED));
    let failed = submit(&module, PANIC_ON_THREAD, &[]).unwrap();
    assert_eq!(failed.wait_result(Deadline::NEVER), Err(Error::CANCELED));
    let mut sum = 0;
    let done = submit(&module, ADD, &arguments(1, 2, &mut sum)).unwrap();
    assert_eq!(done.wait_result(Deadline::NEVER), Ok(()));
    unload(&host, &module, UnloadPolicy::Cancel);
    set_report_handler(None).unwrap();
    let reports = REPORTS.lock().unwrap().clone();
    for text in ["a job asked for it'", "a job asked for it, on a thread'"] {
        assert!(reports.iter().any(|r| r.contains("D-4") && r.contains(text)), "{:?}", reports);
    }
}

#[test]
fn is_unloaded_under_load_while_its_fences_are_held() {
    let _alone = alone();
    const THREADS: usize = 3;
    const ROUNDS: usize = 20;
    let host = Host::new().unwrap();
    let mut held: Vec<Fence> = Vec::new();
    for _ in 0..ROUNDS {
        let module = load(&host);
        let (busy, is_busy) = channel();
        thread::scope(|scope| {
            let workers: Vec<_> = (0..THREADS)
                .map(|number| {
                    let (module, busy) = (&module, busy.clone());
                    scope.spawn(move || {
                        let mut jobs: Vec<(Fence, Box<i64>, i64)> = Vec::new();
                        for n in 0.. {
                            let mut sum = Box::new(0);
                            let args = arguments(n, number as i64, &mut sum);
                            let opcode = if n % 16 == 5 { KEEP } else { ADD };
                            match submit(module, opcode, &args) {
                                Ok(fence) => jobs.push((fence, sum, if opcode == ADD { n + number as i64 } else { 0 })),
                                Err(error) => {
                                    assert_eq!(error, Error::NO_DEVICE);
                                    break;
                                }
                            }
                            if n == 100 {
                                busy.send(()).unwrap();
                            }
                        }
                        jobs
                    })
                })
                .collect();
            for _ in 0..THREADS {
                is_busy.recv().unwrap(); // each is at it
            }
            let report = unload(&host, &module, UnloadPolicy::Cancel);
            assert!(report.jobs_cancelled > 0, "{:?}", report);
            for worker in workers {
                for (fence, sum, expected) in worker.join().unwrap() {
                    match fence.wait_result(Deadline::NEVER) {
                        Ok(()) => assert_eq!(*sum, expected),
                        Err(error) => assert_eq!(error, Error::CANCELED),
                    }
                    held.push(fence);
                }
            }
        });
    }
    assert!(held.len() >= ROUNDS * THREADS * 100);
    assert!(held.iter().all(|fence| fence.is_signaled() && fence.driver_name() == "adder"));
}
