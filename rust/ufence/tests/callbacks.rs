use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use ufence::*;

struct Device;
impl FenceContextOps for Device {
    type FenceData = ();
}

fn pending() -> (DriverFence<Device>, Fence) {
    let context = FenceContext::<Device>::new("device", "queue").unwrap();
    let fence = context.new_fence_allocation(()).unwrap().new_fence();
    let consumers = fence.as_fence().clone();
    (fence, consumers)
}

#[test]
fn run_once_or_are_given_back() {
    let (right, fence) = pending();
    let ran = Arc::new(AtomicU32::new(0));
    let count = |ran: &Arc<AtomicU32>| {
        let ran = ran.clone();
        move || {
            ran.fetch_add(1, Ordering::Relaxed);
        }
    };
    let kept = FenceCallbackRegistration::new(&fence, count(&ran)).unwrap();
    let dropped = FenceCallbackRegistration::new(&fence, count(&ran)).unwrap();
    assert!(kept.fence() == &fence);
    drop(dropped);
    assert_eq!(Arc::strong_count(&ran), 2); // its callback is gone
    right.signal(Ok(()));
    assert_eq!(ran.load(Ordering::Relaxed), 1);
    match FenceCallbackRegistration::new(&fence, count(&ran)) {
        Err(CallbackError::AlreadySignaled(mut back)) => back.on_signal(),
        Err(CallbackError::Other(error, _)) => panic!("{}", error),
        Ok(_) => panic!("registered on a fence that is signaled"),
    }
    assert_eq!(ran.load(Ordering::Relaxed), 2);
    drop(kept);
    assert_eq!(Arc::strong_count(&ran), 1);
}

#[test]
fn the_drop_of_a_registration_waits_for_the_callback() {
    let (right, fence) = pending();
    let (inside, is_inside) = sync_channel(0);
    let (proceed, may_proceed) = channel::<()>();
    let ended = Arc::new(AtomicU32::new(0));
    let registration = FenceCallbackRegistration::new(&fence, {
        let ended = ended.clone();
        move || {
            inside.send(()).unwrap();
            may_proceed.recv().unwrap();
            ended.store(1, Ordering::Relaxed);
        }
    })
    .unwrap();
    let signaler = thread::spawn(move || right.signal(Ok(())));
    is_inside.recv().unwrap();
    let remover = thread::spawn({
        let ended = ended.clone();
        move || {
            drop(registration);
            ended.load(Ordering::Relaxed)
        }
    });
    proceed.send(()).unwrap();
    assert_eq!(remover.join().unwrap(), 1);
    signaler.join().unwrap();
}

#[test]
fn a_callback_drops_its_own_registration() {
    struct OnDrop(Arc<AtomicU32>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    struct Own {
        slot: Arc<Mutex<Option<FenceCallbackRegistration<Own>>>>,
        alive: OnDrop,
    }
    impl FenceCallback for Own {
        fn on_signal(&mut self) {
            drop(self.slot.lock().unwrap().take());
            assert_eq!(self.alive.0.load(Ordering::Relaxed), 0); // still there
        }
    }
    let (right, fence) = pending();
    let (slot, dropped) = (Arc::new(Mutex::new(None)), Arc::new(AtomicU32::new(0)));
    let own = Own { slot: slot.clone(), alive: OnDrop(dropped.clone()) };
    *slot.lock().unwrap() = Some(FenceCallbackRegistration::new(&fence, own).unwrap());
    right.signal(Ok(()));
    assert!(slot.lock().unwrap().is_none());
    assert_eq!((dropped.load(Ordering::Relaxed), Arc::strong_count(&slot)), (1, 1));
}

#[test]
fn a_panic_ends_in_the_callback() {
    let (right, fence) = pending();
    let ran = Arc::new(AtomicU32::new(0));
    let first = FenceCallbackRegistration::new(&fence, || panic!("on purpose")).unwrap();
    let second = FenceCallbackRegistration::new(&fence, {
        let ran = ran.clone();
        move || ran.store(1, Ordering::Relaxed)
    });
    right.signal(Ok(()));
    assert_eq!(ran.load(Ordering::Relaxed), 1);
    drop((first, second));
}

struct Woken(AtomicU32);
impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_future_is_woken_once_and_has_the_result() {
    let (right, fence) = pending();
    let (first, second) = (Arc::new(Woken(AtomicU32::new(0))), Arc::new(Woken(AtomicU32::new(0))));
    let mut future = fence.future();
    let mut poll = |woken: &Arc<Woken>| {
        let waker = Waker::from(woken.clone());
        Pin::new(&mut future).poll(&mut Context::from_waker(&waker))
    };
    assert_eq!(poll(&first), Poll::Pending);
    assert_eq!(poll(&second), Poll::Pending); // the task has moved
    right.signal(Err(Error::IO));
    assert_eq!((first.0.load(Ordering::Relaxed), second.0.load(Ordering::Relaxed)), (0, 1));
    assert_eq!(poll(&second), Poll::Ready(Err(Error::IO)));
    drop(future);
    assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (1, 1));
}

#[test]
fn a_dropped_future_leaves_nothing_behind() {
    let (right, fence) = pending();
    let woken = Arc::new(Woken(AtomicU32::new(0)));
    let waker = Waker::from(woken.clone());
    let mut future = fence.future();
    assert_eq!(Pin::new(&mut future).poll(&mut Context::from_waker(&waker)), Poll::Pending);
    drop((future, waker));
    assert_eq!(Arc::strong_count(&woken), 1);
    right.signal(Ok(()));
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
}

/// Parks the thread until the task is woken.
struct Parked(thread::Thread);
impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = Box::pin(future);
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return result,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn tasks_await_what_other_threads_signal() {
    let (rights, fences): (Vec<_>, Vec<_>) = (0..1000).map(|_| pending()).unzip();
    let signaler = thread::spawn(move || rights.into_iter().for_each(|right| right.signal(Ok(()))));
    block_on(async {
        for fence in &fences {
            assert_eq!(fence.future().await, Ok(()));
        }
    });
    signaler.join().unwrap();
}
