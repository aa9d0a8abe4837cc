"""ufence for Python, from outside. UFENCE_ADDER: the driver `adder` of the C interface's tests."""

import asyncio
import ctypes
import errno
import gc
import os
import select
import signal
import sys
import threading
import time
import unittest

import ufence

ADDER = os.environ["UFENCE_ADDER"]
ADD, KEEP = 0, 1


class AdderArgs(ctypes.Structure):
    _fields_ = [("a", ctypes.c_int64), ("b", ctypes.c_int64), ("sum", ctypes.POINTER(ctypes.c_int64))]


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class Fences(unittest.TestCase):
    def test_is_signaled_once(self):
        fence, right = ufence.create(seqno=5)
        self.assertFalse(fence.is_signaled)
        self.assertEqual((fence.status, fence.seqno, fence.timestamp), (0, 5, None))
        self.assertTrue(right.signal())
        self.assertFalse(right.signal(errno.EIO))
        self.assertEqual(fence.status, 1)
        self.assertLessEqual(fence.timestamp, time.monotonic())
        fence.wait()
        fence.result()

    def test_an_error_is_raised(self):
        fence, right = ufence.create()
        with self.assertRaises(OSError) as pending:
            fence.result()
        self.assertEqual(pending.exception.errno, errno.EBUSY)
        right.signal(errno.EIO)
        for ask in (fence.wait, fence.result):
            with self.assertRaises(ufence.Error) as failed:
                ask()
            self.assertEqual(failed.exception.errno, errno.EIO)

    def test_a_wait_that_is_too_late(self):
        fence, right = ufence.create()
        before = open_descriptors()
        for timeout in (0, -1, 0.01):
            with self.assertRaises(TimeoutError):
                fence.wait(timeout)
        self.assertEqual(open_descriptors(), before)
        right.signal()

    def test_a_wait_ends_with_the_signal(self):
        before = open_descriptors()
        fences, rights = zip(*(ufence.create() for _ in range(5)))
        thread = threading.Thread(target=rights[3].signal)
        thread.start()
        self.assertEqual(ufence.wait_any(fences, timeout=120), 3)
        thread.join()
        for right in rights:
            right.signal()
        self.assertEqual(ufence.wait_any(fences), 0)
        self.assertEqual(open_descriptors(), before)
        with self.assertRaises(ValueError):
            ufence.wait_any([])

    def test_ctrl_c_ends_a_wait(self):
        fence, right = ufence.create()
        main = threading.main_thread().ident
        started = threading.Event()

        def interrupt():
            started.wait()
            signal.pthread_kill(main, signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with self.assertRaises(KeyboardInterrupt):
            started.set()
            fence.wait(timeout=120)
        thread.join()
        right.signal()

    def test_a_dropped_right_signals(self):
        fence, right = ufence.create()
        del right
        gc.collect()
        self.assertEqual(fence.status, -errno.ECANCELED)

    def test_callbacks(self):
        fence, right = ufence.create()
        seen = []
        fence.add_callback(lambda f: seen.append((f.seqno, threading.get_ident())))
        remove = fence.add_callback(lambda f: seen.append("removed"))
        self.assertTrue(remove())
        thread = threading.Thread(target=right.signal)
        thread.start()
        thread.join()
        self.assertEqual(seen, [(1, thread.ident)])
        self.assertFalse(remove())
        fence.add_callback(lambda f: seen.append("at once"))
        self.assertEqual(seen[1:], ["at once"])

    def test_an_exception_of_a_callback_reaches_nobody(self):
        fence, right = ufence.create()
        caught = []
        hook, sys.unraisablehook = sys.unraisablehook, caught.append
        try:
            fence.add_callback(lambda f: 1 / 0)
            self.assertTrue(right.signal())
        finally:
            sys.unraisablehook = hook
        self.assertIs(caught[0].exc_type, ZeroDivisionError)

    def test_containers(self):
        (a, sign_a), (b, sign_b) = ufence.create(), ufence.create()
        both, first, merged = ufence.all_of([a, b]), ufence.any_of([a, b]), ufence.merge([a, b])
        sign_b.signal()
        self.assertEqual((both.poll(), first.poll(), merged.poll()), (False, True, False))
        sign_a.signal(errno.EIO)
        self.assertEqual((both.poll(), both.status), (True, -errno.EIO))
        self.assertTrue(merged.poll())
        with self.assertRaises(ufence.Error):
            ufence.all_of([])


class Asyncio(unittest.IsolatedAsyncioTestCase):
    async def test_await(self):
        before = open_descriptors()
        fences, rights = zip(*(ufence.create() for _ in range(100)))

        async def one(fence):
            await fence

        tasks = [asyncio.create_task(one(f)) for f in fences]
        await asyncio.sleep(0)
        self.assertFalse(any(t.done() for t in tasks))
        thread = threading.Thread(target=lambda: [r.signal() for r in rights])
        thread.start()
        await asyncio.wait_for(asyncio.gather(*tasks), 30)
        thread.join()
        await fences[0]
        self.assertEqual(open_descriptors(), before)

    async def test_an_error_and_a_cancelled_await(self):
        before = open_descriptors()
        fence, right = ufence.create()
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(0.01):
                await fence
        self.assertEqual(open_descriptors(), before)
        right.signal(errno.ENODEV)
        with self.assertRaises(ufence.Error):
            await fence


class Timelines(unittest.TestCase):
    def test_completes_by_number(self):
        with ufence.Timeline("demo", "queue", initial_seqno=10) as timeline:
            one, two, three = (timeline.emit() for _ in range(3))
            self.assertEqual((one.seqno, one.context), (11, timeline.context))
            self.assertEqual((one.driver_name, one.timeline_name), ("demo", "queue"))
            timeline.signal_up_to(two.seqno)
            self.assertEqual([f.status for f in (one, two, three)], [1, 1, 0])
            self.assertTrue(timeline.signal(three, errno.EIO))
            four = timeline.emit()
            timeline.fail(errno.ENODEV)
        self.assertEqual((three.status, four.status), (-errno.EIO, -errno.ENODEV))
        with self.assertRaises(ValueError):
            timeline.emit()
        self.assertIn("queue", repr(one))

    def test_shared_with_another_process(self):
        timeline = ufence.SharedTimeline("page")
        fd = timeline.export_fd()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writing)
            status = 1
            try:
                imported = ufence.SharedTimeline.from_fd(fd)
                try:
                    imported.signal(1)
                except PermissionError:
                    pass
                except ufence.Error as error:
                    assert error.errno == errno.EPERM
                os.read(reading, 1)
                imported.fence_at(3).wait(timeout=120)
                status = 0 if imported.value == 3 else 2
            finally:
                os._exit(status)
        timeline.signal(3)
        os.write(writing, b"x")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        for opened in (fd, reading, writing):
            os.close(opened)
        timeline.close()


