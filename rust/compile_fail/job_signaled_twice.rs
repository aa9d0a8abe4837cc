// error: E0382
pub fn twice(job: ufence_driver::Job) {
    job.signal(Ok(()));
    job.signal(Ok(())); // wrong
}
