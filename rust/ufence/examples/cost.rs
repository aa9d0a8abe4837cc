//! What operations cost in Rust, in ns, a line each: read by bench/languages, which has the figures of C++.
use std::future::Future;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use ufence::{Fence, FenceContext, FenceContextOps};

struct Device;
impl FenceContextOps for Device {
    type FenceData = ();
}

struct Nobody;
impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

/// The compiler does not know what it is, nor that it is used: std::hint has this since Rust 1.66.
fn black_box<T>(value: T) -> T {
    // SAFETY: read once, and never dropped here.
    unsafe {
        let copy = ptr::read_volatile(&value);
        std::mem::forget(value);
        copy
    }
}

const BATCHES: usize = 31;

/// The median of the batches' means.
fn measure(name: &str, operations: u32, mut operation: impl FnMut()) {
    let mut means: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let begin = Instant::now();
            for _ in 0..operations {
                operation();
            }
            begin.elapsed().as_nanos() as f64 / f64::from(operations)
        })
        .collect();
    means.sort_by(f64::total_cmp);
    println!("{} {:.2}", name, means[BATCHES / 2]);
}

fn main() {
    let context = FenceContext::<Device>::new("bench", "queue").expect("no memory");
    let signaled = Fence::stub();
    measure("is_signaled", 400_000, || {
        black_box(black_box(&signaled).is_signaled());
    });
    measure("create_signal_release", 10_000, || {
        let fence = context.new_fence_allocation(()).expect("no memory").new_fence();
        let consumer = fence.as_fence().clone();
        fence.signal(Ok(()));
        black_box(consumer);
    });
    let waker = Waker::from(Arc::new(Nobody));
    measure("await_signaled", 400_000, || {
        let mut waits = black_box(&signaled).future();
        let polled = Pin::new(&mut waits).poll(&mut Context::from_waker(&waker));
        assert!(matches!(polled, Poll::Ready(Ok(()))));
    });
}
