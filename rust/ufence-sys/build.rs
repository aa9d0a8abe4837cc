//! Finds libufence: in the folder UFENCE_LIB_DIR, or by pkg-config.
use std::env;
use std::process::{exit, Command};

fn main() {
    println!("cargo:rerun-if-env-changed=UFENCE_LIB_DIR");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    let folder = match env::var("UFENCE_LIB_DIR") {
        Ok(folder) => folder,
        Err(_) => pkg_config(),
    };
    println!("cargo:rustc-link-search=native={}", folder);
    println!("cargo:rustc-link-lib=dylib=ufence");
    println!("cargo:libdir={}", folder);
}

/// The folder of an installed libufence that has all that these bindings declare.
fn pkg_config() -> String {
    let asked = Command::new("pkg-config")
        .args(["--atleast-version=0.2", "--variable=libdir", "ufence"])
        .output();
    match asked {
        Ok(found) if found.status.success() => {
            let known = Command::new("pkg-config").args(["--variable=libdir", "ufence"]).output();
            String::from_utf8_lossy(&known.expect("pkg-config ran before").stdout).trim().to_string()
        }
        Ok(_) => fail("pkg-config knows no ufence of version 0.2 or later; install libufence-dev, or set UFENCE_LIB_DIR"),
        Err(why) => fail(&format!("pkg-config: {}; install it, or set UFENCE_LIB_DIR", why)),
    }
}

fn fail(why: &str) -> ! {
    eprintln!("ufence-sys: {}", why);
    exit(1);
}
