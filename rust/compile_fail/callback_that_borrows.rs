// error: E0373
pub fn register(fence: &ufence::Fence) {
    let count = std::sync::atomic::AtomicU32::new(0);
    let count_one = || drop(count.fetch_add(1, std::sync::atomic::Ordering::Relaxed)); // right: let count_one = move || drop(count.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let _kept = ufence::FenceCallbackRegistration::new(fence, count_one).is_ok();
}
