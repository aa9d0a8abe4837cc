// error: E0277
pub fn register(fence: &ufence::Fence, count: std::rc::Rc<u32>) {
    let _kept = ufence::FenceCallbackRegistration::new(fence, move || drop(count.clone())).is_ok(); // wrong
}
