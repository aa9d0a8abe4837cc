"""Completion fences that outlive the module that issued them: ufence for Python.

    timeline = ufence.Timeline("demo", "queue")
    fence = timeline.emit()
    threading.Thread(target=lambda: timeline.signal_up_to(fence.seqno)).start()
    fence.wait(timeout=1.0)

Times are seconds, as floats; a timeout is relative. An errno of the library is an OSError; ETIME is a
TimeoutError. Objects may be used by any thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import dataclasses
import enum
import errno
import operator
import os
import select
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from types import TracebackType

from ufence import _c

__all__ = ["Entity", "EntityStats", "Error", "Fence", "Host", "Module", "Priority", "Schedule", "Scheduler",
           "SharedTimeline", "Signaler", "SyncFile", "Timeline", "UnloadPolicy", "UnloadReport",
           "UnloadState", "all_of", "any_of", "create", "merge", "version", "wait_any"]


class Error(OSError):
    """What the library refused, or the result of a fence; `errno` is positive, as in OSError."""


def _failure(number: int, what: str = "") -> OSError:
    number = abs(number)
    text = os.strerror(number) + (f": {what}" if what else "")
    # As the interpreter does it for its own: the class that belongs to the errno.
    if number in (errno.ETIME, errno.ETIMEDOUT):
        return TimeoutError(number, text)
    return Error(number, text)


def _check(returned: int, what: str = "") -> int:
    if returned < 0:
        raise _failure(returned, what)
    return returned


def _text(function: Callable[..., int], handle: int) -> str:
    size = 128
    while True:
        buffer = ctypes.create_string_buffer(size)
        length = _check(function(handle, buffer, size))
        if length < size:
            return buffer.value.decode(errors="replace")
        size = length + 1


def version() -> tuple[int, int, int]:
    """The library's."""
    number = _c.version()
    return number >> 16, number >> 8 & 255, number & 255