class SyncFiles(unittest.TestCase):
    def test_select_and_import(self):
        (a, sign_a), (b, sign_b) = ufence.create(), ufence.create()
        with ufence.SyncFile.of(a, "a") as one, ufence.SyncFile.of(b) as two, one.merge(two) as both:
            self.assertIs(one.fence().status, 0)
            self.assertEqual(select.select([one, both], [], [], 0)[0], [])
            sign_a.signal()
            self.assertEqual(select.select([one, both], [], [], 0)[0], [one])
            sign_b.signal()
            self.assertEqual(select.select([one, both], [], [], 5)[0], [one, both])
            self.assertEqual(both.fence().status, 1)
        with self.assertRaises(ValueError):
            one.fileno()

    def test_another_descriptor_is_none(self):
        reading, writing = os.pipe()
        os.close(writing)
        with self.assertRaises(TypeError):
            ufence.SyncFile(ufence.create()[0])
        with ufence.SyncFile(reading) as wrong, self.assertRaises(OSError) as failed:
            wrong.fence()
        self.assertEqual(failed.exception.errno, errno.EINVAL)


class Modules(unittest.TestCase):
    def test_a_job_graph_over_a_module_that_is_reloaded(self):
        host = ufence.Host()
        fences = []
        for _ in range(5):
            module = host.load(ADDER)
            self.assertEqual(module.driver_name, "adder")
            total = ctypes.c_int64(0)
            first = module.submit(ADD, AdderArgs(40, 2, ctypes.pointer(total)))
            second = module.submit(ADD, AdderArgs(1, 1, ctypes.pointer(ctypes.c_int64())), in_fences=[first])
            kept = module.submit(KEEP)
            second.wait(timeout=120)
            self.assertEqual(total.value, 42)
            report = host.unload(module, ufence.UnloadPolicy.CANCEL)
            self.assertEqual((report.state, report.jobs_cancelled, report.pins),
                             (ufence.UnloadState.UNMAPPED, 1, ""))
            with self.assertRaises(ufence.Error) as gone:
                module.submit(ADD)
            self.assertEqual(gone.exception.errno, errno.ENODEV)
            fences += [first, second, kept]
        self.assertEqual([f.status for f in fences], [1, 1, -errno.ECANCELED] * 5)
        self.assertEqual({f.driver_name for f in fences}, {"adder"})
        host.close()

    def test_a_module_is_loaded_as_asked_or_not_at_all(self):
        with ufence.Host() as host:
            for asked, number, text in (({"options": {"works": "no"}}, errno.ENXIO, ""),
                                        ({"options": {"speed": "1"}}, errno.EINVAL, "speed"),
                                        ({"interface": ("adder", 9)}, errno.EPROTONOSUPPORT, "adder 9")):
                with self.assertRaises(OSError) as refused:
                    host.load(ADDER, **asked)
                self.assertEqual(refused.exception.errno, number)
                self.assertIn(text, str(refused.exception))
            with self.assertRaises(ValueError):
                host.load(ADDER, options={"works": "y\0"})
            module = host.load(ADDER, options={"works": "yes"}, interface=("adder", 2), pending_max=1,
                               private_copy=True)
            kept = module.submit(KEEP)
            with self.assertRaises(OSError) as full:
                module.submit(KEEP)
            self.assertEqual(full.exception.errno, errno.EAGAIN)
            host.unload(module, ufence.UnloadPolicy.CANCEL)
            self.assertEqual(kept.status, -errno.ECANCELED)

    def test_entities_share_a_device_and_wait_for_its_next_instance(self):
        with ufence.Host() as host:
            module = host.load(ADDER)
            total = ctypes.c_int64(0)
            args = AdderArgs(40, 2, ctypes.pointer(total))
            with ufence.Scheduler(module, ufence.Schedule.FIFO) as scheduler:
                patient = scheduler.entity("patient", ufence.Priority.HIGH)
                impatient = scheduler.entity(ends_without_device=True)
                first = patient.push(ADD, args)
                patient.push(ADD, args, in_fences=[first]).wait(timeout=120)
                self.assertEqual(total.value, 42)
                host.unload(module, ufence.UnloadPolicy.CANCEL)
                with self.assertRaises(ufence.Error) as ended:
                    impatient.push(ADD, args).wait(timeout=120)
                self.assertEqual(ended.exception.errno, errno.ENODEV)
                waits = patient.push(ADD, args)
                self.assertFalse(waits.is_signaled)
                scheduler.attach(host.load(ADDER))
                waits.wait(timeout=120)
                scheduler.attach(None)
                killed = patient.push(ADD, args)
                patient.kill(errno.EIO)
                with self.assertRaises(ufence.Error) as dead:
                    killed.wait(timeout=120)
                self.assertEqual(dead.exception.errno, errno.EIO)
                self.assertEqual((patient.stats.jobs_pushed, patient.stats.last_error), (4, -errno.EIO))
                patient.close()
                with self.assertRaises(ValueError):
                    patient.push(ADD, args)

    def test_what_is_no_module_is_refused_with_a_reason(self):
        with ufence.Host() as host, self.assertRaises(OSError) as refused:
            host.load("/proc/self/exe")
        self.assertIn("/proc/self/exe", str(refused.exception))


if __name__ == "__main__":
    unittest.main()
