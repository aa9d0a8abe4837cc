// error: E0505
pub fn keep(fence: ufence::DriverFence<Device>) -> String {
    let data: &String = &fence;
    fence.signal(Ok(())); // wrong
    data.clone()
}
pub struct Device;
impl ufence::FenceContextOps for Device {
    type FenceData = String;
}
