use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::{CallbackError, Fence, FenceCallback, FenceCallbackRegistration, Result};

/// The result of a fence, when it is signaled: [`Fence::future`].
///
/// A callback of the fence wakes the task, and no thread waits. Dropping the future takes the callback
/// out again. Of a fence that is signaled already nothing is allocated, and no reference is taken.
pub struct FenceFuture(State);

enum State {
    Ready(Result),
    Pending(Pending),
}

struct Pending {
    fence: Fence,
    waiting: Option<(Arc<Mutex<Option<Waker>>>, FenceCallbackRegistration<Wake>)>,
}

struct Wake(Arc<Mutex<Option<Waker>>>);

impl FenceCallback for Wake {
    fn on_signal(&mut self) {
        // The lock is dropped before: the task may run in wake(), and drop the future.
        let waker = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl FenceFuture {
    #[inline]
    pub(crate) fn ready(result: Result) -> FenceFuture {
        FenceFuture(State::Ready(result))
    }
    #[inline]
    pub(crate) fn of(fence: Fence) -> FenceFuture {
        FenceFuture(State::Pending(Pending { fence, waiting: None }))
    }
}

impl Future for FenceFuture {
    type Output = Result;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result> {
        match &mut self.0 {
            State::Ready(result) => Poll::Ready(*result),
            State::Pending(pending) => pending.poll(context),
        }
    }
}

impl Pending {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result> {
        if let Some(result) = self.fence.status() {
            return Poll::Ready(result);
        }
        match &self.waiting {
            // The callback is registered once; a task that moved has another waker.
            Some((slot, _)) => {
                let mut waker = slot.lock().unwrap_or_else(PoisonError::into_inner);
                match &*waker {
                    Some(known) if known.will_wake(context.waker()) => {}
                    _ => *waker = Some(context.waker().clone()),
                }
            }
            None => {
                let slot = Arc::new(Mutex::new(Some(context.waker().clone())));
                match FenceCallbackRegistration::new(&self.fence, Wake(slot.clone())) {
                    Ok(registration) => self.waiting = Some((slot, registration)),
                    Err(CallbackError::AlreadySignaled(_)) => {}
                    Err(CallbackError::Other(error, _)) => return Poll::Ready(Err(error)),
                }
            }
        }
        // Signaled meanwhile: the callback may have found no waker, or the old one.
        match self.fence.status() {
            Some(result) => Poll::Ready(result),
            None => Poll::Pending,
        }
    }
}
