//! Tests and examples find the libufence that ufence-sys found.
fn main() {
    if let Ok(folder) = std::env::var("DEP_UFENCE_LIBDIR") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder);
    }
}
