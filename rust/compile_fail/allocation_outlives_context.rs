// error: E0505
pub fn outlive<T: ufence::FenceContextOps>(context: ufence::FenceContext<T>, data: T::FenceData) {
    let allocation = context.new_fence_allocation(data).unwrap();
    drop(context); // wrong
    drop(allocation);
}
