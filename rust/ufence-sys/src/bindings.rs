// Made from ufence/ufence.h by rust/bindings. Not edited by hand.

pub const UFENCE_ABI_VERSION: u32 = 1;
pub const UFENCE_DRIVER_SYMBOL: &[u8; 14usize] = b"ufence_driver\0";
pub const UFENCE_NOTE_NAME: &[u8; 7usize] = b"ufence\0";
pub const UFENCE_NOTE_TYPE_ABI: u32 = 1;
pub const UFENCE_NO_PASSES: u32 = 4294967295;
pub type __uint8_t = std::os::raw::c_uchar;
pub type __int32_t = std::os::raw::c_int;
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
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_signaler {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_fence_room {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_timeline_issuer {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_syncobj {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_shared_timeline {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_channel {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_module_host {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_module {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_scheduler {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_entity {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct sync_file_info {
    _unused: [u8; 0],
}
extern "C" {
    pub fn ufence_version() -> u32;
}
extern "C" {
    pub fn ufence_fence_create(
        context: u64,
        seqno: u64,
        fence: *mut *mut ufence_fence,
        right: *mut *mut ufence_signaler,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_fence_create_signaled(
        timestamp_ns: i64,
        fence: *mut *mut ufence_fence,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_fence_get_stub() -> *mut ufence_fence;
}
extern "C" {
    pub fn ufence_fence_allocate_contexts(n: u64) -> u64;
}
extern "C" {
    pub fn ufence_fence_get(fence: *mut ufence_fence) -> *mut ufence_fence;
}
extern "C" {
    pub fn ufence_fence_put(fence: *mut ufence_fence);
}
extern "C" {
    pub fn ufence_fence_is_signaled(fence: *mut ufence_fence) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_fence_is_settled(fence: *mut ufence_fence) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_fence_status(fence: *mut ufence_fence) -> std::os::raw::c_int;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_fence_view {
    pub state: u32,
    pub reserved: [u32; 9usize],
    pub error: i32,
}
pub const UFENCE_FENCE_SIGNALED: ufence_fence_state = 4;
pub type ufence_fence_state = std::os::raw::c_uint;
extern "C" {
    pub fn ufence_fence_timestamp_ns(fence: *mut ufence_fence) -> i64;
}
extern "C" {
    pub fn ufence_fence_context(fence: *const ufence_fence) -> u64;
}
extern "C" {
    pub fn ufence_fence_seqno(fence: *const ufence_fence) -> u64;
}
extern "C" {
    pub fn ufence_fence_driver_name(
        fence: *const ufence_fence,
        buffer: *mut std::os::raw::c_char,
        size: usize,
    ) -> usize;
}
extern "C" {
    pub fn ufence_fence_timeline_name(
        fence: *const ufence_fence,
        buffer: *mut std::os::raw::c_char,
        size: usize,
    ) -> usize;
}
extern "C" {
    pub fn ufence_fence_describe(
        fence: *mut ufence_fence,
        buffer: *mut std::os::raw::c_char,
        size: usize,
    ) -> std::os::raw::c_long;
}
extern "C" {
    pub fn ufence_fence_wait(fence: *mut ufence_fence, deadline_ns: i64) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_fence_wait_result(fence: *mut ufence_fence, deadline_ns: i64) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_fence_wait_settled(fence: *mut ufence_fence, deadline_ns: i64) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_fence_wait_any(
        fences: *const *mut ufence_fence,
        n: usize,
        deadline_ns: i64,
    ) -> std::os::raw::c_long;
}
extern "C" {
    pub fn ufence_fence_wait_all(
        fences: *const *mut ufence_fence,
        n: usize,
        deadline_ns: i64,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_fence_pollable_fd(fence: *mut ufence_fence) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_fence_enable_signaling(fence: *mut ufence_fence);
}
extern "C" {
    pub fn ufence_fence_poll(fence: *mut ufence_fence) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_fence_set_deadline(fence: *mut ufence_fence, deadline_ns: i64);
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_fence_cb {
    pub node: [usize; 8usize],
    pub fn_: ::std::option::Option<unsafe extern "C" fn(fence: *mut ufence_fence, cb: *mut ufence_fence_cb)>,
    pub data: *mut std::os::raw::c_void,
}
extern "C" {
    pub fn ufence_fence_add_callback(
        fence: *mut ufence_fence,
        cb: *mut ufence_fence_cb,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_fence_remove_callback(
        fence: *mut ufence_fence,
        cb: *mut ufence_fence_cb,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_signaler_signal(
        right: *mut ufence_signaler,
        error: std::os::raw::c_int,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_signaler_decide(
        right: *mut ufence_signaler,
        error: std::os::raw::c_int,
        later: *mut ufence_settlement,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_settle(later: *mut ufence_settlement);
}
extern "C" {
    pub fn ufence_signaler_share(right: *const ufence_signaler) -> *mut ufence_signaler;
}
extern "C" {
    pub fn ufence_signaler_fence(right: *const ufence_signaler) -> *mut ufence_fence;
}
extern "C" {
    pub fn ufence_signaler_drop(right: *mut ufence_signaler);
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_backend_ops {
    pub enable_signaling:
        ::std::option::Option<unsafe extern "C" fn(data: *mut ufence_backend) -> std::os::raw::c_int>,
    pub poll: ::std::option::Option<unsafe extern "C" fn(data: *mut ufence_backend) -> std::os::raw::c_int>,
    pub set_deadline:
        ::std::option::Option<unsafe extern "C" fn(data: *mut ufence_backend, deadline_ns: i64)>,
    pub retire: ::std::option::Option<unsafe extern "C" fn(data: *mut ufence_backend, by_last_op: u8)>,
    pub reserved: [*mut std::os::raw::c_void; 4usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_backend {
    pub ops: *const ufence_backend_ops,
}
extern "C" {
    pub fn ufence_fence_create_with(
        context: u64,
        seqno: u64,
        data: *mut ufence_backend,
        fence: *mut *mut ufence_fence,
        right: *mut *mut ufence_signaler,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_fence_room_reserve(room: *mut *mut ufence_fence_room) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_fence_room_drop(room: *mut ufence_fence_room);
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_timeline_options {
    pub size: usize,
    pub driver_name: *const std::os::raw::c_char,
    pub timeline_name: *const std::os::raw::c_char,
    pub initial_seqno: u64,
}
extern "C" {
    pub fn ufence_timeline_create(
        options: *const ufence_timeline_options,
        issuer: *mut *mut ufence_timeline_issuer,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_timeline_emit(
        issuer: *mut ufence_timeline_issuer,
        fence: *mut *mut ufence_fence,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_timeline_create_unordered(
        issuer: *mut ufence_timeline_issuer,
        data: *mut ufence_backend,
        fence: *mut *mut ufence_fence,
        right: *mut *mut ufence_signaler,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_timeline_create_reserved(
        issuer: *mut ufence_timeline_issuer,
        room: *mut ufence_fence_room,
        data: *mut ufence_backend,
        fence: *mut *mut ufence_fence,
        right: *mut *mut ufence_signaler,
    );
}
extern "C" {
    pub fn ufence_timeline_signal_up_to(issuer: *mut ufence_timeline_issuer, seqno: u64);
}
extern "C" {
    pub fn ufence_timeline_signal(
        issuer: *mut ufence_timeline_issuer,
        fence: *mut ufence_fence,
        error: std::os::raw::c_int,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_timeline_fail(issuer: *mut ufence_timeline_issuer, error: std::os::raw::c_int);
}
extern "C" {
    pub fn ufence_timeline_context(issuer: *const ufence_timeline_issuer) -> u64;
}
extern "C" {
    pub fn ufence_timeline_completed(issuer: *const ufence_timeline_issuer) -> u64;
}
extern "C" {
    pub fn ufence_timeline_emitted(issuer: *const ufence_timeline_issuer) -> u64;
}
extern "C" {
    pub fn ufence_timeline_drop(issuer: *mut ufence_timeline_issuer);
}
pub const UFENCE_ARRAY_ALL: ufence_array_mode = 0;
pub const UFENCE_ARRAY_ANY: ufence_array_mode = 1;
pub type ufence_array_mode = std::os::raw::c_uint;
extern "C" {
    pub fn ufence_array_create(
        fences: *const *mut ufence_fence,
        n: usize,
        mode: std::os::raw::c_uint,
        array: *mut *mut ufence_fence,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_chain_create(
        previous: *mut ufence_fence,
        contained: *mut ufence_fence,
        point: u64,
        chain: *mut *mut ufence_fence,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_merge(
        fences: *const *mut ufence_fence,
        n: usize,
        merged: *mut *mut ufence_fence,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_sync_file_export(
        fence: *mut ufence_fence,
        name: *const std::os::raw::c_char,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_sync_file_import(
        file: std::os::raw::c_int,
        fence: *mut *mut ufence_fence,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_sync_file_merge(
        a: std::os::raw::c_int,
        b: std::os::raw::c_int,
        name: *const std::os::raw::c_char,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_sync_file_get_info(
        file: std::os::raw::c_int,
        info: *mut sync_file_info,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_sync_file_set_deadline(file: std::os::raw::c_int, deadline_ns: i64) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_syncobj_create(
        signaled: std::os::raw::c_int,
        object: *mut *mut ufence_syncobj,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_syncobj_get(object: *mut ufence_syncobj) -> *mut ufence_syncobj;
}
extern "C" {
    pub fn ufence_syncobj_put(object: *mut ufence_syncobj);
}
extern "C" {
    pub fn ufence_syncobj_replace_fence(
        object: *mut ufence_syncobj,
        fence: *mut ufence_fence,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_syncobj_add_point(
        object: *mut ufence_syncobj,
        fence: *mut ufence_fence,
        point: u64,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_syncobj_find_fence(
        object: *mut ufence_syncobj,
        point: u64,
        fence: *mut *mut ufence_fence,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_syncobj_find_fence_by(
        object: *mut ufence_syncobj,
        point: u64,
        deadline_ns: i64,
        fence: *mut *mut ufence_fence,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_syncobj_transfer(
        from: *mut ufence_syncobj,
        from_point: u64,
        to: *mut ufence_syncobj,
        to_point: u64,
        submit_by_ns: i64,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_syncobj_notify(
        object: *mut ufence_syncobj,
        event_fd: std::os::raw::c_int,
        point: u64,
        when_available: std::os::raw::c_int,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_syncobj_query(object: *mut ufence_syncobj, signaled: *mut u64) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_syncobj_last_submitted(
        object: *mut ufence_syncobj,
        submitted: *mut u64,
    ) -> std::os::raw::c_int;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_syncobj_point {
    pub object: *mut ufence_syncobj,
    pub point: u64,
}
pub const UFENCE_SYNCOBJ_WAIT_ALL: ufence_syncobj_wait_flag = 1;
pub const UFENCE_SYNCOBJ_WAIT_FOR_SUBMIT: ufence_syncobj_wait_flag = 2;
pub const UFENCE_SYNCOBJ_WAIT_AVAILABLE: ufence_syncobj_wait_flag = 4;
pub type ufence_syncobj_wait_flag = std::os::raw::c_uint;
extern "C" {
    pub fn ufence_syncobj_wait(
        points: *const ufence_syncobj_point,
        n: usize,
        flags: std::os::raw::c_uint,
        deadline_ns: i64,
    ) -> std::os::raw::c_long;
}
extern "C" {
    pub fn ufence_syncobj_export(object: *mut ufence_syncobj) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_syncobj_import(
        fd: std::os::raw::c_int,
        object: *mut *mut ufence_syncobj,
    ) -> std::os::raw::c_int;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_shared_timeline_options {
    pub size: usize,
    pub name: *const std::os::raw::c_char,
    pub initial_point: u64,
    pub peers_may_signal: std::os::raw::c_int,
}
extern "C" {
    pub fn ufence_shared_timeline_create(
        options: *const ufence_shared_timeline_options,
        timeline: *mut *mut ufence_shared_timeline,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_shared_timeline_import(
        fd: std::os::raw::c_int,
        timeline: *mut *mut ufence_shared_timeline,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_shared_timeline_get(timeline: *mut ufence_shared_timeline) -> *mut ufence_shared_timeline;
}
extern "C" {
    pub fn ufence_shared_timeline_put(timeline: *mut ufence_shared_timeline);
}
extern "C" {
    pub fn ufence_shared_timeline_export(
        timeline: *mut ufence_shared_timeline,
        may_signal: std::os::raw::c_int,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_shared_timeline_is_owner(timeline: *const ufence_shared_timeline) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_shared_timeline_may_signal(timeline: *const ufence_shared_timeline) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_shared_timeline_name(
        timeline: *const ufence_shared_timeline,
        buffer: *mut std::os::raw::c_char,
        size: usize,
    ) -> usize;
}
extern "C" {
    pub fn ufence_shared_timeline_value(timeline: *const ufence_shared_timeline) -> u64;
}
extern "C" {
    pub fn ufence_shared_timeline_error(timeline: *const ufence_shared_timeline) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_shared_timeline_signal(
        timeline: *mut ufence_shared_timeline,
        point: u64,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_shared_timeline_fail(
        timeline: *mut ufence_shared_timeline,
        error: std::os::raw::c_int,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_shared_timeline_wait(
        timeline: *mut ufence_shared_timeline,
        point: u64,
        deadline_ns: i64,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_shared_timeline_fence_at(
        timeline: *mut ufence_shared_timeline,
        point: u64,
        fence: *mut *mut ufence_fence,
    ) -> std::os::raw::c_int;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_channel_options {
    pub size: usize,
    pub bytes_max: usize,
    pub items_max: usize,
    pub any_user: std::os::raw::c_int,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_channel_item {
    pub fence: *mut ufence_fence,
    pub object: *mut ufence_syncobj,
    pub timeline: *mut ufence_shared_timeline,
    pub may_signal: std::os::raw::c_int,
    pub reserved: std::os::raw::c_int,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_parcel {
    pub size: usize,
    pub tag: u64,
    pub bytes: *mut std::os::raw::c_void,
    pub byte_count: usize,
    pub items: *mut ufence_channel_item,
    pub item_count: usize,
    pub sender_pid: i32,
    pub sender_uid: u32,
    pub sender_gid: u32,
}
extern "C" {
    pub fn ufence_channel_adopt(
        socket: std::os::raw::c_int,
        options: *const ufence_channel_options,
        channel: *mut *mut ufence_channel,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_channel_pair(
        options: *const ufence_channel_options,
        channels: *mut *mut ufence_channel,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_channel_destroy(channel: *mut ufence_channel);
}
extern "C" {
    pub fn ufence_channel_fd(channel: *const ufence_channel) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_channel_send(
        channel: *mut ufence_channel,
        parcel: *const ufence_parcel,
        deadline_ns: i64,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_channel_receive(
        channel: *mut ufence_channel,
        parcel: *mut ufence_parcel,
        deadline_ns: i64,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_module_host_create(host: *mut *mut ufence_module_host) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_module_host_destroy(host: *mut ufence_module_host);
}
extern "C" {
    pub fn ufence_module_load(
        host: *mut ufence_module_host,
        path: *const std::os::raw::c_char,
        module: *mut *mut ufence_module,
        why: *mut std::os::raw::c_char,
        why_size: usize,
    ) -> std::os::raw::c_int;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_option_value {
    pub name: *const std::os::raw::c_char,
    pub value: *const std::os::raw::c_char,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_load_options {
    pub size: usize,
    pub private_copy: std::os::raw::c_int,
    pub pending_max: u32,
    pub interface_name: *const std::os::raw::c_char,
    pub interface_version: u32,
    pub options_count: u32,
    pub options: *const ufence_option_value,
}
extern "C" {
    pub fn ufence_module_load_with(
        host: *mut ufence_module_host,
        path: *const std::os::raw::c_char,
        options: *const ufence_load_options,
        module: *mut *mut ufence_module,
        why: *mut std::os::raw::c_char,
        why_size: usize,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_module_host_list(
        host: *mut ufence_module_host,
        modules: *mut *mut ufence_module,
        n: usize,
    ) -> std::os::raw::c_long;
}
extern "C" {
    pub fn ufence_module_host_retry_deferred(host: *mut ufence_module_host) -> usize;
}
extern "C" {
    pub fn ufence_module_get(module: *mut ufence_module) -> *mut ufence_module;
}
extern "C" {
    pub fn ufence_module_put(module: *mut ufence_module);
}
extern "C" {
    pub fn ufence_module_driver_name(
        module: *const ufence_module,
        buffer: *mut std::os::raw::c_char,
        size: usize,
    ) -> usize;
}
extern "C" {
    pub fn ufence_module_timeline_name(
        module: *const ufence_module,
        buffer: *mut std::os::raw::c_char,
        size: usize,
    ) -> usize;
}
extern "C" {
    pub fn ufence_module_path(
        module: *const ufence_module,
        buffer: *mut std::os::raw::c_char,
        size: usize,
    ) -> usize;
}
extern "C" {
    pub fn ufence_module_note(
        module: *const ufence_module,
        index: usize,
        buffer: *mut std::os::raw::c_char,
        size: usize,
    ) -> std::os::raw::c_long;
}
extern "C" {
    pub fn ufence_module_context(module: *const ufence_module) -> u64;
}
extern "C" {
    pub fn ufence_module_instance(module: *const ufence_module) -> u64;
}
extern "C" {
    pub fn ufence_module_features(module: *const ufence_module) -> u64;
}
extern "C" {
    pub fn ufence_module_is_independent(module: *const ufence_module) -> std::os::raw::c_int;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_module_stats {
    pub size: usize,
    pub jobs_submitted: u64,
    pub jobs_pending: u64,
    pub retired_by_settlement: u64,
    pub retired_by_last_op: u64,
    pub entries: u64,
}
extern "C" {
    pub fn ufence_module_get_stats(
        module: *const ufence_module,
        stats: *mut ufence_module_stats,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_module_observe(module: *mut ufence_module, fence: *mut ufence_fence)
        -> std::os::raw::c_int;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_job_request {
    pub size: usize,
    pub opcode: u32,
    pub run_after_failed_in_fence: std::os::raw::c_int,
    pub args: *const std::os::raw::c_void,
    pub args_size: usize,
    pub in_fences: *const *mut ufence_fence,
    pub in_fence_count: usize,
}
extern "C" {
    pub fn ufence_module_submit(
        module: *mut ufence_module,
        request: *const ufence_job_request,
        fence: *mut *mut ufence_fence,
    ) -> std::os::raw::c_int;
}
pub const UFENCE_UNLOAD_DRAIN: ufence_unload_policy = 0;
pub const UFENCE_UNLOAD_CANCEL: ufence_unload_policy = 1;
pub const UFENCE_UNLOAD_REFUSE: ufence_unload_policy = 2;
pub type ufence_unload_policy = std::os::raw::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_unload_options {
    pub size: usize,
    pub policy: u32,
    pub drain_deadline_ns: i64,
    pub give_up_ns: i64,
    pub bounds_calls: std::os::raw::c_int,
}
pub const UFENCE_UNLOAD_REFUSED: ufence_unload_state = 0;
pub const UFENCE_UNLOAD_PINNED: ufence_unload_state = 1;
pub const UFENCE_UNLOAD_DEFERRED: ufence_unload_state = 2;
pub const UFENCE_UNLOAD_UNMAPPED: ufence_unload_state = 3;
pub type ufence_unload_state = std::os::raw::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_unload_report {
    pub size: usize,
    pub state: ufence_unload_state,
    pub last_step: std::os::raw::c_int,
    pub jobs_drained: u64,
    pub jobs_cancelled: u64,
    pub callbacks_removed: u64,
    pub duration_ns: i64,
    pub pins: [std::os::raw::c_char; 256usize],
    pub kept: [std::os::raw::c_char; 256usize],
}
extern "C" {
    pub fn ufence_module_unload(
        host: *mut ufence_module_host,
        module: *mut ufence_module,
        options: *const ufence_unload_options,
        report: *mut ufence_unload_report,
    ) -> std::os::raw::c_int;
}
pub const UFENCE_SCHEDULE_FAIR: ufence_schedule = 0;
pub const UFENCE_SCHEDULE_FIFO: ufence_schedule = 1;
pub const UFENCE_SCHEDULE_DEADLINE: ufence_schedule = 2;
pub type ufence_schedule = std::os::raw::c_uint;
pub const UFENCE_TIMEOUT_RESET: ufence_timeout_verdict = 0;
pub const UFENCE_TIMEOUT_GONE: ufence_timeout_verdict = 1;
pub const UFENCE_TIMEOUT_NO_HANG: ufence_timeout_verdict = 2;
pub const UFENCE_TIMEOUT_HANDLED: ufence_timeout_verdict = 3;
pub type ufence_timeout_verdict = std::os::raw::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_late_job {
    pub size: usize,
    pub fence: *mut ufence_fence,
    pub finished: *mut ufence_fence,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_scheduler_options {
    pub size: usize,
    pub name: *const std::os::raw::c_char,
    pub credit_limit: u32,
    pub order: u32,
    pub timeout_ns: i64,
    pub passes_max: u32,
    pub fails_after_reset: std::os::raw::c_int,
    pub own_loop: std::os::raw::c_int,
    pub wake: ::std::option::Option<unsafe extern "C" fn(data: *mut std::os::raw::c_void)>,
    pub timed_out: ::std::option::Option<
        unsafe extern "C" fn(
            late: *const ufence_late_job,
            data: *mut std::os::raw::c_void,
        ) -> std::os::raw::c_int,
    >,
    pub data: *mut std::os::raw::c_void,
}
extern "C" {
    pub fn ufence_scheduler_create(
        module: *mut ufence_module,
        options: *const ufence_scheduler_options,
        scheduler: *mut *mut ufence_scheduler,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_scheduler_destroy(
        scheduler: *mut ufence_scheduler,
        deadline_ns: i64,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_scheduler_attach(
        scheduler: *mut ufence_scheduler,
        module: *mut ufence_module,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_scheduler_run_ready(
        scheduler: *mut ufence_scheduler,
        jobs_max: usize,
    ) -> std::os::raw::c_long;
}
extern "C" {
    pub fn ufence_scheduler_next_timeout_ns(scheduler: *const ufence_scheduler) -> i64;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_scheduler_stats {
    pub size: usize,
    pub jobs_run: u64,
    pub jobs_ended: u64,
    pub passes: u64,
    pub timeouts: u64,
    pub resets: u64,
    pub credits_used: u32,
    pub in_flight: u32,
    pub entities: u32,
}
extern "C" {
    pub fn ufence_scheduler_get_stats(
        scheduler: *const ufence_scheduler,
        stats: *mut ufence_scheduler_stats,
    ) -> std::os::raw::c_int;
}
pub const UFENCE_PRIORITY_NORMAL: ufence_priority = 0;
pub const UFENCE_PRIORITY_KERNEL: ufence_priority = 1;
pub const UFENCE_PRIORITY_HIGH: ufence_priority = 2;
pub const UFENCE_PRIORITY_LOW: ufence_priority = 3;
pub type ufence_priority = std::os::raw::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_entity_options {
    pub size: usize,
    pub name: *const std::os::raw::c_char,
    pub priority: u32,
    pub weight: u32,
    pub errors_max: u32,
    pub propagates_errors: std::os::raw::c_int,
    pub ends_without_device: std::os::raw::c_int,
}
extern "C" {
    pub fn ufence_entity_create(
        scheduler: *mut ufence_scheduler,
        options: *const ufence_entity_options,
        entity: *mut *mut ufence_entity,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_entity_destroy(entity: *mut ufence_entity);
}
extern "C" {
    pub fn ufence_entity_push(
        entity: *mut ufence_entity,
        request: *const ufence_job_request,
        credits: u32,
        scheduled: *mut *mut ufence_fence,
        finished: *mut *mut ufence_fence,
    ) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_entity_kill(entity: *mut ufence_entity, error: std::os::raw::c_int) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_entity_flush(entity: *mut ufence_entity, deadline_ns: i64) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_entity_set_priority(entity: *mut ufence_entity, priority: u32) -> std::os::raw::c_int;
}
extern "C" {
    pub fn ufence_entity_set_weight(entity: *mut ufence_entity, weight: u32) -> std::os::raw::c_int;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_entity_stats {
    pub size: usize,
    pub jobs_pushed: u64,
    pub jobs_ended: u64,
    pub device_time_ns: i64,
    pub timeouts: u32,
    pub last_error: std::os::raw::c_int,
}
extern "C" {
    pub fn ufence_entity_get_stats(
        entity: *const ufence_entity,
        stats: *mut ufence_entity_stats,
    ) -> std::os::raw::c_int;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_report {
    pub size: usize,
    pub kind: *const std::os::raw::c_char,
    pub text: *const std::os::raw::c_char,
    pub driver_name: *const std::os::raw::c_char,
    pub timeline_name: *const std::os::raw::c_char,
    pub context: u64,
    pub seqno: u64,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ufence_report_handler {
    pub fn_: ::std::option::Option<
        unsafe extern "C" fn(report: *const ufence_report, data: *mut std::os::raw::c_void),
    >,
    pub data: *mut std::os::raw::c_void,
}
extern "C" {
    pub fn ufence_set_report_handler(handler: *const ufence_report_handler) -> std::os::raw::c_int;
}