class Fence:
    """A completion, pending or signaled; it keeps its result, names and time for ever.

    `await fence` and wait() return when it succeeded, and raise its error when it failed.
    """

    __slots__ = ("_handle", "__weakref__")

    def __init__(self, handle: int):
        """Takes over a reference; not for users."""
        self._handle = handle

    def __del__(self) -> None:
        if handle := getattr(self, "_handle", None):
            _c.fence_put(handle)

    def __repr__(self) -> str:
        return f"<ufence.Fence {_text(_c.fence_describe, self._handle)}>"

    @property
    def is_signaled(self) -> bool:
        return _c.fence_is_signaled(self._handle) != 0

    @property
    def status(self) -> int:
        """0 pending; 1 signaled; a negative errno: signaled with that error."""
        return _c.fence_status(self._handle)

    @property
    def context(self) -> int:
        return _c.fence_context(self._handle)

    @property
    def seqno(self) -> int:
        return _c.fence_seqno(self._handle)

    @property
    def timestamp(self) -> float | None:
        """When it was signaled, as time.monotonic() has it; None while it is pending."""
        return _c.fence_timestamp_ns(self._handle) / 1e9 if self.is_signaled else None

    @property
    def driver_name(self) -> str:
        return _text(_c.fence_driver_name, self._handle)

    @property
    def timeline_name(self) -> str:
        return _text(_c.fence_timeline_name, self._handle)

    def result(self) -> None:
        """Raises the error that it was signaled with; OSError(EBUSY) while it is pending."""
        status = self.status
        if status == 0:
            raise _failure(errno.EBUSY, "the fence is pending")
        _check(status, _text(_c.fence_describe, self._handle))

    def poll(self) -> bool:
        """Asks the issuer; is_signaled afterwards."""
        return _c.fence_poll(self._handle) != 0

    def set_deadline(self, seconds_from_now: float) -> None:
        """A hint for the issuer: when the result is wanted."""
        _c.fence_set_deadline(self._handle, time.monotonic_ns() + int(seconds_from_now * 1e9))

    def wait(self, timeout: float | None = None) -> None:
        """Waits until it is signaled, and raises its error if it has one.

        Raises TimeoutError if it is not signaled by then. Signals of the process are handled
        meanwhile: Ctrl-C ends the wait with KeyboardInterrupt.
        """
        if wait_any([self], timeout) != 0:
            raise AssertionError("one fence has one index")
        self.result()

    def __await__(self) -> Generator[object, None, None]:
        if not self.is_signaled:
            yield from self._wait_in(asyncio.get_running_loop()).__await__()
        self.result()

    async def _wait_in(self, loop: asyncio.AbstractEventLoop) -> None:
        done = loop.create_future()

        def set_done() -> None:
            if not done.done():
                done.set_result(None)

        def tell(_fence: Fence) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody awaits any more
                loop.call_soon_threadsafe(set_done)

        remove = self.add_callback(tell)
        try:
            await done
        finally:
            remove()

    def add_callback(self, function: Callable[[Fence], object]) -> Callable[[], bool]:
        """Has `function(fence)` called once, on the thread that signals it; at once if it is signaled.

        Returns a function that takes the callback back: True, it will not run; False, it ran. An
        exception goes to sys.unraisablehook.
        """
        node = _c.FenceCb()

        def run(fence: int, _node: object) -> None:
            _queued.pop(ctypes.addressof(node), None)
            try:
                function(Fence(_c.fence_get(fence)))
            except BaseException as error:  # it must not reach the library
                sys.unraisablehook(_Unraisable(type(error), error, error.__traceback__, None, function))

        node.fn = _c.CALLBACK(run)
        key = ctypes.addressof(node)
        _queued[key] = node
        added = _c.fence_add_callback(self._handle, ctypes.byref(node))
        if added < 0:
            _queued.pop(key, None)
            if added != -errno.ENOENT:
                raise _failure(added)
            function(self)

        def remove() -> bool:
            removed = added == 0 and _check(
                _c.fence_remove_callback(self._handle, ctypes.byref(node))) == 1
            if removed:
                _queued.pop(key, None)
            return removed

        return remove


@dataclasses.dataclass
class _Unraisable:
    exc_type: type[BaseException]
    exc_value: BaseException
    exc_traceback: TracebackType | None
    err_msg: str | None
    object: object


# Nodes that the library has: they stay in place until they ran or were removed.
_queued: dict[int, _c.FenceCb] = {}


class Signaler:
    """The right to signal one fence. Dropped unused it signals ECANCELED, which is reported."""

    __slots__ = ("_handle",)

    def __init__(self, handle: int):
        """Takes it over; not for users."""
        self._handle = handle

    def __del__(self) -> None:
        if handle := self._take():
            _c.signaler_drop(handle)

    def _take(self) -> int | None:
        handle = getattr(self, "_handle", None)
        self._handle = None
        return handle

    def signal(self, error: int = 0) -> bool:
        """True: this call signaled it; False: it was used before. `error`: 0 or an errno of either sign."""
        handle = self._take()
        return handle is not None and _c.signaler_signal(handle, -abs(error)) == 1


def create(context: int | None = None, seqno: int = 1) -> tuple[Fence, Signaler]:
    """A pending fence, by default of a context of its own, and the right to signal it."""
    fence, right = ctypes.c_void_p(), ctypes.c_void_p()
    if context is None:
        context = _c.fence_allocate_contexts(1)
    _check(_c.fence_create(context, seqno, ctypes.byref(fence), ctypes.byref(right)))
    return Fence(_value(fence)), Signaler(_value(right))


def _value(handle: ctypes.c_void_p) -> int:
    assert handle.value is not None
    return handle.value


