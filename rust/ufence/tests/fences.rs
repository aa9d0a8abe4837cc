use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use ufence::*;

struct Device;

/// Counts its drops.
struct Counted(Arc<AtomicU32>);
impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl FenceContextOps for Device {
    type FenceData = Counted;
}

fn count() -> Arc<AtomicU32> {
    Arc::new(AtomicU32::new(0))
}

fn pending() -> (DriverFence<Device>, Fence, Arc<AtomicU32>) {
    let retired = count();
    let context = FenceContext::<Device>::new("device", "queue").unwrap();
    let fence = context.new_fence_allocation(Counted(retired.clone())).unwrap().new_fence();
    let consumers = fence.as_fence().clone();
    (fence, consumers, retired)
}

#[test]
fn a_fence_outlives_its_context_and_keeps_its_names() {
    let (right, fence, retired) = pending(); // the context is gone
    assert_eq!(fence.status(), None);
    assert_eq!(fence.wait(Deadline::NOW), Err(Error::TIMED_OUT));
    assert_eq!(retired.load(Ordering::Relaxed), 0);
    assert_eq!(right.0.load(Ordering::Relaxed), 0); // its data
    right.signal(Err(Error::IO));
    assert_eq!(retired.load(Ordering::Relaxed), 1);
    assert_eq!(fence.status(), Some(Err(Error::IO)));
    assert_eq!(fence.wait(Deadline::NEVER), Ok(()));
    assert_eq!(fence.wait_result(Deadline::NEVER), Err(Error::IO));
    assert_eq!((fence.driver_name().as_str(), fence.timeline_name().as_str()), ("device", "queue"));
    assert!(fence.to_string().contains("queue device"), "{}", fence);
    assert!(fence.is_settled() && fence.timestamp_nanoseconds() > 0);
}

#[test]
fn an_allocation_gives_its_data_back_or_becomes_a_fence_with_the_next_number() {
    let retired = count();
    let context = FenceContext::<Device>::new("device", "queue").unwrap();
    let first = context.new_fence_allocation(Counted(retired.clone())).unwrap();
    let second = context.new_fence_allocation(Counted(retired.clone())).unwrap();
    drop(context.new_fence_allocation(Counted(retired.clone())).unwrap());
    assert_eq!(retired.load(Ordering::Relaxed), 1);
    let later = second.new_fence();
    let latest = first.new_fence();
    assert_eq!((later.as_fence().seqno(), latest.as_fence().seqno()), (1, 2));
    assert_ne!(later.as_fence().context(), latest.as_fence().context());
    later.signal(Ok(()));
    latest.signal(Ok(()));
    assert_eq!(retired.load(Ordering::Relaxed), 3);
}

static REPORTED: Mutex<Vec<Report>> = Mutex::new(Vec::new());

#[test]
fn a_dropped_right_is_reported_and_a_forgotten_one_hurts_nobody() {
    set_report_handler(Some(|report| REPORTED.lock().unwrap().push(report.clone()))).unwrap();
    let (right, fence, retired) = pending();
    drop(right);
    assert_eq!(fence.status(), Some(Err(Error::CANCELED)));
    assert_eq!(retired.load(Ordering::Relaxed), 1);
    let reports = REPORTED.lock().unwrap().clone();
    assert!(reports.iter().any(|r| r.kind.contains("dropped") && r.driver_name == "device"), "{:?}", reports);
    set_report_handler(None).unwrap();

    let (right, fence, retired) = pending();
    std::mem::forget(right);
    assert_eq!((fence.status(), retired.load(Ordering::Relaxed)), (None, 0));
}

#[test]
fn decided_under_a_lock_is_settled_after_it() {
    let (right, fence, retired) = pending();
    let lock = Mutex::new(());
    let mut later = Settlement::new();
    {
        let _held = lock.lock().unwrap();
        right.decide(Ok(()), &mut later);
        assert!(fence.is_signaled());
        assert_eq!(retired.load(Ordering::Relaxed), 0);
    }
    drop(later);
    assert_eq!(retired.load(Ordering::Relaxed), 1);
    assert!(fence.is_settled());
}

