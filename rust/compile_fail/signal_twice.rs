// error: E0382
pub fn twice<T: ufence::FenceContextOps>(fence: ufence::DriverFence<T>) {
    fence.signal(Ok(()));
    fence.signal(Ok(())); // wrong
}