def wait_any(fences: Sequence[Fence], timeout: float | None = None) -> int:
    """Waits until one is signaled, with whatever result, and returns its index (the lowest).

    TimeoutError if none is by then. Ctrl-C ends it, as Fence.wait().
    """
    if not fences:
        raise ValueError("no fences to wait for")
    handles, n, _kept = _array(fences)
    index = _c.fence_wait_any(handles, n, 0)
    if index == -errno.ETIME:
        # One fence for all of them, and one callback. Ctrl-C ends poll(), but not a wait in the library.
        one = _made(_c.array_create, handles, n, 1)
        event = os.eventfd(0, os.EFD_CLOEXEC)
        try:
            remove = one.add_callback(lambda _fence: os.eventfd_write(event, 1))
            try:
                poller = select.poll()
                poller.register(event, select.POLLIN)
                poller.poll(None if timeout is None else max(0.0, timeout) * 1000)
            finally:
                remove()  # it does not run any more when the event goes
        finally:
            os.close(event)
        index = _c.fence_wait_any(handles, n, 0)
    return _check(index, "no fence was signaled in time")


def _array(fences: Iterable[Fence]) -> tuple[object, int, list[Fence]]:
    kept = list(fences)
    return (ctypes.c_void_p * len(kept))(*(f._handle for f in kept)), len(kept), kept


def _made(function: Callable[..., int], *arguments: object) -> Fence:
    handle = ctypes.c_void_p()
    _check(function(*arguments, ctypes.byref(handle)))
    return Fence(_value(handle))


def all_of(fences: Iterable[Fence]) -> Fence:
    """A fence that is signaled with the last of them; its error is the first one that occurred."""
    handles, n, _kept = _array(fences)
    return _made(_c.array_create, handles, n, 0)


def any_of(fences: Iterable[Fence]) -> Fence:
    """A fence that is signaled with the first of them, with its result."""
    handles, n, _kept = _array(fences)
    return _made(_c.array_create, handles, n, 1)


def merge(fences: Iterable[Fence]) -> Fence:
    """One fence for what is pending among them and inside of them."""
    handles, n, _kept = _array(fences)
    return _made(_c.merge, handles, n)


class _Owner:
    """What has a handle and gives it up once: by close(), `with`, or when it is dropped."""

    _handle: int | None = None

    def _end(self, handle: int) -> None:
        raise NotImplementedError

    def _use(self) -> int:
        if self._handle is None:
            raise ValueError(f"this {type(self).__name__} is closed")
        return self._handle

    def close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            self._end(handle)

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class Timeline(_Owner):
    """Fences in an order, completed by number."""

    def __init__(self, driver_name: str = "python", timeline_name: str = "", initial_seqno: int = 0):
        options = _c.TimelineOptions(ctypes.sizeof(_c.TimelineOptions), driver_name.encode(),
                                     timeline_name.encode(), initial_seqno)
        handle = ctypes.c_void_p()
        _check(_c.timeline_create(ctypes.byref(options), ctypes.byref(handle)))
        self._handle = _value(handle)

    def _end(self, handle: int) -> None:
        _c.timeline_drop(handle)

    def emit(self) -> Fence:
        """The next fence of the sequence."""
        return _made(_c.timeline_emit, self._use())

    def signal_up_to(self, seqno: int) -> None:
        """All fences up to this seqno have succeeded."""
        _c.timeline_signal_up_to(self._use(), seqno)

    def signal(self, fence: Fence, error: int = 0) -> bool:
        """One fence by itself: out of order, or with an error. True: this call decided it."""
        return _c.timeline_signal(self._use(), fence._handle, -abs(error)) == 1

    def fail(self, error: int) -> None:
        """Ends it: what is not complete fails with this errno."""
        _c.timeline_fail(self._use(), -abs(error))

    @property
    def context(self) -> int:
        return _c.timeline_context(self._use())

    @property
    def completed(self) -> int:
        return _c.timeline_completed(self._use())


