//! The functions and types of `ufence/ufence.h`, as bindgen reads them. What they promise is said in
//! that header; the crate `ufence` makes types of it that cannot be misused.
#![allow(non_camel_case_types)]

mod bindings;
pub use bindings::*;
