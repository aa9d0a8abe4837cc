// error: E0277
pub struct Device;
impl ufence::FenceContextOps for Device {
    type FenceData = std::cell::Cell<u32>; // right: type FenceData = std::sync::atomic::AtomicU32;
}