class SyncFile:
    """A descriptor for a fence, which any process can poll and import; select() takes the object."""

    def __init__(self, fd: int):
        """Takes over a descriptor, for instance one that was received; of a fence: SyncFile.of()."""
        self._fd = -1
        self._fd = operator.index(fd)

    @classmethod
    def of(cls, fence: Fence, name: str | None = None) -> SyncFile:
        return cls(_check(_c.sync_file_export(fence._handle, None if name is None else name.encode())))

    def fileno(self) -> int:
        if self._fd < 0:
            raise ValueError("this SyncFile is closed")
        return self._fd

    def fence(self) -> Fence:
        """Its fence: the very one in the process that made it, elsewhere one that stands for it."""
        return _made(_c.sync_file_import, self.fileno())

    def merge(self, other: SyncFile, name: str | None = None) -> SyncFile:
        """One that is signaled when both are."""
        return SyncFile(_check(_c.sync_file_merge(self.fileno(), other.fileno(),
                                                  None if name is None else name.encode())))

    def detach(self) -> int:
        """Gives the descriptor up to the caller."""
        fd, self._fd = self.fileno(), -1
        return fd

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> SyncFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            self.close()


class SharedTimeline(_Owner):
    """A number that only rises, in a page that processes share. Its maker is its owner: with it, it ends."""

    def __init__(self, name: str = "", initial_point: int = 0, peers_may_signal: bool = False):
        options = _c.SharedTimelineOptions(ctypes.sizeof(_c.SharedTimelineOptions), name.encode(),
                                           initial_point, int(peers_may_signal))
        handle = ctypes.c_void_p()
        _check(_c.shared_timeline_create(ctypes.byref(options), ctypes.byref(handle)))
        self._handle = _value(handle)

    @classmethod
    def from_fd(cls, fd: int) -> SharedTimeline:
        """One that a process exported; the descriptor stays the caller's."""
        handle = ctypes.c_void_p()
        _check(_c.shared_timeline_import(fd, ctypes.byref(handle)))
        imported = cls.__new__(cls)
        imported._handle = _value(handle)
        return imported

    def _end(self, handle: int) -> None:
        _c.shared_timeline_put(handle)

    def export_fd(self, may_signal: bool = False) -> int:
        """A descriptor for another process; the caller's to close."""
        return _check(_c.shared_timeline_export(self._use(), int(may_signal)))

    @property
    def value(self) -> int:
        return _c.shared_timeline_value(self._use())

    def signal(self, point: int) -> None:
        """All points up to this one are reached."""
        _check(_c.shared_timeline_signal(self._use(), point))

    def fail(self, error: int) -> None:
        _check(_c.shared_timeline_fail(self._use(), -abs(error)))

    def fence_at(self, point: int) -> Fence:
        """A fence that is signaled when the point is reached."""
        return _made(_c.shared_timeline_fence_at, self._use(), point)


class UnloadPolicy(enum.IntEnum):
    DRAIN = 0
    CANCEL = 1
    REFUSE = 2


class UnloadState(enum.IntEnum):
    REFUSED = 0
    PINNED = 1
    DEFERRED = 2
    UNMAPPED = 3


@dataclasses.dataclass(frozen=True)
class UnloadReport:
    """How an unload ended; ARCHITECTURE.md has its eight steps."""

    state: UnloadState
    last_step: int
    jobs_drained: int
    jobs_cancelled: int
    callbacks_removed: int
    seconds: float
    pins: str
    kept: str


