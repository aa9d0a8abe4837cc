// Made from ufence/driver.h by rust/bindings. Not edited by hand.

pub const UFENCE_ABI_VERSION: u32 = 1;
pub const UFENCE_DRIVER_SYMBOL: &[u8; 14usize] = b"ufence_driver\0";
pub const UFENCE_NOTE_NAME: &[u8; 7usize] = b"ufence\0";
pub const UFENCE_NOTE_TYPE_ABI: u32 = 1;
pub type __uint32_t = std::os::raw::c_uint;
pub type __int64_t = std::os::raw::c_long;
pub type __uint64_t = std::os::raw::c_ulong;
pub const UFENCE_F_ENABLE: ufence_feature = 1;
pub const UFENCE_F_POLL: ufence_feature = 2;
pub const UFENCE_F_DEADLINE: ufence_feature = 4;
pub const UFENCE_F_RETIRE: ufence_feature = 8;
pub const UFENCE_F_CANCEL: ufence_feature = 16;
pub const UFENCE_F_TIMELINE: ufence_feature = 32;
pub const UFENCE_F_LEGACY: ufence_feature = 64;
pub const UFENCE_F_OBSERVE: ufence_feature = 128;
pub const UFENCE_F_ALL: ufence_feature = 255;
pub type ufence_feature = std::os::raw::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_device {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_fence {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_job {
    pub size: u32,
    pub opcode: u32,
    pub context: u64,
    pub seqno: u64,
    pub args: *mut std::os::raw::c_void,
    pub args_size: u64,
    pub driver_private: [*mut std::os::raw::c_void; 4usize],
    pub host: *mut std::os::raw::c_void,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_settlement {
    pub head: *mut std::os::raw::c_void,
}
pub type ufence_callback_fn =
    ::std::option::Option<unsafe extern "C" fn(arg1: *mut ufence_callback, arg2: *mut ufence_fence)>;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_callback {
    pub reserved: [*mut std::os::raw::c_void; 8usize],
    pub fn_: ufence_callback_fn,
    pub device: *mut ufence_device,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_host {
    pub size: u32,
    pub abi_version: u32,
    pub decide: ::std::option::Option<
        unsafe extern "C" fn(
            arg1: *mut ufence_job,
            error: std::os::raw::c_int,
            later: *mut ufence_settlement,
        ) -> std::os::raw::c_int,
    >,
    pub settle: ::std::option::Option<unsafe extern "C" fn(arg1: *mut ufence_settlement)>,
    pub signal: ::std::option::Option<
        unsafe extern "C" fn(arg1: *mut ufence_job, error: std::os::raw::c_int) -> std::os::raw::c_int,
    >,
    pub decide_up_to: ::std::option::Option<
        unsafe extern "C" fn(
            arg1: *mut ufence_device,
            seqno: u64,
            later: *mut ufence_settlement,
        ) -> std::os::raw::c_int,
    >,
    pub decide_notify: ::std::option::Option<
        unsafe extern "C" fn(arg1: *mut ufence_device, later: *mut ufence_settlement) -> std::os::raw::c_int,
    >,
    pub device_word: ::std::option::Option<
        unsafe extern "C" fn(arg1: *mut ufence_device, word: *const u32) -> std::os::raw::c_int,
    >,
    pub signal_locked: ::std::option::Option<
        unsafe extern "C" fn(arg1: *mut ufence_job, error: std::os::raw::c_int) -> std::os::raw::c_int,
    >,
    pub thread_start: ::std::option::Option<
        unsafe extern "C" fn(
            arg1: *mut ufence_device,
            name: *const std::os::raw::c_char,
            fn_: ::std::option::Option<unsafe extern "C" fn(arg1: *mut std::os::raw::c_void)>,
            arg: *mut std::os::raw::c_void,
        ) -> std::os::raw::c_int,
    >,
    pub callback_add: ::std::option::Option<
        unsafe extern "C" fn(
            arg1: *mut ufence_device,
            arg2: *mut ufence_fence,
            arg3: *mut ufence_callback,
        ) -> std::os::raw::c_int,
    >,
    pub callback_remove: ::std::option::Option<
        unsafe extern "C" fn(arg1: *mut ufence_fence, arg2: *mut ufence_callback) -> std::os::raw::c_int,
    >,
    pub fence_status:
        ::std::option::Option<unsafe extern "C" fn(arg1: *mut ufence_fence) -> std::os::raw::c_int>,
    pub report: ::std::option::Option<
        unsafe extern "C" fn(arg1: *mut ufence_device, text: *const std::os::raw::c_char),
    >,
    pub now_ns: ::std::option::Option<unsafe extern "C" fn() -> i64>,
    pub option: ::std::option::Option<
        unsafe extern "C" fn(
            arg1: *mut ufence_device,
            name: *const std::os::raw::c_char,
        ) -> *const std::os::raw::c_char,
    >,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_device_ops {
    pub size: u32,
    pub reserved: u32,
    pub submit: ::std::option::Option<
        unsafe extern "C" fn(state: *mut std::os::raw::c_void, arg1: *mut ufence_job) -> std::os::raw::c_int,
    >,
    pub enable_signaling: ::std::option::Option<
        unsafe extern "C" fn(state: *mut std::os::raw::c_void, arg1: *mut ufence_job) -> std::os::raw::c_int,
    >,
    pub poll: ::std::option::Option<
        unsafe extern "C" fn(state: *mut std::os::raw::c_void, arg1: *mut ufence_job) -> std::os::raw::c_int,
    >,
    pub set_deadline: ::std::option::Option<
        unsafe extern "C" fn(state: *mut std::os::raw::c_void, arg1: *mut ufence_job, deadline_ns: i64),
    >,
    pub retire:
        ::std::option::Option<unsafe extern "C" fn(state: *mut std::os::raw::c_void, arg1: *mut ufence_job)>,
    pub cancel:
        ::std::option::Option<unsafe extern "C" fn(state: *mut std::os::raw::c_void, arg1: *mut ufence_job)>,
    pub request_notify:
        ::std::option::Option<unsafe extern "C" fn(state: *mut std::os::raw::c_void, seqno: u64)>,
    pub retire_timeline: ::std::option::Option<unsafe extern "C" fn(state: *mut std::os::raw::c_void)>,
    pub lock:
        ::std::option::Option<unsafe extern "C" fn(state: *mut std::os::raw::c_void, arg1: *mut ufence_job)>,
    pub unlock:
        ::std::option::Option<unsafe extern "C" fn(state: *mut std::os::raw::c_void, arg1: *mut ufence_job)>,
    pub wait: ::std::option::Option<
        unsafe extern "C" fn(
            state: *mut std::os::raw::c_void,
            arg1: *mut ufence_job,
            deadline_ns: i64,
        ) -> std::os::raw::c_int,
    >,
    pub release:
        ::std::option::Option<unsafe extern "C" fn(state: *mut std::os::raw::c_void, arg1: *mut ufence_job)>,
    pub observe: ::std::option::Option<
        unsafe extern "C" fn(
            state: *mut std::os::raw::c_void,
            arg1: *mut ufence_fence,
        ) -> std::os::raw::c_int,
    >,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_option {
    pub name: *const std::os::raw::c_char,
    pub value: *const std::os::raw::c_char,
    pub description: *const std::os::raw::c_char,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_driver {
    pub size: u32,
    pub abi_version: u32,
    pub features: u64,
    pub name: *const std::os::raw::c_char,
    pub timeline: *const std::os::raw::c_char,
    pub description: *const std::os::raw::c_char,
    pub ops: *const ufence_device_ops,
    pub init: ::std::option::Option<
        unsafe extern "C" fn(
            arg1: *const ufence_host,
            arg2: *mut ufence_device,
            state: *mut *mut std::os::raw::c_void,
        ) -> std::os::raw::c_int,
    >,
    pub stop: ::std::option::Option<unsafe extern "C" fn(state: *mut std::os::raw::c_void)>,
    pub exit: ::std::option::Option<unsafe extern "C" fn(state: *mut std::os::raw::c_void)>,
    pub interface_name: *const std::os::raw::c_char,
    pub interface_version: u32,
    pub options_count: u32,
    pub options: *const ufence_option,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_abi_note {
    pub namesz: u32,
    pub descsz: u32,
    pub type_: u32,
    pub name: [std::os::raw::c_char; 8usize],
    pub abi_version: u32,
}