struct Asked;
impl FenceContextOps for Asked {
    type FenceData = (AtomicU32, Mutex<Option<Deadline>>, Arc<AtomicU32>);
    const HAS_ENABLE_SIGNALING: bool = true;
    const HAS_SET_DEADLINE: bool = true;
    fn enable_signaling(data: &Self::FenceData) {
        data.0.fetch_add(1, Ordering::Relaxed);
        panic!("ends here");
    }
    fn set_deadline(data: &Self::FenceData, deadline: Deadline) {
        *data.1.lock().unwrap() = Some(deadline);
    }
    fn retire(data: Self::FenceData) {
        data.2.fetch_add(1, Ordering::Relaxed);
        panic!("ends here, too");
    }
}

#[test]
fn issuers_are_asked_and_their_panics_end_there() {
    let retired = count();
    let context = FenceContext::<Asked>::new("asked", "").unwrap();
    let data = (AtomicU32::new(0), Mutex::new(None), retired.clone());
    let right = context.new_fence_allocation(data).unwrap().new_fence();
    right.as_fence().enable_signaling();
    right.as_fence().enable_signaling();
    assert_eq!(right.0.load(Ordering::Relaxed), 1);
    let deadline = Deadline::from_nanoseconds(7);
    right.as_fence().set_deadline(deadline);
    assert_eq!(*right.1.lock().unwrap(), Some(deadline));
    right.signal(Ok(()));
    assert_eq!(retired.load(Ordering::Relaxed), 1);
}

#[test]
fn several_are_waited_for() {
    let (first, a, _) = pending();
    let (second, b, _) = pending();
    let fences = [a.clone(), b.clone()];
    assert_eq!(wait_any(&fences, Deadline::NOW), Err(Error::TIMED_OUT));
    assert_eq!(wait_any(&[], Deadline::NOW), Err(Error::INVALID));
    let (all, any) = (Fence::all(&fences).unwrap(), Fence::any(&fences).unwrap());
    let merged = Fence::merge(&fences).unwrap();
    let worker = thread::spawn(move || second.signal(Err(Error::IO)));
    assert_eq!(wait_any(&fences, Deadline::NEVER), Ok(1));
    assert_eq!(any.wait_result(Deadline::NEVER), Err(Error::IO));
    assert_eq!(wait_all(&fences, Deadline::NOW), Err(Error::TIMED_OUT));
    assert_eq!(all.status(), None);
    first.signal(Ok(()));
    assert_eq!(wait_all(&fences, Deadline::NOW), Ok(()));
    assert_eq!(all.wait_result(Deadline::NEVER), Err(Error::IO));
    assert_eq!(merged.wait(Deadline::NEVER), Ok(()));
    worker.join().unwrap();
    assert_eq!(Fence::stub().status(), Some(Ok(())));
    assert!(a == fences[0] && a != b);
}

#[test]
fn timelines_complete_by_number() {
    let timeline = Timeline::new("gpu", "ring", 10).unwrap();
    let fences: Vec<Fence> = (0..3).map(|_| timeline.emit().unwrap()).collect();
    assert_eq!(fences.iter().map(Fence::seqno).collect::<Vec<_>>(), [11, 12, 13]);
    assert_eq!(timeline.emitted(), 13);
    assert_eq!(timeline.completed(), 10);
    timeline.signal_up_to(11);
    assert!(timeline.signal(&fences[1], Err(Error::IO)) && !timeline.signal(&fences[0], Ok(())));
    timeline.fail(Error::NO_DEVICE);
    let results: Vec<_> = fences.iter().map(|f| f.status()).collect();
    assert_eq!(results, [Some(Ok(())), Some(Err(Error::IO)), Some(Err(Error::NO_DEVICE))]);
}

#[test]
fn sync_files_are_descriptors_of_fences() {
    use std::os::unix::io::{AsFd, OwnedFd};
    let (right, fence, _) = pending();
    let file = fence.export().unwrap();
    assert_eq!(SyncFile::import(&file), Ok(fence));
    let merged = file.merge(&file).unwrap();
    let elsewhere: OwnedFd = merged.as_fd().try_clone_to_owned().unwrap();
    right.signal(Ok(()));
    assert_eq!(SyncFile::import(&elsewhere).unwrap().wait_result(Deadline::NEVER), Ok(()));
    let null = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(SyncFile::import(&null), Err(Error::INVALID));
}