class Host(_Owner):
    """Loads driver modules, and unloads them while others hold their fences."""

    def __init__(self) -> None:
        handle = ctypes.c_void_p()
        _check(_c.module_host_create(ctypes.byref(handle)))
        self._handle = _value(handle)

    def _end(self, handle: int) -> None:
        _c.module_host_destroy(handle)

    def load(self, path: str | os.PathLike[str], *, options: Mapping[str, str] | None = None,
             interface: tuple[str, int] | None = None, pending_max: int = 0,
             private_copy: bool = False) -> Module:
        """Checks the file, maps it, runs its init(); the error says what is wrong with it.

        `options`: values for options of the driver. `interface`: what its opcodes have to mean, and since
        which version. `pending_max`: so many jobs may be pending at once; 0: no limit. `private_copy`: of
        a copy in memory, so that the file may be replaced.
        """
        texts = [*(options or {}).keys(), *(options or {}).values(), (interface or ("", 0))[0]]
        if any("\0" in text for text in texts):
            raise ValueError("an option or an interface has a zero in it")
        values = [_c.OptionValue(name.encode(), value.encode()) for name, value in (options or {}).items()]
        asked = _c.LoadOptions(
            ctypes.sizeof(_c.LoadOptions), int(private_copy), pending_max,
            None if interface is None else interface[0].encode(), 0 if interface is None else interface[1],
            len(values), (_c.OptionValue * len(values))(*values))
        handle, why = ctypes.c_void_p(), ctypes.create_string_buffer(1024)
        loaded = _c.module_load_with(self._use(), os.fsencode(path), ctypes.byref(asked), ctypes.byref(handle),
                                     why, len(why))
        _check(loaded, why.value.decode(errors="replace"))
        return Module(_value(handle))

    def unload(self, module: Module, policy: UnloadPolicy = UnloadPolicy.DRAIN,
               timeout: float | None = None, give_up: float = 10.0) -> UnloadReport:
        """Unloads it in eight steps. `timeout`: how long DRAIN waits for pending jobs."""
        deadline = 0 if timeout is None else time.monotonic_ns() + int(timeout * 1e9)
        options = _c.UnloadOptions(ctypes.sizeof(_c.UnloadOptions), policy, deadline, int(give_up * 1e9))
        report = _c.UnloadReport(size=ctypes.sizeof(_c.UnloadReport))
        _check(_c.module_unload(self._use(), module._handle, ctypes.byref(options), ctypes.byref(report)))
        return UnloadReport(UnloadState(report.state), report.last_step, report.jobs_drained,
                            report.jobs_cancelled, report.callbacks_removed, report.duration_ns / 1e9,
                            report.pins.decode(errors="replace"),
                            report.kept.decode(errors="replace"))


class Module:
    """A loaded driver module and its device; it outlives the module."""

    __slots__ = ("_handle",)

    def __init__(self, handle: int):
        """Takes over a reference; not for users."""
        self._handle = handle

    def __del__(self) -> None:
        if handle := getattr(self, "_handle", None):
            _c.module_put(handle)

    @property
    def driver_name(self) -> str:
        return _text(_c.module_driver_name, self._handle)

    def submit(self, opcode: int = 0, args: bytes | ctypes.Structure = b"",
               in_fences: Iterable[Fence] = (), run_after_failed_in_fence: bool = False) -> Fence:
        """Gives the device a job; the fence of its completion. `args` is copied; what it points to must
        stay until the fence is signaled."""
        request, _kept = _job_request(opcode, args, in_fences, run_after_failed_in_fence)
        return _made(_c.module_submit, self._handle, ctypes.byref(request))


def _job_request(opcode: int, args: bytes | ctypes.Structure, in_fences: Iterable[Fence],
                 run_after_failed_in_fence: bool) -> tuple[_c.JobRequest, object]:
    """And what has to live as long as it."""
    copied = bytes(args)
    handles, n, kept = _array(in_fences)
    request = _c.JobRequest(
        ctypes.sizeof(_c.JobRequest), opcode, int(run_after_failed_in_fence),
        ctypes.cast(ctypes.c_char_p(copied), ctypes.c_void_p), len(copied),
        ctypes.cast(handles, ctypes.POINTER(ctypes.c_void_p)), n)
    return request, (copied, handles, kept)


