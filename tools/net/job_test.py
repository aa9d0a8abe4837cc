#!/usr/bin/env python3
"""`ufence run --hosts` and `ufence worker`, from outside: workers that come, go, die and are stopped, a
server that does, and sums that are sha256sum's all the same.

A worker has a file for as long as a test wants it to: the file has no end (it is sparse) until the test cuts
it. So nothing here is a race against a clock."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "ufence/tests"))

from server_support import free_port, has_server  # noqa: E402
from support import Case, PATIENCE_S, expected_sums, make_odd_tree, pattern  # noqa: E402

PROGRAM, NET_PROGRAM = os.environ["UFENCE_PROGRAM"], os.environ["UFENCE_NET_PROGRAM"]
ENDLESS = 1 << 42
LONG_LEASE, SHORT_LEASE = "60", "2"
NKEY_SEED = b"SUAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IC5CQ\n"  # the bytes 1 to 32
NKEY_PUBLIC = "UB43KVROR7TFJ6KAPCYRF2FJROTZAH4FHLTJLPWX4DRZCC5NASLGJBFE"
JSON_NAMES = ["files", "bytes", "seconds", "skipped", "errors", "hosts", "workers", "deaths", "hand_outs",
              "late_results"]


def eventually(what, why: str):
    until = time.monotonic() + PATIENCE_S
    while not (found := what()):
        assert time.monotonic() < until, why
        time.sleep(0.02)
    return found


@unittest.skipUnless(has_server(), "there is no nats-server here")
class Job(Case):
    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.serve()

    def serve(self, *more: str, folder: str = "server"):
        self.server = subprocess.Popen(
            [NET_PROGRAM, "serve", "--port", str(self.port), "--folder", str(self.folder / folder), *more],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.end, self.server)

        def listens() -> bool:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return True
            except OSError:
                return False
        eventually(listens, "the server does not listen")

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait()

    def worker(self, name: str, *more: str, lease: str = LONG_LEASE, env=None) -> subprocess.Popen:
        log = open(self.folder / f"{name}.log", "wb")
        self.addCleanup(log.close)
        hosts = () if "--hosts" in more else ("--hosts", "job")
        one = subprocess.Popen([PROGRAM, "worker", *hosts, *self.server_of(more), "--name", name, "--workers", "1",
                                "--lease", lease, *more],
                               cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, env=env)
        self.addCleanup(self.end, one)
        return one

    def server_of(self, said) -> tuple[str, ...]:
        return () if "--server" in said else ("--server", self.url)

    def arguments(self, *more: str, lease: str = LONG_LEASE, inputs: str = "tree") -> list[str]:
        hosts = () if "--hosts" in more else ("--hosts", "job")
        return [PROGRAM, "run", *hosts, *self.server_of(more), "--input", inputs, "--output", "sums",
                "--json", "--lease", lease, *more]

    def start(self, *more: str, env=None, **how: str) -> subprocess.Popen:
        one = subprocess.Popen(self.arguments(*more, **how), env=env, cwd=self.folder, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(one.stdout.close)
        self.addCleanup(one.stderr.close)
        self.addCleanup(self.end, one)
        return one

    def finish(self, run: subprocess.Popen, inputs: str = "tree", but: str = "") -> dict:
        """Its report, after the sums were compared: all but that of a file that was cut while it was read."""
        out, told = run.communicate(timeout=PATIENCE_S)
        self.told = told.decode(errors="replace")
        self.assertEqual(run.returncode, 0, self.told)

        def compared(sums: bytes) -> list[bytes]:
            return [line for line in sums.split(b"\n") if not but or not line.endswith(b"/" + but.encode())]
        self.assertEqual(compared((self.folder / "sums").read_bytes()),
                         compared(expected_sums(self.folder, [inputs])))
        report = json.loads(out)
        self.assertEqual(list(report), JSON_NAMES)
        return report

    def endless(self, *names: str):
        for name in names:
            self.write(f"tree/{name}", b"head")
            os.truncate(self.folder / "tree" / name, ENDLESS)

    def cut(self, name: str):
        os.truncate(self.folder / "tree" / name, 100_000)

    def has_open(self, process: subprocess.Popen, name: str) -> bool:
        wanted = str(self.folder / "tree" / name)
        try:
            return any(os.readlink(fd) == wanted for fd in pathlib.Path(f"/proc/{process.pid}/fd").iterdir())
        except OSError:
            return False  # one was closed meanwhile

    def holds(self, process: subprocess.Popen, name: str):
        eventually(lambda: self.has_open(process, name), f"{name} is not begun")

    def timelines(self) -> list[dict]:
        done = subprocess.run([NET_PROGRAM, "status", "--server", self.url, "--namespace", "job", "--json",
                               "--listen", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
                              timeout=PATIENCE_S)
        return json.loads(done.stdout)["timelines"] if done.returncode == 0 else []

    def lives(self, host: str) -> dict[str, int]:
        """The timelines of that host's workers: how many files each has done."""
        return {one["name"]: one["value"] for one in self.timelines()
                if one["name"].startswith(f"worker {host} ")}

    # --- What it does ---

    def test_sums_of_three_hosts_are_those_of_sha256sum(self):
        make_odd_tree(self)
        for name in "abc":
            self.worker(name)
        report = self.finish(self.start())
        files = len(expected_sums(self.folder, ["tree"]).splitlines())
        self.assertEqual((report["files"], report["hand_outs"], report["deaths"], report["late_results"]),
                         (files, files, 0, 0))
        self.assertGreater(report["skipped"], 0)

    def test_blocks_come_over_the_server_where_no_folder_is_shared(self):
        make_odd_tree(self)
        self.write("tree/large", pattern(5_000_000))
        for name in "ab":
            self.worker(name, "--input", "/nothing/is/shared")
        report = self.finish(self.start("--send-files"))
        self.assertEqual(report["deaths"], 0)

    def test_an_input_may_be_one_file_and_a_folder_may_lie_elsewhere(self):
        self.write("tree/one", pattern(3_000_000))
        self.worker("a")
        self.assertEqual(self.finish(self.start(inputs="tree/one"), "tree/one")["files"], 1)
        os.rename(self.folder / "tree", self.folder / "there")
        os.symlink("there", self.folder / "tree")
        self.assertEqual(self.finish(self.start(inputs="tree/"), "tree/")["files"], 1)

    def test_a_worker_serves_one_run_after_the_other(self):
        self.worker("a")
        for number in range(3):
            self.write(f"tree/{number}", pattern(1000, number))
            self.assertEqual(self.finish(self.start())["files"], number + 1)

    # --- Workers that go ---

    def test_what_a_killed_worker_had_is_handed_out_again(self):
        self.endless("a")
        self.write("tree/b", pattern(10_000))
        run = self.start(lease=SHORT_LEASE)
        killed = self.worker("killed", lease=SHORT_LEASE)
        self.holds(killed, "a")
        killed.kill()
        self.cut("a")
        self.worker("other", lease=SHORT_LEASE)
        report = self.finish(run)
        self.assertGreaterEqual(report["deaths"], 1)
        self.assertGreaterEqual(report["hand_outs"], 3)
        self.assertEqual(report["hosts"], 2)
        self.assertIn("killed is gone: tree/a is handed out again", self.told)

    def test_what_a_worker_that_leaves_had_is_handed_out_at_once(self):
        self.endless("a")
        run = self.start()
        leaves = self.worker("leaves")
        self.holds(leaves, "a")
        leaves.terminate()
        self.assertEqual(leaves.wait(PATIENCE_S), 128 + signal.SIGTERM)
        self.cut("a")
        self.worker("other")
        report = self.finish(run)
        self.assertEqual((report["deaths"], report["hand_outs"], report["hosts"]), (0, 2, 2))

    def test_the_late_result_of_a_worker_that_was_stopped_is_refused(self):
        self.endless("a", "z")
        run = self.start(lease=SHORT_LEASE)
        stopped = self.worker("stopped", lease=SHORT_LEASE)
        self.holds(stopped, "a")
        stopped.send_signal(signal.SIGSTOP)
        keeps = self.worker("keeps", lease=SHORT_LEASE)
        self.holds(keeps, "z")
        self.cut("a")
        lives = self.lives("stopped")
        # It goes on when another one has its file, and ends with a sum of nothing that there ever was.
        self.worker("other", lease=SHORT_LEASE)
        eventually(lambda: any(self.lives("other").values()), "nobody else takes the file")
        stopped.send_signal(signal.SIGCONT)
        eventually(lambda: self.lives("stopped").keys() - lives.keys(), "it does not begin another life")
        self.cut("z")
        report = self.finish(run, but="z")
        self.assertGreaterEqual(report["deaths"], 1)
        self.assertGreaterEqual(report["late_results"], 1)

    def test_a_worker_that_gets_no_blocks_any_more_is_replaced(self):
        self.endless("a")
        run = self.start("--send-files", lease=SHORT_LEASE)
        killed = self.worker("killed", lease=SHORT_LEASE)
        self.holds(run, "a")  # which sends it
        killed.kill()
        self.cut("a")
        self.worker("other", lease=SHORT_LEASE)
        self.finish(run, but="a")

    # --- The server, and the run ---

    def test_goes_on_after_the_server_was_killed(self):
        self.endless("a")
        for number in range(100):
            self.write(f"tree/f{number}", pattern(1000, number))
        run = self.start(lease=SHORT_LEASE)
        worker = self.worker("a", lease=SHORT_LEASE)
        self.holds(worker, "a")
        self.server.kill()
        self.server.wait()
        self.cut("a")
        self.serve()
        self.finish(run, but="a")

    def test_a_namespace_has_one_run_until_that_is_dead(self):
        self.endless("a")
        first = self.start(lease=SHORT_LEASE)
        worker = self.worker("a", lease=SHORT_LEASE)
        self.holds(worker, "a")
        second = self.start(lease=SHORT_LEASE)
        _, told = second.communicate(timeout=PATIENCE_S)
        self.assertEqual(second.returncode, 1)
        self.assertIn(b"another run has this namespace: process %d on " % first.pid, told)
        first.kill()
        first.wait()
        self.cut("a")
        self.finish(self.start(lease=SHORT_LEASE))

    def test_a_worker_does_not_wait_for_a_run_that_is_over(self):
        for number in range(5):
            self.write(f"tree/{number}", pattern(1000, number))
        killed = self.start(lease=SHORT_LEASE)
        eventually(lambda: any(one["name"] == "ufence run" for one in self.timelines()), "the run does not begin")
        time.sleep(0.5)  # so that it has handed out its files; if not, nothing is shown here
        killed.kill()
        killed.wait()
        self.worker("a")  # which gets what the killed one has handed out
        self.finish(self.start(lease=SHORT_LEASE))

    def test_an_interrupted_run_leaves_nothing_behind(self):
        self.endless("a")
        run = self.start()
        worker = self.worker("a")
        self.holds(worker, "a")
        run.send_signal(signal.SIGINT)
        out, told = run.communicate(timeout=PATIENCE_S)
        self.assertEqual(run.returncode, 130, told)
        self.assertFalse((self.folder / "sums").exists())
        self.assertEqual(json.loads(out)["files"], 0)

    # --- Several servers ---

    def test_a_server_alone_does_not_keep_what_three_should(self):
        self.write("tree/a", b"a")
        for run in (self.start("--replicas", "3"), self.worker("a", "--replicas", "3")):
            self.assertEqual(run.wait(PATIENCE_S), 1)
        self.assertIn("the server refuses the queues of the job: ", (self.folder / "a.log").read_text())
        self.assertEqual(self.start("--replicas", "2").wait(PATIENCE_S), 2)

    @unittest.skipIf(any(word in pathlib.Path(NET_PROGRAM).read_bytes() for word in (b"__tsan_init", b"__asan_init")),
                     "it is the servers that work")
    def test_a_job_goes_on_when_one_of_three_servers_is_killed(self):
        # Routes have to be known before the servers listen: at an address of loopback that is this process's own.
        own = os.getpid()
        address = f"127.{64 + (own >> 16)}.{own >> 8 & 255}.{own & 255}"
        routes = ", ".join(f'"nats://{address}:{6222 + i}"' for i in range(3))
        urls, servers = [], []
        for i in range(3):
            self.write(f"nats{i}.conf", f"""server_name: n{i}
                cluster {{ name: c, no_advertise: true, listen: "{address}:{6222 + i}", routes: [ {routes} ] }}""".encode())
            self.port = free_port()
            urls.append(f"nats://127.0.0.1:{self.port}")
            self.serve("--config", str(self.folder / f"nats{i}.conf"), folder=f"server{i}")
            servers.append(self.server)
        self.url = urls[0]
        kept = ["--server", *urls, "--replicas", "3"]
        self.endless("a")
        for number in range(20):
            self.write(f"tree/f{number}", pattern(1000, number))

        worker = self.worker("a", *kept)
        begun = []

        # A run that comes before the servers have chosen one that leads does not wait for them.
        def runs() -> bool:
            if not begun or begun[-1].poll() is not None:
                begun.append(self.start(*kept))
            return self.has_open(worker, "a")
        eventually(runs, "the job does not begin")
        servers[0].kill()
        servers[0].wait()
        self.cut("a")
        self.finish(begun[-1], but="a")
        # What is there is kept by as many as before. A run that comes while the servers choose again does not wait.
        eventually(lambda: self.start("--server", *urls).wait(PATIENCE_S) == 0, "no other run begins")

    # --- Who may do it ---

    def test_the_shipped_configuration_lets_issuers_have_jobs_and_waiters_none(self):
        self.server.kill()
        self.server.wait()
        self.serve("--config", os.environ["UFENCE_NATS_CONF"])
        self.write("tree/a", pattern(300_000))
        self.write("tree/b", b"")
        demo = ("--hosts", "demo", "--user")
        issuer = {**os.environ, "UFENCE_NET_PASSWORD": "change-me"}
        waiter = {**os.environ, "UFENCE_NET_PASSWORD": "change-me-too"}
        self.worker("a", *demo, "issuer", env=issuer)
        self.finish(self.start(*demo, "issuer", env=issuer))
        self.finish(self.start(*demo, "issuer", "--send-files", env=issuer))
        refused = self.start(*demo, "waiter", env=waiter)
        _, told = refused.communicate(timeout=PATIENCE_S)
        self.assertEqual(refused.returncode, 1, told)

    def certify(self, name: str) -> list[str]:
        """Files with a key, and a certificate that vouches for itself."""
        key, certificate = (str(self.folder / f"{name}.{kind}") for kind in ("key", "pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", key, "-out", certificate], stderr=subprocess.DEVNULL, check=True)
        return [key, certificate]

    @unittest.skipIf(b"__tsan_init" in pathlib.Path(NET_PROGRAM).read_bytes(),
                     "the client library uses OpenSSL from two threads at once")
    def test_nkeys_and_certificates_let_hosts_in(self):
        self.server.kill()
        self.server.wait()
        (server_key, server_certificate), (key, certificate) = self.certify("server"), self.certify("host")
        self.write("nats.conf", f"""
            authorization {{ users: [ {{ nkey: {NKEY_PUBLIC} }} ] }}
            tls {{ cert_file: "{server_certificate}", key_file: "{server_key}", ca_file: "{certificate}",
                  verify: true, timeout: 120 }}""".encode())
        self.serve("--config", str(self.folder / "nats.conf"))
        self.write("seed", NKEY_SEED)
        nkey = ["--nkey", str(self.folder / "seed"), "--nkey-public", NKEY_PUBLIC]
        tls = ["--ca", server_certificate, "--cert", certificate, "--key", key]
        self.write("tree/a", pattern(300_000))
        self.worker("a", *nkey, *tls)
        self.finish(self.start(*nkey, *tls, "--send-files"))
        for less in (nkey, tls):
            refused = self.start(*less)
            _, told = refused.communicate(timeout=PATIENCE_S)
            self.assertEqual(refused.returncode, 1, told)
        for half in (nkey[:2], tls[2:4]):
            self.assertEqual(self.start(*half).wait(PATIENCE_S), 2)

    # --- What goes wrong ---

    def test_a_file_that_can_not_be_read_is_told_and_the_rest_is_done(self):
        self.write("tree/a", b"a")
        self.write("tree/gone", b"b")
        self.write("copy/a", b"a")
        self.worker("a", "--input", str(self.folder / "copy"))
        run = self.start()
        _, told = run.communicate(timeout=PATIENCE_S)
        self.assertEqual(run.returncode, 1)
        self.assertIn(b"ufence: tree/gone: No such file or directory\n", told)
        self.assertEqual((self.folder / "sums").read_bytes(), expected_sums(self.folder, ["tree/a"]))

    def test_a_worker_without_the_folder_says_so_and_the_job_goes_on(self):
        self.write("tree/a", b"a")
        lost = self.worker("lost", "--input", "/nothing/is/there")
        run = self.start()
        self.assertEqual(lost.wait(PATIENCE_S), 1)
        self.assertIn("the folder has to be shared", (self.folder / "lost.log").read_text())
        self.worker("a")
        self.assertEqual(self.finish(run)["files"], 1)

    def test_errors_of_the_command_line_and_of_the_connection(self):
        def told(*words: str) -> tuple[int, str]:
            done = subprocess.run([PROGRAM, *words], cwd=self.folder, capture_output=True, text=True, check=False,
                                  timeout=PATIENCE_S)
            return done.returncode, done.stderr

        nobody = f"nats://127.0.0.1:{free_port()}"
        for command in ("run", "worker"):
            status, text = told(command, "--hosts", "job", "--server", nobody)
            self.assertEqual(status, 1)
            self.assertIn(f"ufence: {nobody}: Connection refused", text)
            self.assertEqual(told(command, "--hosts", "job", "--server", nobody, nobody), (1, text))
            status, text = told(command, "--hosts", "a.b")
            self.assertEqual(status, 2)
        self.assertEqual(told("worker")[0], 2)
        self.assertEqual(told("run", "--send-files")[0], 2)
        status, text = told("run", "--hosts", "job", "--reload-every", "5")
        self.assertEqual(status, 2)
        self.assertIn("--reload-every", text)
        status, text = told("run", "--hosts", "job", "--server", self.url, "--input", "nothing")
        self.assertEqual((status, text), (1, "ufence: nothing: No such file or directory\n"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