class Schedule(enum.IntEnum):
    """Which entity comes next: device time by weights; the job that was pushed first; the soonest
    deadline of a finished fence."""

    FAIR = 0
    FIFO = 1
    DEADLINE = 2


class Priority(enum.IntEnum):
    NORMAL = 0
    KERNEL = 1
    HIGH = 2
    LOW = 3


class Scheduler(_Owner):
    """Shares a module's device among entities; it outlives the instances of the module.

    Closed, it ends what is queued with ECANCELED, and gives the device a second for what it has.
    """

    def __init__(self, module: Module, schedule: Schedule = Schedule.FAIR, credit_limit: int = 64,
                 timeout: float | None = None):
        """`timeout`: how long the oldest job of the device may take until it is asked to cancel it."""
        options = _c.SchedulerOptions(
            size=ctypes.sizeof(_c.SchedulerOptions), credit_limit=credit_limit, order=schedule,
            timeout_ns=0 if timeout is None else max(1, int(timeout * 1e9)))
        handle = ctypes.c_void_p()
        _check(_c.scheduler_create(module._handle, ctypes.byref(options), ctypes.byref(handle)))
        self._handle = _value(handle)

    def _end(self, handle: int) -> None:
        _c.scheduler_destroy(handle, time.monotonic_ns() + 10**9)

    def attach(self, module: Module | None) -> None:
        """From now on jobs go to this instance, for instance of the module's next build; None: nowhere."""
        _check(_c.scheduler_attach(self._use(), None if module is None else module._handle))

    def entity(self, name: str = "", priority: Priority = Priority.NORMAL, weight: int = 0,
               propagates_errors: bool = False, ends_without_device: bool = False) -> Entity:
        """A user's queue. `weight`: its share under FAIR; 0: of its priority. `ends_without_device`: jobs
        end with ENODEV where there is no device, else they wait for the next instance."""
        options = _c.EntityOptions(ctypes.sizeof(_c.EntityOptions), name.encode(), priority, weight, 0,
                                   int(propagates_errors), int(ends_without_device))
        handle = ctypes.c_void_p()
        _check(_c.entity_create(self._use(), ctypes.byref(options), ctypes.byref(handle)))
        return Entity(_value(handle))


@dataclasses.dataclass(frozen=True)
class EntityStats:
    jobs_pushed: int
    jobs_ended: int
    device_seconds: float
    timeouts: int
    last_error: int


class Entity(_Owner):
    """A user's queue of jobs; it may outlive its scheduler. Closed, what is queued ends with ESRCH."""

    def __init__(self, handle: int):
        """Takes it over; not for users."""
        self._handle = handle

    def _end(self, handle: int) -> None:
        _c.entity_destroy(handle)

    def push(self, opcode: int = 0, args: bytes | ctypes.Structure = b"", in_fences: Iterable[Fence] = (),
             credits: int = 1) -> Fence:
        """Queues a job; the fence of its end. `args` as of Module.submit()."""
        request, _kept = _job_request(opcode, args, in_fences, False)
        return _made(_c.entity_push, self._use(), ctypes.byref(request), credits, None)

    def kill(self, error: int) -> None:
        """What is queued does not run: each ends with this errno, in order."""
        _check(_c.entity_kill(self._use(), -abs(error)))

    def set_priority(self, priority: Priority) -> None:
        """Counts from the next choice on, as set_weight()."""
        _check(_c.entity_set_priority(self._use(), priority))

    def set_weight(self, weight: int) -> None:
        _check(_c.entity_set_weight(self._use(), weight))

    @property
    def stats(self) -> EntityStats:
        stats = _c.EntityStats(size=ctypes.sizeof(_c.EntityStats))
        _check(_c.entity_get_stats(self._use(), ctypes.byref(stats)))
        return EntityStats(stats.jobs_pushed, stats.jobs_ended, stats.device_time_ns / 1e9, stats.timeouts,
                           stats.last_error)
